"""Candidates that enter a race on the way: the contract of who proposes them. Documented here only."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from lanewise.lanes.candidate import Candidate
from lanewise.training.team import Former


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A candidate and its loss at the first look of the screen, oriented so that smaller is better; NaN: it failed."""

    candidate: Candidate
    loss: float


class Proposer(ABC):
    """Proposes batch after batch of candidates by what those before have shown at the first look of the screen.

    It keeps nothing that a decision depends on: a race that was killed asks again from the first batch, with the
    same evidence, and must get the same candidates.
    """

    @abstractmethod
    def propose(self, batch: int, tried: Sequence[Tried]) -> Sequence[Candidate]:
        """The candidates of that ``batch``, the first being number 1; none: there are no more."""

    @abstractmethod
    def former(self, former: Former, fresh: Sequence[Candidate]) -> Former:
        """``former``, able to form the candidates that were just proposed."""


@final
class NobodyElse(Proposer):
    """The null proposer: the candidates of the plan are all that race."""

    def propose(self, batch: int, tried: Sequence[Tried]) -> Sequence[Candidate]:
        del batch, tried
        return ()

    def former(self, former: Former, fresh: Sequence[Candidate]) -> Former:
        del fresh
        return former


def tried(entered: Sequence[Candidate], now: Mapping[str, Candidate], losses: Mapping[str, float]) -> list[Tried]:
    """Who ``entered`` with the loss by id; one that was repaired is told as failed, and as what it is ``now``."""
    found = []
    for candidate in entered:
        again, loss = now[candidate.id], losses.get(candidate.id, math.nan)
        if again != candidate:
            found.append(Tried(candidate=candidate, loss=math.nan))
        found.append(Tried(candidate=again, loss=loss))
    return found
