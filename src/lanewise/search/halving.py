"""Successive halving (Jamieson & Talwalkar 2016)."""

import math
from dataclasses import dataclass
from typing import final

from lanewise.search.policy import Decision, Policy, Standing, ranked


@final
@dataclass(frozen=True, kw_only=True)
class Halving(Policy):
    """At each rung the best ``1 / eta`` of the candidates go on, each rung ``eta`` times as long as the last.

    The protected ones and the best of every family stay until the last rung: a family that starts
    slowly is not thrown out before it could show what it does. ``survivors`` is how many the last
    rung leaves, at least.
    """

    eta: float = 3.0
    shortest: float = 1 / 9
    survivors: int = 4

    def rungs(self, candidates: int) -> tuple[float, ...]:
        if candidates <= self.survivors:
            return ()
        count = 1 + max(0, math.floor(math.log(1 / self.shortest, self.eta) + 1e-9))
        return tuple(self.eta ** -(count - 1 - rung) for rung in range(count))

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        wanted = max(self.survivors, math.ceil(len(order) / self.eta))
        keep = list(order[:wanted])
        for family in dict.fromkeys(int(standing.families[place]) for place in order):
            best = next(place for place in order if standing.families[place] == family)
            if best not in keep:
                keep.append(best)
        keep += [place for place in order if standing.protected[place] and place not in keep]
        return Decision(keep=tuple(keep), words=f"the best {len(keep)} of {len(order)} went on")
