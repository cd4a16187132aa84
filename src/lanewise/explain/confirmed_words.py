"""How many candidates a race has confirmed, where that is not what its rungs have told."""

from lanewise.data.wording import counted
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.training.watching.trace import first_cause


def confirmed_words(result: Result, plan: Plan) -> tuple[str, ...]:
    """One line, or none: that some failed in the confirmation and why, or that not all who went on were confirmed.

    Of several families the plan confirms only so many each, and the default.
    """
    confirmed = {one.candidate.id for one in result.confirmed}
    begun = [trace for trace in result.traces if trace.phase == "confirm"]
    if failed := [trace for trace in begun if trace.lane.candidate.id not in confirmed]:
        lost, of = (len({trace.lane.candidate.id for trace in own}) for own in (failed, begun))
        why = f"{'first ' if lost > 1 else ''}{first_cause(failed)}"
        return (f"{lost} of {counted(of, 'candidate')} failed when trained in full ({why}): {of - lost} confirmed",)
    if not plan.rungs or len(plan.confirm) < 2 or plan.confirms_another_number:
        return ()
    return (f"{counted(len(confirmed), 'candidate')} confirmed: the best of each family, and the default",)
