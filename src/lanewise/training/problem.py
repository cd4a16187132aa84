"""A problem: a table made ready for a race, with nothing of the held-out rows in any statistic."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lanewise.data.auditing import Audit, audit
from lanewise.data.column_facts import facts_of, levels_kept
from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import duplicate_groups, duplicates_across_split, kept_together, training_rows_tested
from lanewise.data.findings import Finding
from lanewise.data.leakage import leakage
from lanewise.data.roles import check_names, role_mistakes
from lanewise.data.splits import Fold, default_folds, fold_count, folds, holdout, row_groups, row_times
from lanewise.data.streaming import with_target_of_rest
from lanewise.data.target import encode_target, label_findings, labelled_rows, rare_in_test, resolve_task
from lanewise.data.target_tails import extreme_rows, robust_units, target_tail_findings
from lanewise.errors import DataError, UsageError, all_of
from lanewise.features.columns import FIRST_LEVEL_CODE
from lanewise.features.encoding import Encoded
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation, PreparationSettings
from lanewise.features.prepared import prepare_rows
from lanewise.features.streamed_statistics import Moments
from lanewise.metrics import Metric, resolve_metric
from lanewise.models.base import Width
from lanewise.models.tree_matrix import TokenCounts
from lanewise.stated_names import Scaling
from lanewise.task import Task, TaskKind
from lanewise.training.data import ALL_ROWS, FoldData, TrainingData
from lanewise.training.own_test_rows import joined_below
from lanewise.training.rest_parts import Parts
from lanewise.training.room import check_room, most_cells, with_room
from lanewise.training.row_store import RowStore
from lanewise.training.streamed_rest import TrainingRest, training_rest, weights_of
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.stored import StoredTable
from lanewise.training.weighing import Weighing, class_weight_mistakes, weighing_of


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for about the data; ``cells`` of it, prepared for all folds, suit the budget."""

    target: str
    kind: TaskKind | None = None
    metric: str | None = None
    drop: tuple[str, ...] = ()
    weight: str | None = None
    class_weights: str | Mapping[str, float] | None = None
    group: str | None = None
    time: str | None = None
    folds: int | None = None
    test_fraction: float | None = None
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    scaling: Scaling = "auto"
    seed: int = 0
    cells: int = most_cells(None)


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


