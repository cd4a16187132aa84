"""Whether what was asked for fits the table: found out before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from lanewise.data.dataset import Dataset
from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError, all_of
from lanewise.losses import LOSSES_OF
from lanewise.metrics import resolve_metric, unknown_metric
from lanewise.optim.registry import RULES
from lanewise.settings import FitSettings, either, threshold_value
from lanewise.stated_names import SOLVER
from lanewise.training.device import device_here
from lanewise.training.problem import Problem
from lanewise.training.ranks.crew import check_device, check_payload, check_workers, fitting


def check_agreement(problem: Problem, settings: FitSettings) -> None:
    """``UsageError`` for all settings that this table cannot have."""
    mistakes = [line for told in (_losses, _threshold, _folds) for line in told(problem, settings)]
    if mistakes:
        raise all_of(UsageError, mistakes, heading=f"{len(mistakes)} settings do not fit the table")


def known_names(settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names that settings may list, for those that no setting alone knows; to be checked with all the others."""
    return {"optimizers": (SOLVER, *RULES), **unknown_metric(settings.get("metric"))}


def check_ranks(ranks: Ranks, source: object, settings: FitSettings, *, begins: bool) -> None:
    """``UsageError`` where several ranks cannot do what is asked; one that ``begins`` needs the ranks of its mesh."""
    if ranks.size > 1 and isinstance(source, str) and source == "-":
        message = "standard input reaches one process only; write the table to a file that all ranks can read"
        raise UsageError(message)
    check_device(settings.device, settings.mesh if begins else fitting(settings.mesh, ranks.size), ranks.size)
    if ranks.size > 1:  # each has a GPU of its own; that of one process was looked for before
        device_here(settings.device, ranks.place)
    if begins:
        check_workers(settings.mesh, ranks.size, settings.workers)
        check_payload(settings.payload, settings.mesh, ranks.size)


def check_streamed(dataset: Dataset, settings: FitSettings) -> None:
    """``UsageError`` where settings ask for what cannot be had of rows that are not all in memory."""
    if dataset.rest is not None and settings.device.startswith("cuda"):
        message = f"rows that are streamed from disk train on processors only, got device {settings.device}"
        raise UsageError(message)


def _losses(problem: Problem, settings: FitSettings) -> Iterator[str]:
    task, allowed = problem.task, LOSSES_OF[problem.task.kind]
    wrong = [name for name in settings.losses if name not in allowed]
    if wrong:
        yield f"losses may be {either(allowed)} for {task.target!r}, a {task.kind} target, got {' and '.join(wrong)}"


def _threshold(problem: Problem, settings: FitSettings) -> Iterator[str]:
    if settings.threshold is None:
        return
    if problem.task.kind != "binary":
        yield f"threshold is for two classes, and {problem.task.target!r} is a {problem.task.kind} target"
    elif threshold_value(settings.threshold) is None:
        try:
            metric = resolve_metric(settings.threshold, problem.task.kind)
        except UsageError as error:
            yield str(error)
            return
        if not metric.uses_threshold:
            yield f"threshold must be a metric that a threshold alters, such as f1 or accuracy, got {metric.name}"


def _folds(problem: Problem, settings: FitSettings) -> Iterator[str]:
    rows = len(problem.train)
    if settings.folds is not None and settings.folds > rows:
        yield f"folds must be at most {rows:,}, the number of training rows, got {settings.folds}"
