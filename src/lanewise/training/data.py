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

    ``dense [N, D]``, ``codes [N, K]`` and ``target [N]`` hold all rows; ``train`` and ``valid`` are
    row indices. A regression target is standardized: ``target = (y - center) / scale``.
    """

    dense: Tensor
    codes: Tensor
    target: Tensor
    train: Tensor
    valid: Tensor
    center: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Everything that gradient lanes read; ``weight [N]`` averages 1 over the rows, None means all 1."""

    task: Task
    width: Width
    folds: Mapping[int, FoldData]
    rows: int
    weight: Tensor | None = None