def pose(
    dataset: Dataset,
    request: Request,
    *,
    test: Dataset | None = None,
    more: Callable[[Task], Iterable[str]] = lambda task: (),
) -> Problem:
    """Read the question out of a table: task, usable rows and columns, splits, widths.

    ``test`` is a test set of the user's own; without one, rows are held out. ``more`` says what else cannot be of the
    task: it is told together with what the table does not have.

    Raises ``UserError`` where the table does not have what is asked of it, or does not fit into memory once prepared.
    """
    asked = _asked(dataset, request, more)
    task, audited, group = asked.task, asked.audited, asked.group
    divided = _divided(dataset, test, request, asked)
    whole, y, train, held = divided.whole, divided.y, divided.train, divided.held
    parts, fewer = _folds(dataset, divided, request, asked)
    streamed = None
    if dataset.rest is not None and dataset.rest.rows:
        streamed = Parts.made(dataset, train=train, test=held, folds=parts, group=request.group, time=request.time)
    beyond = None if streamed is None else streamed.facts(audited.features)
    facts = facts_of(whole.frame.select(audited.features)[train], whole.kinds)
    settings = LayoutSettings(
        scaling=request.scaling, max_levels=levels_kept(LayoutSettings.max_levels, facts.values())
    )
    layout = Layout.fit(whole, audited.features, train, settings=settings, beyond=beyond, counted=facts)
    if dataset.rest is None:  # before what takes long
        free = request.folds is None and request.time is None
        layout, parts, crowded = with_room(
            layout,
            parts,
            rows=len(y),
            cells=request.cells,
            divided=partial(_in_parts, divided, request, asked) if free else None,
        )
        fewer = (*fewer, *crowded)
        check_room(dataset.source, layout, rows=len(y), folds=len(parts))
    leaks = leakage(dataset, target=request.target, kind=task.kind, features=audited.features, rows=audited.rows)
    rest = training_rest(
        dataset,
        task=task,
        layout=layout,
        features=audited.features,
        parts=streamed,
        groups=None if request.group else group,
        seed=request.seed,
        weight=request.weight,
    )
    own = weights_of(whole, request.weight)
    weighing = weighing_of(
        task, column=request.weight, classes=request.class_weights, y=y, own=own, train=train, rest=rest
    )
    of_rest = () if rest is None else rest.findings
    return Problem(
        dataset=whole,
        task=task,
        metric=asked.metric,
        contract=DataContract.of(
            whole,
            task=task,
            features=audited.features,
            rows=train,
            missing=request.missing,
            delimiter=request.delimiter,
            encoding=request.encoding,
            facts=facts,
            beyond=beyond,
        ),
        features=audited.features,
        set_aside=audited.set_aside,
        findings=(*asked.findings, *leaks, *divided.findings, *of_rest, *fewer),
        y=y,
        weight=None if weighing is None else weighing(y, own),
        train=train,
        test=held,
        folds=parts,
        layout=layout,
        encoded=layout.encode(whole),
        clusters=group,
        rest=rest,
        weighing=weighing,
        scaling=request.scaling,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """The task, which rows and columns there are for it, and what keeps rows together or in order: ``[N]`` or None."""

    task: Task
    metric: Metric
    audited: Audit
    group: np.ndarray | None
    time: np.ndarray | None
    findings: Sequence[Finding]


def _asked(dataset: Dataset, request: Request, more: Callable[[Task], Iterable[str]]) -> _Asked:
    roles = {"weight": request.weight, "group": request.group, "time": request.time}
    check_names(dataset, target=request.target, drop=request.drop, keep=(), roles=roles)
    told = with_target_of_rest(dataset, request.target)
    task, findings = resolve_task(told, request.target, kind=request.kind, metric=request.metric)
    metric = _checked_metric(dataset, request, task, more)
    task = replace(task, metric=metric.name)
    audited = audit(
        dataset,
        target=request.target,
        kind=task.kind,
        drop=request.drop,
        weight=request.weight,
        group=request.group,
        time=request.time,
        leaks=False,
    )
    group = row_groups(dataset, request.group) if request.group else None
    time = row_times(dataset, request.time) if request.time else None
    if group is None and time is None:
        group = kept_together(duplicate_groups(dataset, audited.features), audited.rows)
    noticed = (*dataset.findings, *findings, *label_findings(dataset, task), *audited.findings)
    return _Asked(task=task, metric=metric, audited=audited, group=group, time=time, findings=noticed)


def _checked_metric(dataset: Dataset, request: Request, task: Task, more: Callable[[Task], Iterable[str]]) -> Metric:
    """The deciding metric; ``DataError`` for all that the columns and the target cannot be asked."""
    labelled = labelled_rows(dataset, task.target)
    mistakes = list(role_mistakes(dataset, labelled, weight=request.weight, group=request.group, time=request.time))
    mistakes += class_weight_mistakes(task, request.class_weights)
    metric = None
    try:
        metric = resolve_metric(task.metric, task.kind)
    except UsageError as error:
        mistakes.append(str(error))
    if metric is not None and not mistakes:
        return metric
    mistakes += more(task)
    raise all_of(DataError, mistakes, heading=f"{len(mistakes)} settings do not fit the table")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Divided:
    """All rows with their target, the numbers of those that train and of those held out for the test, and findings."""

    whole: Dataset
    y: np.ndarray
    train: np.ndarray
    held: np.ndarray
    findings: Sequence[Finding]


def _divided(dataset: Dataset, test: Dataset | None, request: Request, asked: _Asked) -> _Divided:
    """The rows of ``dataset``, some held out, or all of them with the user's test set below."""
    task, features, rows, group = asked.task, asked.audited.features, asked.audited.rows, asked.group
    _check_parts(request, asked, held_out=test is None)
    whole, y, train = dataset, encode_target(dataset, task), rows
    noticed = list(target_tail_findings(y, task, rows))
    if test is None:
        train, held = holdout(
            y, task=task, seed=request.seed, fraction=request.test_fraction, rows=rows, group=group, time=asked.time
        )
        if group is None:
            noticed += duplicates_across_split(train, held, duplicate_groups(dataset, features))
    else:
        whole, held = joined_below(dataset, test, features, task=task, weight=request.weight)
        y = encode_target(whole, task)
        noticed += label_findings(test, task)
        noticed += training_rows_tested(rows, held, duplicate_groups(whole, (*features, request.target)))
    noticed += rare_in_test(y[held], task)
    return _Divided(whole=whole, y=y, train=train, held=held, findings=noticed)


def _check_parts(request: Request, asked: _Asked, *, held_out: bool) -> None:
    """`DataError` where the groups or times are too few for two folds, and for the test rows if they are held out."""
    needed = 3 if held_out else 2
    for role, name, values in (("group", request.group, asked.group), ("time", request.time, asked.time)):
        found = len(np.unique(values[asked.audited.rows])) if name is not None and values is not None else needed
        if found < needed:
            test = "; one of them is for the test rows, unless test names a file of its own" if held_out else ""
            message = (
                f"{role} must name a column of at least {needed} different values in the rows that have a target, and "
                f"{name!r} has {found}{test}"
            )
            raise DataError(message)


def _folds(
    dataset: Dataset, divided: _Divided, request: Request, asked: _Asked
) -> tuple[tuple[Fold, ...], Sequence[Finding]]:
    """Folds of the rows that train, and why there are fewer than asked for."""
    y, train, task = divided.y, divided.train, asked.task
    wanted = request.folds or default_folds(len(train) + (0 if dataset.rest is None else dataset.rest.rows))
    count, fewer = fold_count(y, train, task=task, count=wanted, group=asked.group, time=asked.time)
    return _in_parts(divided, request, asked, count), fewer


def _in_parts(divided: _Divided, request: Request, asked: _Asked, count: int) -> tuple[Fold, ...]:
    y, train, task = divided.y, divided.train, asked.task
    parts = folds(y, train, task=task, count=count, seed=request.seed, group=asked.group, time=asked.time)
    return parts if asked.time is not None else _extremes_last(parts, extreme_rows(y, task, train))


def _extremes_last(parts: tuple[Fold, ...], far: np.ndarray) -> tuple[Fold, ...]:
    """Screens look at the first fold: one value that decides every score there would tell nothing of the others."""
    return tuple(sorted(parts, key=lambda fold: np.isin(fold.valid, far).sum()))


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
