"""The policy contract: who stays in the race. Documented here and nowhere else.

A policy sees evidence arrays and returns a decision. It never sees models, lanes or clocks, so the
same evidence always gives the same decision, and a new policy is one file.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a rung has shown of the M candidates that are left.

    ``scores [M]`` are oriented so that smaller is better; NaN means no usable prediction.
    ``losses [M, N]`` hold the loss of every validation row where the metric has one, else None.
    ``families [M]`` numbers the model families. ``protected [M]`` must stay whatever their score.
    """

    rung: int
    scores: np.ndarray
    losses: np.ndarray | None
    families: np.ndarray
    protected: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Positions (in the standing) of the candidates that go on, best first, and why in words."""

    keep: tuple[int, ...]
    words: str


class Policy(ABC):
    """Decides at every rung which candidates go on."""

    @abstractmethod
    def rungs(self, candidates: int) -> tuple[float, ...]:
        """Fractions of the full length, rising, at which :meth:`decide` is asked; empty: never."""

    @abstractmethod
    def decide(self, standing: Standing) -> Decision:
        """Who goes on after this rung."""


def ranked(scores: np.ndarray) -> list[int]:
    """Positions from best to worst; NaN last, ties in the order given.

    >>> ranked(np.array([2.0, float("nan"), 1.0]))
    [2, 0, 1]
    """
    return [int(place) for place in np.argsort(np.where(np.isnan(scores), np.inf, scores), kind="stable")]
