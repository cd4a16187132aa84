"""A user's module trained alone, to measure its steps."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.errors import DataError, UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

UNTIL = 200_000
"""Steps of a training that is only measured, more than there is time for; its schedule is written out beforehand."""


def pair_of(train: Any) -> tuple[Tensor, Tensor]:
    """``X [N, ...]`` and ``y [N, ...]`` as tensors; raises where batches of any size cannot be taken from ``train``."""
    parts = train if isinstance(train, tuple | list) and len(train) == len("Xy") else ()
    if not parts or not all(hasattr(part, "shape") and len(part.shape) for part in parts):
        message = f"batch sizes are measured on a pair (X, y) of tensors or arrays, got {type(train).__name__}"
        raise UsageError(message)
    X, y = (torch.as_tensor(part).detach() for part in parts)
    if len(X) != len(y) or not len(X):
        message = f"X of train has shape {tuple(X.shape)} and y {tuple(y.shape)}; both must have one entry per row"
        raise DataError(message)
    return X, y


def solo_stacks(
    make_model: Callable[[], nn.Module],
    pair: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    base: Candidate,
    sizes: Iterable[int],
) -> dict[int, Stack]:
    """For each batch size a training of the module alone with the optimizer of ``base``, that hardly moves.

    Raises ``UsageError`` where the module cannot be used.
    """
    X, y = pair
    sizes = sorted(sizes)
    blueprint = Blueprint.of(make_model, X[: sizes[0]])
    X, y = (part.to(blueprint.dtype) if part.is_floating_point() else part for part in (X, y))
    rows = torch.arange(len(X))
    fold = FoldData(
        dense=X, codes=torch.zeros(len(X), 0, dtype=torch.int64), target=y, train=rows, valid=rows[: sizes[0]]
    )
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=len(X))
    return {size: _stack(blueprint, data, loss, base, size) for size in sizes}


def _stack(blueprint: Blueprint, data: TrainingData, loss: Any, base: Candidate, size: int) -> Stack:
    settings = {**base.settings, "batch_size": size, "lr": 1e-9, "schedule": "constant"}
    candidate = Candidate(id=f"{base.optimizer}-{size}", model=base.model, optimizer=base.optimizer, settings=settings)
    return Stack(
        [Lane(candidate=candidate, fold=0, seed=0)],
        data,
        length=UNTIL,
        batch_size=size,
        dtype=blueprint.dtype,
        subject=ModuleSubject(blueprint, data, loss, looped=True, loss_looped=True),
    )
