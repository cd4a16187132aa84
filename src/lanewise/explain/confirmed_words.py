"""How many candidates a race has confirmed, where that is not what its rungs have told."""

from lanewise.data.wording import counted
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result


def confirmed_words(result: Result, plan: Plan) -> tuple[str, ...]:
    """One line, or none: that some diverged in the confirmation, or that not all who went on were confirmed.

    Of several families the plan confirms only so many each, and the default.
    """
    begun = len({trace.lane.candidate.id for trace in result.traces if trace.phase == "confirm"})
    left = len(result.confirmed)
    if begun > left:
        return (f"{begun - left} of {counted(begun, 'candidate')} diverged when trained in full: {left} confirmed",)
    if not plan.rungs or len(plan.confirm) < 2 or any(" confirmed" in line for line in plan.amended):
        return ()
    return (f"{counted(left, 'candidate')} confirmed: the best of each family, and the default",)
