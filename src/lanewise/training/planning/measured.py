"""What the candidates of a race were measured to cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import lonely_cost


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Processor seconds: ``costs`` of a full training by family and candidate, of a ``look`` at it, and ``alone``.

    ``once`` is what a family spends on every fold before its first lane trains; ``alone`` is None where that was not
    measured. ``single`` is that of a plan. ``took`` is what it took to measure the costs of a family,
    ``looks_alone`` what a look takes at a lane that nobody trains beside.
    """

    costs: Mapping[str, Mapping[str, float]]
    looks: Mapping[str, float]
    alone: Mapping[str, float] | None = None
    once: Mapping[str, float] = field(default_factory=dict)
    single: Mapping[str, float] = field(default_factory=dict)
    took: Mapping[str, float] = field(default_factory=dict)
    looks_alone: Mapping[str, float] = field(default_factory=dict)

    def confirming(self, pool: Sequence[Candidate], *, lanes: int, workers: int) -> dict[str, float]:
        """Seconds of a lane of each candidate of ``pool``, of which ``lanes`` are confirmed by ``workers``."""
        return {
            one.id: cost * lonely_cost(self.single.get(one.id, 1.0), lanes=lanes, workers=workers)
            for one in pool
            for cost in (self.costs[one.model][one.id],)
        }


def least_of(first: Measured, again: Measured) -> Measured:
    """What was measured ``first`` and, of some families, ``again``: the least of both, for nothing trains too fast."""
    costs = {
        model: {id: min(cost, first.costs[model][id]) for id, cost in own.items()} for model, own in again.costs.items()
    }
    return replace(
        first,
        costs={**first.costs, **costs},
        looks={id: min(seconds, again.looks.get(id, seconds)) for id, seconds in first.looks.items()},
        once={model: min(seconds, again.once.get(model, seconds)) for model, seconds in first.once.items()},
        looks_alone={id: min(seconds, again.looks_alone.get(id, seconds)) for id, seconds in first.looks_alone.items()},
    )
