"""What the trainings of a race would cost one at a time, measured when it is over: no decision can heed that."""

from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.costs import costs_alone
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.training.teams import TeamBuilder
from lanewise.training.watching.trace import seconds_of, trainings
from lanewise.training.workers.side_by_side import threads_per_product

MEASURING_SHARE = 0.05
"""Of what the race took, that measuring after it may take; one structure is timed in any case."""


def costs_afterwards(
    plan: Plan, builder: TeamBuilder, result: Result, *, cpu_seconds: float | None
) -> dict[str, float]:
    """Processor seconds of a full-length lane of each candidate, trained alone, by its id.

    For plans that must depend on no clock. ``cpu_seconds`` are what the race used, where that is known: beside the
    seconds that its lanes took by the clock they say which share of a core each of them had. Trees and solvers cost
    what they took.
    """
    took = seconds_of(result.traces)
    each = {id: took[id] / amount for id, amount in trainings(result.traces).items() if amount}
    share = None if cpu_seconds is None else min(1.0, cpu_seconds / max(sum(took.values()), 1e-9))
    pool = [candidate for candidate in plan.candidates if candidate.id in each]
    allowance = Allowance(MEASURING_SHARE * sum(result.seconds.values()))
    with threads_per_product(1):
        return costs_alone(pool, builder, each, allowance, least=1, share=share) or {}
