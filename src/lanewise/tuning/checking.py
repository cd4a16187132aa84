"""What a user hands to :func:`lanewise.tune`, checked before anything is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import DataError, UsageError
from lanewise.metrics import Metric
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint, first_line
from lanewise.models.keyed_draws import keyed_draws
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.module_subject import BatchLoss, UserLoss, per_row

PAIR = 2
AGREES = 1e-3
"""How far, relative to its size, the loss of a batch may be from the mean of the losses of its rows."""

RowScore = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What decides the race: the mean over rows of ``score (outputs, targets) -> [n]``; None: of the loss."""

    metric: Metric
    score: RowScore | None


def judge_of(metric: Any) -> Judge:
    """None, ``"accuracy"``, or ``(function, "min" | "max")``; the function gives a number per row.

    Raises ``UsageError`` for anything else.
    """
    if metric is None:
        return Judge(metric=_mean("loss", "min"), score=None)
    if metric == "accuracy":
        return Judge(metric=_mean("accuracy", "max"), score=accuracy)
    if isinstance(metric, tuple) and len(metric) == PAIR and callable(metric[0]) and metric[1] in ("min", "max"):
        score: Any = metric[0]
        name = str(getattr(score, "__name__", type(score).__name__))
        return Judge(metric=_mean(name, metric[1]), score=score)
    message = (
        f"metric must be 'accuracy' or a pair such as (function, 'max') whose function maps outputs and targets to a "
        f"number per row, got {metric!r}"
    )
    raise UsageError(message)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 where the highest output is that of the target, else 0: ``outputs [n, C, ...]``, ``targets [n, ...]``."""
    return (outputs.argmax(1) == targets).double()


def _mean(name: str, direction: Any) -> Metric:
    return Metric(
        name=name,
        direction=direction,
        kinds=("regression",),
        words=f"mean {name} of the validation rows",
        values=lambda y, prediction, threshold: prediction[:, None],
        averages=True,
    )


def training_data(train: object, valid: object) -> TrainingData:
    """Both pairs as the one fold of a race: ``X [N, ...]``, ``y [N, ...]``, training rows first.

    Raises ``UsageError`` or ``DataError``: not a pair of arrays, lengths or shapes that do not fit, no rows, NaN.
    """
    (X, y), (X_valid, y_valid) = _pair("train", train), _pair("valid", valid)
    for what, one, other in (("X", X, X_valid), ("y", y, y_valid)):
        if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
            message = (
                f"{what} of train is [rows, {_form(one)}], that of valid [rows, {_form(other)}]; they must be alike"
            )
            raise DataError(message)
    rows = len(X) + len(X_valid)
    fold = FoldData(
        dense=torch.cat([X, X_valid]),
        codes=torch.zeros(rows, 0, dtype=torch.int64),
        target=torch.cat([y, y_valid]),
        train=torch.arange(len(X)),
        valid=torch.arange(len(X), rows),
    )
    task = Task(target="y", kind="regression", metric="loss")
    return TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=rows)


def _form(tensor: Tensor) -> str:
    return ", ".join([*map(str, tensor.shape[1:]), str(tensor.dtype).removeprefix("torch.")])


def _pair(name: str, given: object) -> tuple[Tensor, Tensor]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != PAIR:
        message = f"{name} must be a pair (X, y) of tensors or NumPy arrays, got {type(given).__name__}"
        raise UsageError(message)
    X, y = (_tensor(f"{part} of {name}", value) for part, value in zip("Xy", given, strict=True))
    if not X.dim() or not y.dim() or len(X) != len(y):
        message = f"X of {name} has shape {tuple(X.shape)} and y {tuple(y.shape)}; both must have one entry per row"
        raise DataError(message)
    if not len(X):
        message = f"{name} has no rows; give at least one"
        raise DataError(message)
    return X, y


def _tensor(name: str, given: object) -> Tensor:
    if not isinstance(given, Tensor | np.ndarray):
        message = f"{name} must be a tensor or a NumPy array, got {type(given).__name__}"
        raise UsageError(message)
    try:
        tensor = torch.as_tensor(given).detach()
    except TypeError:
        message = f"{name} is an array of {np.asarray(given).dtype}; give numbers"
        raise UsageError(message) from None
    if tensor.device.type != "cpu":
        message = f"{name} is on {tensor.device}; tune trains on the CPU so far: give it with .cpu()"
        raise UsageError(message)
    if tensor.is_floating_point():
        broken = (~torch.isfinite(tensor)).flatten(1).any(1) if tensor.dim() > 1 else ~torch.isfinite(tensor)
        if bool(broken.any()):
            message = (
                f"{name} has NaN or infinite values in {int(broken.sum()):,} of {len(tensor):,} rows, the first in "
                f"row {int(broken.nonzero()[0])}; remove those rows or fill them"
            )
            raise DataError(message)
    return tensor


def fitted_to(data: TrainingData, dtype: torch.dtype) -> TrainingData:
    """The data with floating inputs and targets in the dtype of the module's weights."""
    fold = data.folds[0]
    dense = fold.dense.to(dtype) if fold.dense.is_floating_point() else fold.dense
    target = fold.target.to(dtype) if fold.target.is_floating_point() else fold.target
    codes, train, valid = fold.codes, fold.train, fold.valid
    changed = FoldData(dense=dense, codes=codes, target=target, train=train, valid=valid)
    return TrainingData(task=data.task, width=data.width, folds={0: changed}, rows=data.rows)


def check_first_batch(
    blueprint: Blueprint, data: TrainingData, loss: BatchLoss, judge: Judge, *, batch_size: int
) -> None:
    """Raise ``UsageError`` where loss or metric of the first batch are not what training and judging need."""
    fold = data.folds[0]
    rows = fold.train[:batch_size]
    X, y = fold.dense[rows], fold.target[rows]
    module = blueprint.module().train()
    with keyed_draws(0):
        outputs = module(X)
    value = _loss_of(loss, outputs, y)
    if not value.requires_grad:
        message = "the loss does not depend on the weights: it must be computed from the module's outputs with torch"
        raise UsageError(message)
    if not bool(torch.isfinite(value).all()):
        message = "the loss of the first batch is not finite before any training; check the data and the loss"
        raise UsageError(message)
    with torch.no_grad():
        outputs = outputs.detach()
        whole, apart = float(value.mean()), float(UserLoss(loss, looped=True).rows(outputs, y).mean())
        if abs(whole - apart) > AGREES * max(abs(whole), AGREES):
            message = (
                f"the loss of a batch ({whole:.6g}) must be the mean of the losses of its rows ({apart:.6g}); "
                "return one loss per row, as reduction='none' does"
            )
            raise UsageError(message)
        if judge.score is not None:
            per_row(torch.as_tensor(judge.score(outputs, y)), len(rows))


def _loss_of(loss: BatchLoss, outputs: Tensor, y: Tensor) -> Tensor:
    forms = f"outputs {tuple(outputs.shape)} and targets {tuple(y.shape)} {str(y.dtype).removeprefix('torch.')}"
    try:
        value = loss(outputs, y)
    except Exception as error:
        message = f"the loss failed on {forms}: {type(error).__name__}: {first_line(error)}"
        raise UsageError(message) from error
    if not isinstance(value, Tensor):
        message = f"the loss must return a tensor, a scalar or one loss per row, got {type(value).__name__}"
        raise UsageError(message)
    if value.dim() and len(value) != len(y):
        message = (
            f"the loss returned a tensor {tuple(value.shape)} for {forms}; "
            f"it must be a scalar or have one loss for each of the {len(y)} rows"
        )
        raise UsageError(message)
    return value
