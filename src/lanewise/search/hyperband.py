"""Hyperband: successive halving in several brackets, so that a slow start is no verdict (Li et al. 2018)."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lanewise.search.halving import geometric_rungs
from lanewise.search.policy import Decision, Policy, Standing, ranked, went_on, with_reserved


@final
@dataclass(frozen=True, kw_only=True)
class Hyperband(Policy):
    """Brackets of successive halving that begin to drop candidates at different rungs, side by side in one race.

    With ``K`` rungs there are ``K`` brackets; bracket ``b = 0 .. K - 1`` drops nobody before rung ``b``, then keeps the
    best ``1 / eta`` of its own at each. Of all candidates it gets a share in proportion to
    ``ceil(K / (K - b) * eta ** (K - 1 - b))``, as many as give every bracket about the same cost. At the last rung, the
    full length, all brackets meet: the best ``1 / eta`` of everybody go on, ``survivors`` at least.

    The rungs are those of :class:`Halving`. All candidates train in one stack, so a bracket is nothing but a rule
    for whom a decision may drop. Protected ones and the best of every family stay.

    Source: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018), Hyperband, JMLR 18, algorithm 1 (their ``s`` is
    ``K - 1 - b``, their ``R`` the full length).

    >>> np.bincount(Hyperband().brackets(17)).tolist()
    [9, 5, 3]
    """

    ends_early: ClassVar[bool] = True

    eta: float = 3.0
    shortest: float = 1 / 9
    survivors: int = 4

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return geometric_rungs(self.eta, self.shortest) if candidates > self.survivors else ()

    def brackets(self, entrants: int) -> np.ndarray:
        """The bracket ``[entrants]`` of every candidate, dealt out in proportion, so that neighbours differ."""
        count = len(geometric_rungs(self.eta, self.shortest))
        sizes = [math.ceil(count / (count - b) * self.eta ** (count - 1 - b) - 1e-9) for b in range(count)]
        shares = np.array(sizes) / sum(sizes)
        dealt = np.zeros(count)
        found = np.zeros(entrants, dtype=np.int64)
        for number in range(entrants):
            # The bracket that is furthest behind its share; of equals the first.
            found[number] = int(np.argmax(np.round(shares * (number + 1) - dealt, 9)))
            dealt[found[number]] += 1
        return found

    def decide(self, standing: Standing) -> Decision:
        everybody = ranked(standing.scores)
        order = [place for place in everybody if not np.isnan(standing.scores[place])] or everybody[:1]
        if standing.rung == len(self.rungs(standing.entrants)) - 1:
            best = order[: max(self.survivors, math.ceil(len(order) / self.eta))]
            keep = with_reserved(best, standing)
            words = f"all brackets met, and {went_on(len(best), keep, standing, last=True)}"
            return Decision(keep=tuple(keep), words=words)
        bracket = self.brackets(standing.entrants)[standing.numbers]
        going: set[int] = set()
        for own in range(bracket.max() + 1):
            members = [place for place in order if bracket[place] == own]
            going.update(members if own > standing.rung else members[: math.ceil(len(members) / self.eta)])
        keep = with_reserved([place for place in order if place in going], standing)
        words = f"{len(keep)} of {len(everybody)} went on: the best of each bracket that drops, and the other brackets"
        return Decision(keep=tuple(keep), words=words)

    def remaining(self, candidates: int) -> tuple[int, ...]:
        rungs = self.rungs(candidates)
        if not rungs:
            return ()
        left = np.bincount(self.brackets(candidates), minlength=len(rungs))
        found = []
        for rung in range(len(rungs) - 1):
            left[: rung + 1] = np.ceil(left[: rung + 1] / self.eta)
            found.append(int(left.sum()))
        return (*found, self.survivors)
