"""A user's own module and loss as what a stack trains."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import numpy as np
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm

from lanewise import losses
from lanewise.errors import LanewiseError, UsageError, first_sentence
from lanewise.lanes.roster import Lane, Roster
from lanewise.models.base import StackedModel
from lanewise.models.blueprint import Blueprint
from lanewise.models.chain import Chain
from lanewise.models.module import Reader, StackedModule
from lanewise.models.same_operations import altered, same_operations
from lanewise.training.data import TrainingData
from lanewise.training.divisible import out_of_memory
from lanewise.training.subject import Subject

LOOKED_AT = 256
"""Validation rows, evenly taken, that dead units are looked for with."""

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""``(outputs [B, ...], targets [B, ...])`` to the mean loss of the batch, or to the loss of each row ``[B]``."""


ELEMENTWISE: Final = (nn.BCEWithLogitsLoss, nn.HuberLoss, nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss)
"""Losses that are a mean over elements, whose own weights (of BCEWithLogitsLoss) are not given."""

FUNCTIONS: Final[tuple[tuple[Any, type[nn.Module]], ...]] = (
    (F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss),
    (F.cross_entropy, nn.CrossEntropyLoss),
    (F.huber_loss, nn.HuberLoss),
    (F.l1_loss, nn.L1Loss),
    (F.mse_loss, nn.MSELoss),
    (F.smooth_l1_loss, nn.SmoothL1Loss),
)


def each_element(loss: BatchLoss) -> BatchLoss | None:
    """torch's own ``loss`` as one of every element, of rows or of rows of lanes; None for a loss that is not known."""
    kinds = [kind for function, kind in FUNCTIONS if function is loss]
    own: Any = kinds[0]() if kinds else loss
    if not isinstance(own, nn.Module) or altered(own) or getattr(own, "reduction", "") not in ("mean", "none"):
        return None
    if getattr(own, "weight", None) is not None or getattr(own, "pos_weight", None) is not None:
        return None
    if type(own) is nn.CrossEntropyLoss:
        return _entropy if not own.label_smoothing and own.ignore_index < 0 else None
    if type(own) not in ELEMENTWISE:
        return None
    each: Any = copy.copy(own)
    each.reduction = "none"
    return each


