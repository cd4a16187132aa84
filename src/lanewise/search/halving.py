"""Successive halving (Jamieson & Talwalkar 2016)."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from lanewise.search.policy import Decision, Policy, Standing, ranked, went_on, with_reserved


@final
@dataclass(frozen=True, kw_only=True)
class Halving(Policy):
    """At each rung the best ``1 / eta`` of the candidates go on, each rung ``eta`` times as long as the last.

    The best are those of whom most is expected at the end, where the standing says that, ties by score.
    The protected ones and the best of every family stay until the last rung: a family that starts
    slowly is not thrown out before it could show what it does. ``survivors`` is how many the last
    rung leaves, at least.
    """

    ends_early: ClassVar[bool] = True

    eta: float = 3.0
    shortest: float = 1 / 9
    survivors: int = 4

    def rungs(self, candidates: int) -> tuple[float, ...]:
        if candidates <= self.survivors:
            return ()
        return geometric_rungs(self.eta, self.shortest)

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        order = [order[place] for place in ranked(standing.promise[order])]
        wanted = max(self.survivors, math.ceil(len(order) / self.eta))
        keep = with_reserved(order[:wanted], standing)
        last = standing.rung == len(self.rungs(standing.entrants)) - 1
        return Decision(keep=tuple(keep), words=went_on(min(wanted, len(order)), keep, standing, last=last))

    def remaining(self, candidates: int) -> tuple[int, ...]:
        left = [candidates]
        for _ in self.rungs(candidates)[:-1]:
            left.append(max(self.survivors, math.ceil(left[-1] / self.eta)))
        return (*left[1:], self.survivors) if self.rungs(candidates) else ()


def geometric_rungs(eta: float, shortest: float) -> tuple[float, ...]:
    """Fractions that rise by the factor ``eta`` up to 1, none below ``shortest``.

    >>> geometric_rungs(2.0, 0.25)
    (0.25, 0.5, 1.0)
    """
    count = 1 + max(0, math.floor(math.log(1 / shortest, eta) + 1e-9))
    return tuple(eta ** -(count - 1 - rung) for rung in range(count))
