"""Population-based training: the worst take over from the best, weights and all (Jaderberg et al. 2017)."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lanewise.errors import UsageError
from lanewise.search.policy import Copy, Decision, Policy, Standing, ranked

FEWEST = 3
"""Candidates of a kind from which one gives way to another."""


@final
@dataclass(frozen=True, kw_only=True)
class PopulationBased(Policy):
    """At each look the worst ``share`` of every kind give way to copies of the best ``share`` at another rate.

    That is one at least of a kind of three or more; smaller kinds have no copies.

    A copy has the weights, the state of the optimizer and the settings of a candidate drawn from the best (truncation
    selection), and its learning rate from then on is multiplied by one of the two ``factors``, drawn as well. So rates
    follow a schedule that the race has found. At the end of the length the best ``survivors`` are left.

    Draws are keyed by ``seed``, the look and the place of who gives way, so that the same evidence gives the same
    copies. Candidates of another optimizer, batch size or structure are of another kind: there is nothing to copy.

    Source: Jaderberg et al. (2017), Population based training of neural networks, arXiv 1711.09846: ``share`` is
    0.2 and the factors 0.8 and 1.2 in section 4.1.
    """

    copies: ClassVar[bool] = True

    share: float = 0.2
    factors: tuple[float, float] = (0.8, 1.2)
    looks: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    survivors: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            message = f"share must be above 0 and at most 0.5, got {self.share}"
            raise UsageError(message)

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (*self.looks, 1.0) if candidates > 1 else ()

    def remaining(self, candidates: int) -> tuple[int, ...]:
        rungs = self.rungs(candidates)
        return (*([candidates] * (len(rungs) - 1)), min(candidates, self.survivors)) if rungs else ()

    def decide(self, standing: Standing) -> Decision:
        # Ties, of those without a score above all, by number: the order of listing must not decide who takes over.
        by_number = np.argsort(standing.numbers, kind="stable")
        everybody = [int(by_number[place]) for place in ranked(standing.scores[by_number])]
        scored = [place for place in everybody if not np.isnan(standing.scores[place])] or everybody[:1]
        if standing.rung == len(self.rungs(standing.entrants)) - 1:
            going = set(scored[: self.survivors])
            keep = [place for place in everybody if place in going or standing.protected[place]]
            return Decision(keep=tuple(keep), words=f"the best {len(keep)} of {len(everybody)} went on")
        copies = [one for kind in np.unique(standing.kinds) for one in self._copies(standing, everybody, kind)]
        leaving = {one.target for one in copies}
        going = set(scored) - leaving
        keep = [place for place in everybody if place in going or standing.protected[place]]
        words = f"{len(copies)} of {len(everybody)} gave way to copies of better ones"
        if not copies and np.bincount(standing.kinds).max() < FEWEST:
            words = f"nobody was copied: no optimizer and batch size has {FEWEST} candidates of its own"
        return Decision(keep=tuple(keep), words=words, copies=tuple(copies))

    def _copies(self, standing: Standing, everybody: list[int], kind: int) -> list[Copy]:
        members = [place for place in everybody if standing.kinds[place] == kind]
        if len(members) < FEWEST:
            return []
        count = max(1, math.floor(len(members) * self.share))
        best = [place for place in members[:count] if not np.isnan(standing.scores[place])]
        if not best:
            return []
        found = []
        for target in members[-count:]:
            if standing.protected[target]:
                continue
            draw = np.random.default_rng([self.seed, standing.rung, int(standing.numbers[target])])
            source, factor = best[draw.integers(len(best))], self.factors[draw.integers(2)]
            found.append(Copy(source=source, target=target, factor=factor))
        return found