def _entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every row: ``outputs [..., B, C]``, classes ``targets [..., B]``."""
    return losses.softmax(outputs, targets) if outputs.dim() == 3 else losses.softmax(outputs[None], targets[None])[0]


@final
class UserLoss:
    """A loss of one model as the loss of lanes; vectorized over them, or with ``looped`` one after another.

    ``each``, where it is known, is the same for every element, of which the loss is the mean: see :func:`each_element`.
    """

    def __init__(self, loss: BatchLoss, *, looped: bool = False, each: BatchLoss | None = None) -> None:
        self.loss = loss
        self.looped = looped
        self._each = each

    @property
    def known(self) -> bool:
        """Whether it is one of torch's own, known element by element."""
        return self._each is not None

    def __call__(self, outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
        """``outputs [L, B, ...]`` and ``targets [L, B, ...]`` to ``[L, K]`` whose mean over K is each lane's loss."""
        del smoothing
        if self._each is not None and self._fits(outputs, targets, 3):
            values = self._each(outputs, targets)
        elif self.looped or len(outputs) == 1:
            values = torch.stack([self.loss(own, wanted) for own, wanted in zip(outputs, targets, strict=True)])
        else:
            values = vmap(self.loss, randomness="same")(outputs, targets)
        return values if values.dim() == 2 else values.reshape(len(outputs), -1)

    def _fits(self, outputs: Tensor, targets: Tensor, dims: int) -> bool:
        """Whether the loss means one of each element, and not what torch makes of other forms."""
        if self._each is _entropy:
            return outputs.dim() == dims and targets.dtype == torch.int64 and targets.shape == outputs.shape[:-1]
        return outputs.shape == targets.shape

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every row ``[n]``, each a batch of its own: ``outputs [n, ...]``, ``targets [n, ...]``."""
        if self._each is not None and self._fits(outputs, targets, 2):
            return per_row(self._each(outputs, targets), len(outputs))
        values = self.loss(outputs, targets)
        if values.dim():
            return per_row(values, len(outputs))
        if self.looped:
            pairs = zip(outputs.split(1), targets.split(1), strict=True)
            return torch.stack([self.loss(own, wanted) for own, wanted in pairs])
        return vmap(lambda own, wanted: self.loss(own[None], wanted[None]), randomness="same")(outputs, targets)


def lane_loss(loss: BatchLoss, data: TrainingData, *, looped: bool) -> UserLoss:
    """The loss of lanes that are trained on ``data``, in the fastest form that means the same."""
    # A negative class is one that the loss leaves out; then it is no mean over all rows.
    whole = all(bool((own.target >= 0).all()) for own in data.folds.values() if own.target.dtype == torch.int64)
    return UserLoss(loss, looped=looped, each=each_element(loss) if whole and not looped else None)


def per_row(values: Tensor, rows: int) -> Tensor:
    """One number per row ``[n]`` of ``values [n, ...]``: the mean over what a row has several of."""
    if not values.dim() or len(values) != rows:
        message = f"a loss or metric gave {tuple(values.shape)} for {rows} rows; it must give one number per row"
        if values.numel() == 1:
            message += ", whose mean counts; metrics of all rows together have names, such as 'roc_auc', 'f1' and 'r2'"
        raise UsageError(message)
    return values if values.dim() == 1 else values.flatten(1).mean(1)


@final
class ModuleSubject(Subject):
    """Lanes of a :class:`Blueprint` that learn by ``loss``; ``score`` gives what they are judged by.

    ``score (outputs [n, ...], targets [n, ...])`` is a number per row ``[n]``, or what a metric of all rows together
    reads of each ``[n, K]``; None: the loss itself. A blueprint of whole passes has loss and score in it, and ``read``
    makes its batches. With ``pixelwise`` images have their channels last, with ``compiled`` a lane that trains alone
    runs compiled code; ``autocast`` is the dtype of products in training.
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
        pixelwise: bool = False,
        compiled: bool = False,
        read: Reader | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.structure = id(blueprint)  # candidates of one race that build the same module share its blueprint
        self.looped = looped
        self._pixelwise = pixelwise
        self._compiled = compiled
        self.autocast = autocast
        self.scaled = torch.float16 in (autocast, blueprint.casts)
        self._data = data
        self._read = read
        self.undivided = _undivided(blueprint, looped=looped)
        self.watched = self._rectifies = True
        self._plain_loss = False
        if blueprint.whole:
            self.loss, self._score = _as_returned, lambda outputs, targets: outputs
        else:
            self.loss = own = lane_loss(loss, data, looped=loss_looped)
            self._score = score or own.rows
            if not own.known:
                self.undivided = "only of losses of torch's own is it known that a batch's is the mean of its rows'"
            self._plain_loss = own.known or same_operations(loss)

    @property
    def recordable(self) -> bool:
        """Whether a step does nothing that a recording of it would not repeat; asked where there is a GPU only."""
        return self._plain_loss and same_operations(self.blueprint.template)

    def model(self, lanes: Sequence[Lane]) -> StackedModel:
        del lanes
        return StackedModule(
            self.blueprint, looped=self.looped, pixelwise=self._pixelwise, compiled=self._compiled, read=self._read
        )

    def silent(self, model: StackedModel, values: Tensor, roster: Roster) -> list[tuple[list[Tensor], int]]:
        assert isinstance(model, StackedModule)
        views, found, start = self.blueprint.layout.all_views(values), [], 0
        for (fold, _), size in zip(roster.groups, roster.group_sizes, strict=True):
            data = self._data.folds[fold]
            rows = data.valid[:: -(-len(data.valid) // LOOKED_AT)]
            own = {name: view[start : start + size] for name, view in views.items()}
            try:
                units = model.silent(own, data.features(rows)[0]) if self._rectifies else []
            except Exception as error:  # whatever a module of the user's cannot do while it is watched
                if isinstance(error, LanewiseError) or out_of_memory(error):
                    raise
                units, self.unseen = [], f"{type(error).__name__}: {first_sentence(error)}"
            self._rectifies = bool(units)
            found += [([each[lane] for each in units], len(rows)) for lane in range(size)]
            start += size
        return found

    def judged(self, fold: int, raw: Tensor) -> np.ndarray:
        data = self._data.folds[fold]
        with torch.no_grad():
            values = self._score(raw, data.targets(data.valid))
        return values.double().cpu().numpy().reshape(len(raw), -1)


def _undivided(blueprint: Blueprint, *, looped: bool) -> str:
    """Why a batch of the module is more than its rows; empty where it is not."""
    template = blueprint.template
    normal = next((name for name, part in template.named_modules() if isinstance(part, _BatchNorm)), None)
    if blueprint.whole:
        return "a step of your own may do with a batch what it likes"
    if normal is not None:
        return f"{normal or 'the module'} normalizes by the mean and variance of the batch, of which a rank sees a part"
    if {own.name for own in blueprint.layout.statistics} & dict(template.named_buffers()).keys():
        return "the module keeps statistics of the batches that it sees"
    if blueprint.draws and (looped or Chain.of(template, blueprint.layout) is None):
        return "the module draws random numbers for a batch in a way of its own"
    return ""


def _as_returned(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """The losses ``[L, K]`` that a whole pass returns."""
    del targets, smoothing
    return outputs
