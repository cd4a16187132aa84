"""What the lanes train on: prepared rows, folds, targets, weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.streamed.row_windows import Windows

MOST_SHOWN = 2_000
"""Training rows of a fold that a training score is taken on."""

ALL_ROWS = -1
"""The fold that holds nothing out: a refit on every training row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """The columns that a lane reads, most important first, as masks of 1 (read) and 0.

    ``dense [D]`` and ``codes [K]`` are of prepared rows; ``numbers [Dn]``, ``categories [Kc]`` and ``tokens [H]``
    (uint8) of raw rows, as trees read them.
    """

    columns: tuple[str, ...]
    dense: Tensor
    codes: Tensor
    numbers: np.ndarray
    categories: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """Rows prepared with the statistics of one fold's training rows.

    ``dense [N, D]``, ``codes [N, K]`` and ``target [N]`` hold all rows; ``train`` and ``valid`` are row indices. A
    regression target is standardized: ``target = (y - center) / scale``. With ``kept``, all other columns read as
    zero, and their codes as the level never seen: read rows through :meth:`features`. Floating rows that lie in files
    in another dtype are converted to ``reads`` as they are read; None: they need not be. Of a table that is streamed
    from disk all of these are of its sample.
    """

    dense: Tensor
    codes: Tensor
    target: Tensor
    train: Tensor
    valid: Tensor
    center: float = 0.0
    scale: float = 1.0
    kept: Kept | None = None
    reads: torch.dtype | None = None

    def on(self, device: torch.device, moved: "Callable[[Tensor], Tensor]") -> "FoldData":
        """The same rows on another device; ``moved`` brings a tensor there."""
        kept = self.kept
        if kept is not None:
            kept = replace(kept, dense=kept.dense.to(device), codes=kept.codes.to(device))
        parts = {name: moved(getattr(self, name)) for name in ("dense", "codes", "target", "train", "valid")}
        return replace(self, kept=kept, **parts)

    def features(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``dense [n, D]`` and ``codes [n, K]`` of some rows, of the columns that are kept."""
        return self.narrowed(self._read(self.dense, rows), self.codes.index_select(0, rows))

    def narrowed(self, dense: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The same rows with only the columns that are kept."""
        return (dense, codes) if self.kept is None else (dense * self.kept.dense, codes * self.kept.codes)

    def targets(self, rows: Tensor) -> Tensor:
        """``target [n]`` of some rows."""
        return self._read(self.target, rows)

    def _read(self, tensor: Tensor, rows: Tensor) -> Tensor:
        found = tensor.index_select(0, rows)
        return found.to(self.reads) if self.reads is not None and found.is_floating_point() else found

    @property
    def shown(self) -> np.ndarray:
        """Places within ``train`` of the rows that a training score is taken on: all, or 2,000 evenly spaced ones."""
        count = len(self.train)
        return np.arange(count) if count <= MOST_SHOWN else np.arange(MOST_SHOWN) * count // MOST_SHOWN

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns that are kept; None: all."""
        return None if self.kept is None else self.kept.columns


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Everything that gradient lanes read; ``weight [N]`` averages 1 over the rows, None means all 1.

    With ``shows`` lanes also tell what they make of a sample of their own training rows (`FoldData.shown`). With
    ``answers`` a lane that blows up though its numbers are finite is set back: it goes on as another candidate. At
    ``kept_looks`` of their length lanes are kept as they are then judged, for a confirmation that goes on from them.
    Rows that lie in files of the user's are shuffled among ``window`` of them at a time; None: among all; those that
    lie in random windows already, which begin at ``edges [W + 1]``, window by window. Of a table that is streamed from
    disk ``windows`` hold the training rows that mini-batches are taken from; None: all are here.
    """

    task: Task
    width: Width
    folds: Mapping[int, FoldData]
    rows: int
    weight: Tensor | None = None
    shows: bool = False
    answers: bool = False
    kept_looks: tuple[float, ...] = ()
    window: int | None = None
    edges: Tensor | None = None
    windows: Windows | None = None

    @property
    def near(self) -> "TrainingData":
        """The same with only those training rows that are at hand: for methods that read all of them at each step."""
        return self if self.windows is None else replace(self, windows=None)

    @property
    def in_windows(self) -> bool:
        """Whether batches are of rows that lie together, so that the losses of one stretch say little of the next."""
        shuffled_apart = self.window is not None and self.rows > self.window
        return self.windows is not None or self.edges is not None or shuffled_apart

    def training_rows(self, fold: int) -> int:
        """How many rows mini-batches of a fold are taken from."""
        return len(self.folds[fold].train) if self.windows is None else self.windows.training_rows(fold)


@final
class Moving:
    """Brings data to a device, each tensor once, however many teams read it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, data: TrainingData) -> TrainingData:
        """``data`` with its tensors on the device; itself where that is where they are.

        >>> from lanewise.task import Task
        >>> task = Task(target="y", kind="regression", metric="rmse")
        >>> data = TrainingData(task=task, width=Width(dense=1, levels=(), outputs=1), folds={}, rows=0)
        >>> Moving(torch.device("cpu"))(data) is data
        True
        """
        if self.device.type == "cpu":
            return data
        folds = {fold: part.on(self.device, self._moved) for fold, part in data.folds.items()}
        return replace(data, folds=folds, weight=None if data.weight is None else self._moved(data.weight))

    def _moved(self, tensor: Tensor) -> Tensor:
        # The original is kept beside it, so that no other tensor gets its id.
        if id(tensor) not in self._known:
            self._known[id(tensor)] = tensor, tensor.to(self.device)
        return self._known[id(tensor)][1]
