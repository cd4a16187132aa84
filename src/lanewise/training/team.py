"""The team contract: lanes that train together, whatever trains them. Documented here only.

A race holds a few teams: stacks of gradient-trained lanes, full-batch solver lanes, tree workers.
It advances all of them to the same fraction of each lane's own full length, looks at predictions
on the validation rows, drops losers, goes on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from lanewise.lanes.candidate import Event, Failure, Notice
from lanewise.lanes.roster import Lane
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one lane at one point of its training.

    ``valid [n, K]`` are predictions (means or class probabilities) for the fold's validation rows,
    in their order; ``train_loss`` is the mean training loss since the evidence before. ``train [m, K]`` are
    predictions for the sample of the fold's training rows, where the data ask for them; whoever keeps the evidence
    keeps their ``train_score`` instead, in the units of the metric, as is the ``score`` of ``valid``. ``notices`` are
    what was noticed of the lane since the evidence before.
    """

    lane: Lane
    fraction: float
    valid: np.ndarray
    train_loss: float
    train: np.ndarray | None = None
    train_score: float = float("nan")
    score: float = float("nan")
    notices: tuple[Notice, ...] = ()


def nothing() -> None:
    """What happens between two steps when nobody wants anything."""


def never() -> bool:
    """Whether to stop, when nobody ever asks for it."""
    return False


class Former(Protocol):
    """Who turns lanes into teams, over which data: the same lanes give the same teams, in the same order."""

    @property
    def data(self) -> TrainingData: ...

    def form(self, lanes: Sequence[Lane], phase: str) -> "list[Team]": ...


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What ranks must know of a team that another of them trains.

    ``movable``: its state can go on elsewhere, and need not be trained again. ``divides``: ranks that share batches
    share its. ``kind`` is equal for lanes of which one can go on from the state of the other; None: there are none.
    """

    movable: bool
    divides: bool
    kind: Hashable | None = None


class Team(ABC):
    """Lanes that train together; each method runs to its end before it returns."""

    lanes: tuple[Lane, ...]
    length: int
    """Full length in the team's own unit: steps, iterations, boosting rounds of its longest lane."""

    warm_up: int = 2
    """Units after which each takes the time that it usually does."""

    @property
    @abstractmethod
    def fraction(self) -> float:
        """How much of the full length is done."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train, which may be so before the full length is done."""
        return self.fraction >= 1.0

    @abstractmethod
    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        """Train every lane up to ``fraction`` of its full length (0 to 1); raises Interrupted when stopped.

        ``between`` is called again and again at moments at which :meth:`state` may be asked; when it is called,
        and what it does with the state, changes no bit. What it raises ends the training there.
        """

    @abstractmethod
    def evidence(self) -> list[Evidence]:
        """Predictions of every lane that is alive, at the weights of now."""

    @abstractmethod
    def export(self, lane: str) -> Fitted:
        """The lane of that id as it is now, ready to predict."""

    @abstractmethod
    def keep(self, lanes: Collection[str]) -> None:
        """Drop all lanes whose id is not in ``lanes`` and free what they held."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able rest from which :meth:`restore` goes on to the same bits."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` of the same lanes gave."""

    @abstractmethod
    def repairs(self) -> dict[str, tuple[Event, ...]]:
        """What was repaired, by lane id and in order, since the last call."""

    @abstractmethod
    def lost(self) -> dict[str, Failure]:
        """Why and when lanes are missing from the evidence, by lane id: they failed, the others go on."""

    def settle(self) -> None:
        """A stretch is over: let go of what only training needs, where that is more than the state."""
        return
