"""The losses of the oracle: ``outputs [B, C]`` and ``target [B]`` to one loss per row ``[B]``."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

PlainLoss = Callable[[Tensor, Tensor, float], Tensor]


def squared(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    del smoothing
    return F.mse_loss(outputs[:, 0], target, reduction="none") / 2


def huber(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    del smoothing
    return F.huber_loss(outputs[:, 0], target, reduction="none", delta=1.0)


def poisson(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    del smoothing
    return F.poisson_nll_loss(outputs[:, 0], target, log_input=True, full=False, reduction="none")


def logistic(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    smooth = target + smoothing * (0.5 - target)
    return F.binary_cross_entropy_with_logits(outputs[:, 0], smooth, reduction="none")


def softmax(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(outputs, target, reduction="none", label_smoothing=smoothing)


def hinge(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    del smoothing
    return _shortfall(outputs, target).sum(dim=1)


def squared_hinge(outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    del smoothing
    return _shortfall(outputs, target).square().sum(dim=1)


def _shortfall(outputs: Tensor, target: Tensor) -> Tensor:
    """``max(0, 1 - y f) [B, C]`` with y = -1 or +1, one class against the rest where C > 1."""
    if outputs.shape[1] == 1:
        signs = 2 * target[:, None].to(outputs.dtype) - 1
    else:
        signs = 2 * F.one_hot(target, outputs.shape[1]).to(outputs.dtype) - 1
    return torch.relu(1 - signs * outputs)


LOSSES: Final[Mapping[str, PlainLoss]] = {
    "squared": squared,
    "huber": huber,
    "poisson": poisson,
    "logistic": logistic,
    "softmax": softmax,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
}
