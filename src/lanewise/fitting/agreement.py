"""Whether what was asked for fits the table: found out before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from lanewise.data.dataset import Dataset
from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError, all_of
from lanewise.losses import LOSSES_OF
from lanewise.metrics import resolve_metric, unknown_metrics
from lanewise.optim.registry import RULES
from lanewise.search.policy import Policy
from lanewise.search.registry import POLICIES, policy_name
from lanewise.settings.fit import FitSettings, either, metrics_stated, threshold_value
from lanewise.settings.names import SOLVER
from lanewise.task import Task
from lanewise.training.device import device_here
from lanewise.training.problem import Problem
from lanewise.training.ranks.crew import check_device, check_payload, check_workers, fitting


def target_mistakes(task: Task, settings: FitSettings) -> Iterator[str]:
    """A line for each setting that the target cannot have, whatever the rest of the table."""
    yield from _losses(task, settings)
    yield from _threshold(task, settings)


def check_agreement(problem: Problem, settings: FitSettings) -> None:
    """``UsageError`` for all settings that this table cannot have."""
    mistakes = [*target_mistakes(problem.task, settings), *_folds(problem, settings)]
    if mistakes:
        raise all_of(UsageError, mistakes, heading=f"{len(mistakes)} settings do not fit the table")


def check_policy_suits(policy: Policy, problem: Problem) -> None:
    """``UsageError`` where a policy does what a race over a table cannot, or needs what its metric has not."""
    if policy.copies:
        message = (
            f"policy {policy_name(policy)} copies lanes, which only lanewise.tune does; choose "
            f"{', '.join(name for name, own in POLICIES.items() if not own.copies)}, or one of yours without copies"
        )
        raise UsageError(message)
    if policy.reads_losses and problem.metric.pointwise is None:
        message = (
            f"policy {policy_name(policy)} compares the losses of single rows, and {problem.metric.name} has none; "
            "choose another policy or metric"
        )
        raise UsageError(message)


def known_names(settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names that settings may list, for those that no setting alone knows; to be checked with all the others."""
    return {"optimizers": (SOLVER, *RULES), **unknown_metrics(metrics_stated(settings))}


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


def _losses(task: Task, settings: FitSettings) -> Iterator[str]:
    allowed = LOSSES_OF[task.kind]
    wrong = [name for name in settings.losses if name not in allowed]
    if wrong:
        yield f"losses may be {either(allowed)} for {task.target!r}, a {task.kind} target, got {' and '.join(wrong)}"


def _threshold(task: Task, settings: FitSettings) -> Iterator[str]:
    stated = settings.threshold
    if stated is not None and task.kind != "binary":
        yield f"threshold is for two classes, and {task.target!r} is a {task.kind} target"
    elif stated is not None and threshold_value(stated) is None and not _is_altered(stated):
        yield (
            "threshold must be a number between 0 and 1, or a metric that a threshold alters, such as f1 or accuracy, "
            f"got {stated}"
        )


def _is_altered(metric: str) -> bool:
    """Whether a metric of two classes depends on a threshold."""
    try:
        return resolve_metric(metric, "binary").uses_threshold
    except UsageError:
        return False


def _folds(problem: Problem, settings: FitSettings) -> Iterator[str]:
    rows = len(problem.train)
    if settings.folds is not None and settings.folds > rows:
        yield f"folds must be at most {rows:,}, the number of training rows, got {settings.folds}"
