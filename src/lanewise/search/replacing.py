"""What policies share that let the worst of every kind give way at fixed looks, to copies made of better ones."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lanewise.errors import UsageError
from lanewise.search.policy import Copy, Decision, Policy, Standing, ranked, went_on

FEWEST = 3
"""Candidates of a kind from which one gives way to another."""


@dataclass(frozen=True, kw_only=True)
class Replacing(Policy):
    """At each of ``looks`` the worst ``share`` of every kind give way; at the end the best ``survivors`` are left.

    ``gave`` and ``nobody`` are the words for those that gave way, and for nobody.
    """

    copies: ClassVar[bool] = True
    gave: ClassVar[str]
    nobody: ClassVar[str]

    share: float
    looks: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    survivors: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            message = f"share must be above 0 and at most 0.5, got {self.share}"
            raise UsageError(message)

    @abstractmethod
    def replaced(self, standing: Standing, members: Sequence[int], count: int) -> list[Copy]:
        """Copies in place of the last ``count`` of ``members``, who are of one kind and listed from the best."""

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (*self.looks, 1.0) if candidates > 1 else ()

    def remaining(self, candidates: int) -> tuple[int, ...]:
        rungs = self.rungs(candidates)
        return (*([candidates] * (len(rungs) - 1)), min(candidates, self.survivors)) if rungs else ()

    def decide(self, standing: Standing) -> Decision:
        # Ties, of those without a score above all, by number: the order of listing must not decide who gives way.
        by_number = np.argsort(standing.numbers, kind="stable")
        everybody = [int(by_number[place]) for place in ranked(standing.scores[by_number])]
        scored = [place for place in everybody if not np.isnan(standing.scores[place])] or everybody[:1]
        if standing.rung == len(self.rungs(standing.entrants)) - 1:
            best = scored[: self.survivors]
            keep = [*best, *(place for place in everybody if standing.protected[place] and place not in best)]
            return Decision(keep=tuple(keep), words=went_on(len(best), keep, standing, last=True))
        copies = [copy for kind in np.unique(standing.kinds) for copy in self._of_kind(standing, everybody, kind)]
        going = set(scored) - {copy.target for copy in copies}
        keep = [place for place in everybody if place in going or standing.protected[place]]
        words = f"{len(copies)} of {len(everybody)} gave way to {self.gave}"
        if not copies and np.bincount(standing.kinds).max() < FEWEST:
            words = f"{self.nobody}: no optimizer and batch size has {FEWEST} candidates of its own"
        return Decision(keep=tuple(keep), words=words, copies=tuple(copies))

    def _of_kind(self, standing: Standing, everybody: Sequence[int], kind: int) -> list[Copy]:
        members = [place for place in everybody if standing.kinds[place] == kind]
        if len(members) < FEWEST:
            return []
        return self.replaced(standing, members, max(1, math.floor(len(members) * self.share)))
