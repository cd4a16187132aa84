"""What the lanes of a stack are: the model, the loss, and how they are judged. The contract is documented here only."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.losses import LOSSES_OF, Loss, response
from lanewise.models.base import StackedModel
from lanewise.models.registry import build
from lanewise.training.data import TrainingData


class Subject(ABC):
    """What a stack trains. It is asked when the stack is formed, when lanes leave, and at looks; never in a step."""

    loss: str | Loss
    """The loss of every lane: one of Lanewise's by name, or ``(outputs [L, B, ...], targets, smoothing) -> [L, B]``."""

    undivided: str = ""
    """Why the rows of a batch cannot be shared by ranks; empty where they can."""

    structure: Hashable = None
    """Equal for subjects whose lanes can go on from each other's weights; None where none can."""

    watched: bool = False
    """Whether looks also judge how its lanes learn: their updates, and the units that :meth:`silent` finds."""

    unseen: str = ""
    """Why :meth:`silent` found out nothing; empty where it did."""

    autocast: torch.dtype | None = None
    """What products of a training pass are rounded to, as ``torch.autocast`` does it; None: nothing."""

    scaled: bool = False
    """Whether a pass has gradients in float16, which vanish unless the loss of each lane is scaled."""

    @property
    def recordable(self) -> bool:
        """Whether a step runs nothing but operations on tensors, so that a CUDA graph can repeat it."""
        return True

    @abstractmethod
    def model(self, lanes: Sequence[Lane]) -> StackedModel:
        """The model of these lanes, a row each."""

    @abstractmethod
    def judged(self, fold: int, raw: Tensor) -> np.ndarray:
        """What evidence keeps ``[n, K]`` of a lane's outputs ``raw [n, ...]`` for the validation rows of its fold."""

    def silent(self, model: StackedModel, values: Tensor, roster: Roster) -> list[tuple[list[Tensor], int]]:
        """For each row of ``values [L, P + S]``, which units ``[U]`` of each rectifier give zero for so many rows.

        Asked where the subject is ``watched``.
        """
        del model, roster
        return [([], 0)] * len(values)


@final
class TableSubject(Subject):
    """A table and one of Lanewise's own models, judged by its predictions in the unit of the target."""

    def __init__(self, data: TrainingData, first: Candidate) -> None:
        self._data = data
        self.loss = self._loss = first.text("loss", LOSSES_OF[data.task.kind][0])

    def model(self, lanes: Sequence[Lane]) -> StackedModel:
        return build([lane.candidate for lane in lanes], self._data.width)

    def judged(self, fold: int, raw: Tensor) -> np.ndarray:
        data = self._data.folds[fold]
        predicted = response(self._loss, raw.double()).cpu()
        return (predicted * data.scale + data.center).numpy() if data.scale != 1.0 or data.center else predicted.numpy()
