"""A problem: a table made ready for a race, with nothing of the held-out rows in any statistic."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.splits import Fold
from lanewise.data.target_tails import robust_units
from lanewise.features.columns import FIRST_LEVEL_CODE
from lanewise.features.encoding import Encoded
from lanewise.features.layout import Layout
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import prepare_rows
from lanewise.features.streamed_statistics import Moments
from lanewise.metrics import Metric
from lanewise.models.base import Width
from lanewise.models.tree_matrix import TokenCounts
from lanewise.settings.names import Scaling
from lanewise.task import Task
from lanewise.training.data import ALL_ROWS, FoldData, TrainingData
from lanewise.training.streamed.row_store import RowStore
from lanewise.training.streamed.streamed_rest import TrainingRest
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.stored import StoredTable
from lanewise.training.weighing import Weighing


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Rows, target, folds and features of a race.

    ``y [N]`` in its own units (class indices for classes), ``weight [N]`` averaging 1 over the training
    rows or None, ``train`` and ``test`` row numbers, ``folds`` of the training rows. Of a table that is streamed from
    disk all of these are of the sample; ``rest`` trains beside them. ``weighing`` is what ``weight`` comes from.
    """

    dataset: Dataset
    task: Task
    metric: Metric
    contract: DataContract
    features: tuple[str, ...]
    set_aside: Mapping[str, str]
    findings: tuple[Finding, ...]
    y: np.ndarray
    weight: np.ndarray | None
    train: np.ndarray
    test: np.ndarray
    folds: tuple[Fold, ...]
    layout: Layout
    encoded: Encoded
    clusters: np.ndarray | None
    rest: TrainingRest | None = None
    weighing: Weighing | None = None
    scaling: Scaling = "auto"

    @property
    def preparing(self) -> PreparationSettings:
        """How its rows are prepared for linear models and networks."""
        return PreparationSettings(robust=self.scaling == "robust")

    @property
    def training_rows(self) -> int:
        """How many rows train: those of ``train``, and of a streamed table the rest."""
        return len(self.train) + (0 if self.rest is None else self.rest.rows)

    @property
    def width(self) -> Width:
        embedded = self.layout.embedded_codes
        return Width(dense=self.layout.dense_width, levels=tuple(embedded), outputs=self.task.outputs)

    def weights_of(self, rows: np.ndarray) -> np.ndarray | None:
        """The weights of ``rows``; None where all rows count alike."""
        return None if self.weight is None else self.weight[rows]


def prepare(problem: Problem, *, refit: bool, dtype: torch.dtype = torch.float32) -> tuple[TrainingData, Preparation]:
    """Rows prepared with the statistics of each fold's training rows; of all training rows for a refit."""
    parts = [problem.train] if refit else [fold.train for fold in problem.folds]
    preparation = Preparation.fit(
        problem.layout, problem.encoded, parts, settings=problem.preparing, weight=problem.weight
    )
    everything = np.arange(len(problem.y))
    dense, codes = prepare_rows(preparation, problem.encoded, everything, dtype)
    weight = None if problem.weight is None else torch.from_numpy(problem.weight).to(dtype)
    data: dict[int, FoldData] = {}
    for place, rows in enumerate(parts):
        center, scale = target_units(problem, rows)
        target = target_in_units(problem.task, problem.y, center, scale, dtype)
        data[ALL_ROWS if refit else place] = FoldData(
            dense=dense[place],
            codes=codes[place],
            target=target,
            train=torch.from_numpy(rows),
            valid=torch.from_numpy(problem.test if refit else problem.folds[place].valid),
            center=center,
            scale=scale,
        )
    width, task = problem.width, problem.task
    return TrainingData(task=task, width=width, folds=data, rows=len(problem.y), weight=weight), preparation


def target_units(problem: Problem, rows: np.ndarray, beyond: Moments | None = None) -> tuple[float, float]:
    """Center and scale of the target from a fold's training ``rows``, and those ``beyond`` of a streamed table."""
    if problem.task.is_classification:
        return 0.0, 1.0
    # Of a streamed table all rows count the same here: weights weigh losses and scores.
    weighed = problem.weight if problem.rest is None else None
    values, weight = problem.y[rows], None if weighed is None else weighed[rows]
    mean = float(np.average(values, weights=weight))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
    if beyond is not None:
        all_rows = Moments.of(values[:, None]).plus(beyond)
        mean, deviation = all_rows.mean.item(), all_rows.deviation.item()
    if problem.task.kind == "count":
        return 0.0, mean or 1.0
    counting = values if weight is None else values[weight > 0]
    return robust_units(counting, deviation) or (mean, deviation or 1.0)


def target_in_units(task: Task, y: np.ndarray, center: float, scale: float, dtype: torch.dtype) -> Tensor:
    """The target ``y [N]`` as training has it: in units of ``scale`` from ``center``, or as class indices."""
    if task.is_classification:
        return torch.from_numpy(y.astype(np.int64))
    return torch.from_numpy((y - center) / scale).to(dtype)


def has_extreme_target(problem: Problem) -> bool:
    """Whether a few training rows make up the standard deviation of a regression target."""
    y = problem.y[problem.train]
    return problem.task.kind == "regression" and robust_units(y, float(y.std())) is not None


def tree_data(problem: Problem) -> TreeData:
    """The same rows as trees read them: raw numbers, and codes with 0 for missing and -1 for other levels."""
    encoded = problem.encoded
    target = np.nan_to_num(problem.y.astype(np.float64))
    if problem.task.is_classification:
        target = np.maximum(target, 0).astype(np.int64)
    return TreeData(
        numbers=encoded.numbers,
        codes=tree_codes(encoded.codes),
        target=target,
        tokens=token_counts(encoded, problem.layout.tokens_width),
        weight=problem.weight,
    )


def stored_for_trees(problem: Problem, stored: RowStore | None) -> StoredTable | None:
    """All training rows of a streamed table as trees read them; None where there are none, or the table has text.

    LightGBM takes what it is given piece by piece as a dense matrix, which hashed text is too wide for.
    """
    if stored is None or problem.encoded.tokens is not None or not hasattr(os, "preadv"):
        return None
    weighing = problem.weighing
    return stored.described(
        shift=FIRST_LEVEL_CODE - 1,
        by_class=None if weighing is None else weighing.by_class,
        weighed=weighing is not None,
    )


def token_counts(encoded: Encoded, width: int) -> TokenCounts | None:
    """Hashed text of ``width`` buckets as trees read it."""
    tokens = encoded.tokens
    if tokens is None:
        return None
    return TokenCounts(data=tokens.data, indices=tokens.indices, indptr=tokens.indptr, width=width)


def tree_codes(codes: np.ndarray) -> np.ndarray:
    """Codes of the features as trees want them: other -> -1, missing -> 0, levels from 1.

    >>> tree_codes(np.array([[0, 1, 2, 3]])).tolist()
    [[-1, 0, 1, 2]]
    """
    return codes - (FIRST_LEVEL_CODE - 1)
