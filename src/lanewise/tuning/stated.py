"""What a tuning race is told, checked before any row is read, so that all mistakes are told at once."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lanewise.errors import Mistakes, UsageError, as_given
from lanewise.metrics import METRICS
from lanewise.search.policy import Policy
from lanewise.search.registry import policy_name, policy_of
from lanewise.settings.budget import parse_budget
from lanewise.training.device import device_of
from lanewise.training.judging import FEWEST_PARTED
from lanewise.training.ranks.crew import check_device, check_payload, check_workers, mesh_of
from lanewise.tuning.checking import Judge, judge_of
from lanewise.tuning.entrants import Entry, check_whole
from lanewise.tuning.named_metrics import NAMES
from lanewise.tuning.planning import check_steps
from lanewise.tuning.posing import check_objective
from lanewise.tuning.precision import check_precision
from lanewise.tuning.proposing import Where


def check_stated(
    make_model: Callable[..., nn.Module],
    *,
    candidates: Any = None,
    space: Any = None,
    search: Any = "sobol",
    where: Where | None = None,
    loss: object = None,
    step: object = None,
    groups: object = None,
    folds: int | None = None,
    early_stopping: object = False,
    metric: object = None,
    budget: object = "60s",
    policy: str | Policy = "halving",
    seeds: int | Sequence[int] = 1,
    seed: int = 0,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str | torch.device = "auto",
    full_length: int | None = None,
    mesh: str | None = None,
    payload: Any = "full",
    precision: str = "float32",
    ranks: int = 1,
) -> Entry:
    """Who is to take part; raises ``UsageError`` with everything that is off in what :func:`lanewise.tune` is told.

    Told are a line for each mistake. ``ranks`` are those that will race.
    """
    entry = Entry(make_model=make_model, candidates=candidates, space=space, search=search, where=where, seed=seed)
    mistakes = Mistakes()
    mistakes.of(_check_make, make_model)
    mistakes.of(check_objective, loss, step)
    mistakes.of(_check_groups, groups)
    judge = mistakes.of(judge_of, metric)
    mistakes.of(_check_budget, budget)
    mistakes.of(entry.check)
    known = mistakes.of(policy_of, policy)
    if judge is not None and known is not None:
        mistakes.of(_check_losses, known, judge)
    mistakes.of(seeds_of, seeds)
    mistakes.of(check_whole, "seed", seed, least=0)
    counts = {"batch_size": batch_size, "workers": workers, "full_length": full_length}
    for name, count in counts.items():
        if count is not None:
            mistakes.of(check_whole, name, count, least=1)
    if folds is not None:
        mistakes.of(check_whole, "folds", folds, least=2)
    mistakes.of(_check_early, early_stopping)
    there = mistakes.of(device_of, device)
    mistakes.of(check_precision, precision, there)
    if mistakes.of(mesh_of, mesh, ranks) is not None:
        mistakes.of(check_workers, mesh, ranks, workers)
        mistakes.of(check_payload, payload, mesh, ranks)
        if there is not None:
            mistakes.of(check_device, str(there), mesh, ranks)
    mistakes.tell()
    return entry


def _check_early(early_stopping: object) -> None:
    if not isinstance(early_stopping, bool):
        message = f"early_stopping must be True or False, got {early_stopping!r}"
        raise UsageError(message)


def check_parted(rows: int) -> None:
    """``UsageError`` where so few validation ``rows`` cannot say where trainings are to stop."""
    if rows < FEWEST_PARTED:
        message = (
            f"early_stopping takes at least {FEWEST_PARTED} validation rows, of which each is judged where the others "
            f"were best, got {rows}; give more, or folds"
        )
        raise UsageError(message)


def _check_make(make_model: Callable[..., nn.Module]) -> None:
    if not callable(make_model) or isinstance(make_model, nn.Module):
        message = (
            f"make_model must be a function that builds the module anew, got {type(make_model).__name__}; "
            "give lambda: MyModel() or the class itself"
        )
        raise UsageError(message)


def _check_groups(groups: object) -> None:
    if groups is not None and not callable(groups):
        message = f"groups must be a function of the module to groups of its parameters, got {as_given(groups)}"
        raise UsageError(message)


def _check_losses(policy: Policy, judge: Judge) -> None:
    if policy.reads_losses and judge.metric.pointwise is None:
        single = [name for name in NAMES if METRICS[name].averages]
        message = (
            f"policy {policy_name(policy)} compares the losses of single rows, and {judge.metric.name} is a score of "
            f"all rows together; give another policy, such as halving, or a metric of rows: {', '.join(single)}"
        )
        raise UsageError(message)


def _check_budget(budget: object) -> None:
    _, steps = parse_budget(budget)
    if steps is not None:
        check_steps(steps)


def seeds_of(given: int | Sequence[int]) -> tuple[int, ...]:
    """So many seeds from 0 on, or those that are given, each once.

    >>> seeds_of(3), seeds_of([7, 7, 1])
    ((0, 1, 2), (7, 1))
    """
    try:
        own = tuple(range(given)) if isinstance(given, int) else tuple(dict.fromkeys(map(operator.index, given)))
    except (TypeError, ValueError):
        own = ()
    if not own or min(own) < 0:
        message = f"seeds must be a count of at least 1, or seeds that are not negative, got {given!r}"
        raise UsageError(message)
    return own
