"""Whether what was asked for fits the table: found out before anything is trained."""

from collections.abc import Mapping
from typing import Any

from lanewise.data.dataset import Dataset
from lanewise.data.memory import memory_bytes
from lanewise.distributed.ranks import Ranks
from lanewise.errors import DataError, UsageError
from lanewise.losses import LOSSES_OF, SMOOTH
from lanewise.metrics import resolve_metric, unknown_metric
from lanewise.optim.registry import RULES
from lanewise.settings import FitSettings, either, threshold_value
from lanewise.training.planning.proposals import SOLVER
from lanewise.training.problem import Problem
from lanewise.training.ranks.crew import check_device, check_payload, check_workers

SHAPES = ("widths", "depths", "activations")
"""Settings of networks alone."""

MEMORY_SHARE = 0.8
"""Of the memory that the prepared rows alone may take: models, gradients and predictions need some too."""


def check_agreement(problem: Problem, settings: FitSettings) -> None:
    """``UsageError`` where settings name something that does not exist, or that this table cannot have.

    ``DataError`` where the rows, prepared for every fold, do not fit into memory.
    """
    if problem.dataset.rest is None:
        _check_memory(problem)
    _check_optimizers(settings)
    _check_losses(problem, settings)
    _check_shapes(settings)
    _check_threshold(problem, settings)
    rows = len(problem.train)
    if settings.folds is not None and settings.folds > rows:
        message = f"folds must be at most {rows:,}, the number of training rows, got {settings.folds}"
        raise UsageError(message)


def known_names(settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names that settings may list, for those that no setting alone knows; to be checked with all the others."""
    return {"optimizers": (SOLVER, *RULES), **unknown_metric(settings.get("metric"))}


def check_ranks(ranks: Ranks, source: object, settings: FitSettings, *, begins: bool) -> None:
    """``UsageError`` where several ranks cannot do what is asked; one that ``begins`` needs the ranks of its mesh."""
    if ranks.size > 1 and isinstance(source, str) and source == "-":
        message = "standard input reaches one process only; write the table to a file that all ranks can read"
        raise UsageError(message)
    check_device(settings.device, ranks.size)
    if begins:
        check_workers(settings.mesh, ranks.size, settings.workers)
        check_payload(settings.payload, settings.mesh, ranks.size)


def _check_memory(problem: Problem) -> None:
    rows, features, folds = len(problem.y), problem.width.dense + len(problem.width.levels), len(problem.folds)
    needed, there = 4 * rows * features * folds, memory_bytes()  # float32
    if needed > MEMORY_SHARE * there:
        message = (
            f"{problem.dataset.source} does not fit: {rows:,} rows of {features:,} features, prepared for each of "
            f"{folds} folds, take {needed / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f} GB; "
            "leave out columns (drop) or rows, or ask for fewer folds"
        )
        raise DataError(message)


def check_streamed(dataset: Dataset, settings: FitSettings) -> None:
    """``UsageError`` where settings ask for what cannot be had of rows that are not all in memory."""
    if dataset.rest is None:
        return
    if settings.device.startswith("cuda"):
        message = f"rows that are streamed from disk train on processors only, got device {settings.device}"
        raise UsageError(message)


def _check_optimizers(settings: FitSettings) -> None:
    gradient = [model for model in settings.models if model in ("mlp", "linear")]
    if settings.optimizers and not gradient:
        message = f"optimizers are for the models mlp and linear, and only {', '.join(settings.models)} take part"
        raise UsageError(message)
    if settings.optimizers == (SOLVER,) and gradient == ["mlp"]:
        message = f"{SOLVER} is for the model linear; name another optimizer for mlp, such as adamw"
        raise UsageError(message)


def _check_losses(problem: Problem, settings: FitSettings) -> None:
    if not settings.losses:
        return
    if not {"mlp", "linear"} & set(settings.models):
        message = f"losses are for the models mlp and linear, and only {', '.join(settings.models)} take part"
        raise UsageError(message)
    task, allowed = problem.task, LOSSES_OF[problem.task.kind]
    wrong = [name for name in settings.losses if name not in allowed]
    if wrong:
        message = (
            f"losses may be {either(allowed)} for {task.target!r}, a {task.kind} target, got {' and '.join(wrong)}"
        )
        raise UsageError(message)
    if settings.optimizers == (SOLVER,) and SMOOTH.isdisjoint(settings.losses):
        message = (
            f"{SOLVER} needs a smooth loss, and {' and '.join(settings.losses)} is none; "
            "name another optimizer, such as sgd, or another loss, such as squared_hinge"
        )
        raise UsageError(message)


def _check_shapes(settings: FitSettings) -> None:
    taking = ["linear", "mlp"] if settings.optimizers != (SOLVER,) else []
    for name, families in {"schedules": ("mlp", "linear"), **dict.fromkeys(SHAPES, ("mlp",))}.items():
        if getattr(settings, name) and not {*families} & {*settings.models} & {*taking}:
            who = f"optimizers {SOLVER}" if not taking else f"models {', '.join(settings.models)}"
            message = f"{name} are for {' and '.join(families)} trained by gradient rules, got {who}"
            raise UsageError(message)


def _check_threshold(problem: Problem, settings: FitSettings) -> None:
    if settings.threshold is None:
        return
    if problem.task.kind != "binary":
        message = f"threshold is for two classes, and {problem.task.target!r} is a {problem.task.kind} target"
        raise UsageError(message)
    if threshold_value(settings.threshold) is None:
        metric = resolve_metric(settings.threshold, problem.task.kind)
        if not metric.uses_threshold:
            message = f"threshold must be a metric that a threshold alters, such as f1 or accuracy, got {metric.name}"
            raise UsageError(message)
