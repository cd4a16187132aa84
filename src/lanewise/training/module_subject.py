"""A user's own module and loss as what a stack trains."""

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from lanewise.errors import UsageError
from lanewise.lanes.roster import Lane
from lanewise.models.base import StackedModel
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import Reader, StackedModule
from lanewise.training.data import TrainingData
from lanewise.training.subject import Subject

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""``(outputs [B, ...], targets [B, ...])`` to the mean loss of the batch, or to the loss of each row ``[B, ...]``."""


@final
class UserLoss:
    """A loss of one model as the loss of lanes; vectorized over them, or with ``looped`` one after another."""

    def __init__(self, loss: BatchLoss, *, looped: bool = False) -> None:
        self.loss = loss
        self.looped = looped

    def __call__(self, outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
        """``outputs [L, B, ...]`` and ``targets [L, B, ...]`` to ``[L, K]`` whose mean over K is each lane's loss."""
        del smoothing
        if self.looped or len(outputs) == 1:
            values = torch.stack([self.loss(own, wanted) for own, wanted in zip(outputs, targets, strict=True)])
        else:
            values = vmap(self.loss, randomness="same")(outputs, targets)
        return values.reshape(len(outputs), -1)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every row ``[n]``, each a batch of its own: ``outputs [n, ...]``, ``targets [n, ...]``."""
        values = self.loss(outputs, targets)
        if values.dim():
            return per_row(values, len(outputs))
        if self.looped:
            pairs = zip(outputs.split(1), targets.split(1), strict=True)
            return torch.stack([self.loss(own, wanted) for own, wanted in pairs])
        return vmap(lambda own, wanted: self.loss(own[None], wanted[None]), randomness="same")(outputs, targets)


def per_row(values: Tensor, rows: int) -> Tensor:
    """One number per row ``[n]`` of ``values [n, ...]``: the mean over what a row has several of."""
    if not values.dim() or len(values) != rows:
        message = f"a loss or metric gave {tuple(values.shape)} for {rows} rows; it must give one number per row"
        raise UsageError(message)
    return values if values.dim() == 1 else values.flatten(1).mean(1)


@final
class ModuleSubject(Subject):
    """Lanes of a :class:`Blueprint` that learn by ``loss``; ``score`` gives the number per row that they are judged by.

    ``score (outputs [n, ...], targets [n, ...]) -> [n]``; None: the loss itself. A blueprint of whole passes has loss
    and score in it, and ``read`` makes its batches.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        data: TrainingData,
        loss: BatchLoss,
        *,
        score: Callable[[Tensor, Tensor], Tensor] | None = None,
        looped: bool = False,
        loss_looped: bool = False,
        read: Reader | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.looped = looped
        self._data = data
        self._read = read
        if blueprint.whole:
            self.loss, self._score = _as_returned, lambda outputs, targets: outputs
        else:
            self.loss = own = UserLoss(loss, looped=loss_looped)
            self._score = score or own.rows

    def model(self, lanes: Sequence[Lane]) -> StackedModel:
        del lanes
        return StackedModule(self.blueprint, looped=self.looped, read=self._read)

    def judged(self, fold: int, raw: Tensor) -> np.ndarray:
        data = self._data.folds[fold]
        with torch.no_grad():
            values = per_row(self._score(raw, data.target[data.valid]), len(raw))
        return values.double().numpy()[:, None]


def _as_returned(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """The losses ``[L, K]`` that a whole pass returns."""
    del targets, smoothing
    return outputs
