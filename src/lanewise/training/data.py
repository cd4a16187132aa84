"""What the lanes train on: prepared rows, folds, targets, weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lanewise.models.base import Width
from lanewise.task import Task

ALL_ROWS = -1
"""The fold that holds nothing out: a refit on every training row."""


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """Rows prepared with the statistics of one fold's training rows.

    ``dense [N, D]``, ``codes [N, K]`` hold all rows; ``train`` and ``valid`` are row indices.
    """

    dense: Tensor
    codes: Tensor
    train: Tensor
    valid: Tensor


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Everything that gradient lanes read.

    ``target [N]`` is in the units of training (regression targets standardized by the caller),
    ``weight [N]`` averages 1 over the training rows or is None.
    """

    task: Task
    width: Width
    folds: Mapping[int, FoldData]
    target: Tensor
    weight: Tensor | None = None

    @property
    def rows(self) -> int:
        return len(self.target)
