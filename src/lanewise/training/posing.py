"""The question that a table poses: its task, the rows and columns that count, the splits and the widths."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lanewise.data.auditing import Audit, audit
from lanewise.data.column_facts import ColumnFacts, facts_of, levels_kept
from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import duplicate_groups, duplicates_across_split, kept_together, training_rows_tested
from lanewise.data.findings import Finding
from lanewise.data.leakage import leakage
from lanewise.data.positive_class import frequent_positive, positive_mistakes, with_positive
from lanewise.data.roles import check_names, role_mistakes
from lanewise.data.row_order import order_of_time
from lanewise.data.splits import Fold, default_folds, fold_count, folds, holdout, row_groups, row_times
from lanewise.data.streaming import with_target_of_rest
from lanewise.data.target import encode_target, few_rows, label_findings, labelled_rows, rare_in_test, resolve_task
from lanewise.data.target_tails import extreme_rows, target_tail_findings
from lanewise.errors import DataError, UsageError, all_of
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.metrics import Metric, resolve_metric
from lanewise.settings.names import Scaling
from lanewise.task import Task, TaskKind
from lanewise.training.own_test_rows import joined_below
from lanewise.training.problem import Problem
from lanewise.training.room import check_room, most_cells, with_room
from lanewise.training.streamed.rest_parts import Parts
from lanewise.training.streamed.streamed_rest import training_rest, weights_of
from lanewise.training.weighing import class_weight_mistakes, weighing_of


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for about the data; ``cells`` of it, prepared for all folds, suit the budget."""

    target: str
    kind: TaskKind | None = None
    metric: str | None = None
    drop: tuple[str, ...] = ()
    weight: str | None = None
    class_weights: str | Mapping[str, float] | None = None
    positive: str | None = None
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
    task, features, rows = asked.task, asked.audited.features, asked.audited.rows
    divided = _divided(dataset, test, request, asked)
    whole, y, train = divided.whole, divided.y, divided.train
    laid = _laid_out(dataset, divided, request, asked)
    leaks = leakage(dataset, target=request.target, kind=task.kind, features=features, rows=rows)
    rest = training_rest(
        dataset,
        task=task,
        layout=laid.layout,
        features=features,
        parts=laid.streamed,
        groups=None if request.group else asked.group,
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
        contract=_contract(whole, request, asked, divided, laid),
        features=features,
        set_aside=asked.audited.set_aside,
        findings=(*asked.findings, *leaks, *divided.findings, *of_rest, *laid.findings),
        y=y,
        weight=None if weighing is None else weighing(y, own),
        train=train,
        test=divided.held,
        folds=laid.folds,
        layout=laid.layout,
        encoded=laid.layout.encode(whole),
        clusters=asked.group,
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
    task = replace(with_positive(task, request.positive), metric=metric.name)
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
    mistakes += positive_mistakes(task, request.positive)
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
    if request.positive is None:
        noticed += frequent_positive(y[rows], task)
    if test is None:
        train, held = holdout(
            y, task=task, seed=request.seed, fraction=request.test_fraction, rows=rows, group=group, time=asked.time
        )
        if request.time is None and request.group is None and dataset.rest is None:
            noticed += order_of_time(dataset, features, rows)
        if group is None:
            noticed += duplicates_across_split(train, held, duplicate_groups(dataset, features))
    else:
        whole, held = joined_below(dataset, test, features, task=task, weight=request.weight)
        y = encode_target(whole, task)
        noticed += label_findings(test, task)
        noticed += training_rows_tested(rows, held, duplicate_groups(whole, (*features, request.target)))
    noticed += few_rows(len(train) + (0 if dataset.rest is None else dataset.rest.rows), len(held))
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _LaidOut:
    """The widths of the features and the folds that there is room for, and what both were told by.

    ``facts`` are those of the training rows by column, ``beyond`` those of the rows that a streamed table has beside
    them, which lie in the parts ``streamed``; None where nothing is streamed.
    """

    layout: Layout
    folds: tuple[Fold, ...]
    facts: Mapping[str, ColumnFacts]
    beyond: Mapping[str, ColumnFacts] | None
    streamed: Parts | None
    findings: Sequence[Finding]


def _laid_out(dataset: Dataset, divided: _Divided, request: Request, asked: _Asked) -> _LaidOut:
    features, whole, train = asked.audited.features, divided.whole, divided.train
    parts, fewer = _folds(dataset, divided, request, asked)
    streamed = None
    if dataset.rest is not None and dataset.rest.rows:
        streamed = Parts.made(
            dataset, train=train, test=divided.held, folds=parts, group=request.group, time=request.time
        )
    beyond = None if streamed is None else streamed.facts(features)
    facts = facts_of(whole.frame.select(features)[train], whole.kinds)
    settings = LayoutSettings(
        scaling=request.scaling, max_levels=levels_kept(LayoutSettings.max_levels, facts.values())
    )
    layout = Layout.fit(whole, features, train, settings=settings, beyond=beyond, counted=facts)
    if dataset.rest is None:  # before what takes long
        free = request.folds is None and request.time is None
        layout, parts, crowded = with_room(
            layout,
            parts,
            rows=len(divided.y),
            cells=request.cells,
            divided=partial(_in_parts, divided, request, asked) if free else None,
        )
        fewer = (*fewer, *crowded)
        check_room(dataset.source, layout, rows=len(divided.y), folds=len(parts))
    return _LaidOut(layout=layout, folds=parts, facts=facts, beyond=beyond, streamed=streamed, findings=fewer)


def _contract(whole: Dataset, request: Request, asked: _Asked, divided: _Divided, laid: _LaidOut) -> DataContract:
    return DataContract.of(
        whole,
        task=asked.task,
        features=asked.audited.features,
        rows=divided.train,
        missing=request.missing,
        delimiter=request.delimiter,
        encoding=request.encoding,
        facts=laid.facts,
        beyond=laid.beyond,
    )


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
