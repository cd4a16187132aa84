"""Losses per lane and row: what the training of a lane makes small.

Every loss maps ``outputs [L, B, C]`` and ``targets`` (``[L, B]`` or ``[1, B]``, class indices for
classes) to ``[L, B]``. The mean over rows is the caller's, for it knows the weights of the rows;
lanes are never averaged, so the gradient of a lane does not depend on how many there are.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor

from lanewise.task import TaskKind

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``(outputs [L, B, C], targets [L or 1, B], smoothing [L] or None) -> [L, B]``"""


def _single(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    score = outputs.squeeze(-1)
    shared = targets[:1] if targets.stride(0) == 0 else targets  # what all lanes share is converted once
    return score, shared.to(score.dtype).expand_as(score)


def squared(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Half the squared error, ``(f - y)^2 / 2``."""
    score, y = _single(outputs, targets)
    return (score - y).square() * 0.5


def huber(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Huber's loss with its bend at 1: half the square near zero, linear beyond (Huber 1964)."""
    score, y = _single(outputs, targets)
    return F.huber_loss(score, y, reduction="none", delta=1.0)


def poisson(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Poisson loss of a count with log-mean f: ``exp(f) - y f``."""
    score, y = _single(outputs, targets)
    return score.exp() - y * score


def logistic(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Logistic loss of one logit for classes 0 and 1; ``smoothing`` pulls the target towards 1/2."""
    score, y = _single(outputs, targets)
    if smoothing is not None:
        y = y + smoothing[:, None] * (0.5 - y)
    return _Logistic.apply(score, y)  # pyright: ignore[reportReturnType]  # apply is untyped


class _Logistic(torch.autograd.Function):
    """``log(1 + e^f) - y f``, whose slope is ``p - y``: two passes each, where autograd would take seven in all."""

    @staticmethod
    def forward(ctx, *operands) -> Tensor:
        score, y = operands
        ctx.save_for_backward(score, y)
        return F.softplus(score).addcmul_(score, y, value=-1)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        score, y = ctx.saved_tensors
        # Of operations that can be differentiated once more.
        return (score.sigmoid() - y) * grads[0], None


def softmax(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Cross-entropy of C logits; ``smoothing`` pulls the target towards the uniform distribution.

    ``log sum_c exp(f_c) - (1 - s) f_y - s mean_c f_c``, as ``torch.nn.functional.cross_entropy`` has it.
    """
    return _Softmax.apply(outputs, targets, smoothing)  # pyright: ignore[reportReturnType]  # apply is untyped


class _Softmax(torch.autograd.Function):
    """Cross-entropy with the classes as the first dim, so that each pass runs along whole rows of lanes.

    torch's own kernel reduces along the last dim; with the two to thirty classes of a table it spends
    17 ns per element, which for a linear model is more than its matrix products.
    """

    @staticmethod
    def forward(ctx, *operands) -> Tensor:
        outputs, targets, smoothing = operands
        scores = outputs.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
        scores.sub_(scores.amax(0))
        index = targets.expand(scores.shape[1:])[None]
        picked = scores.gather(0, index)[0]
        if smoothing is not None:
            share = smoothing.to(scores.dtype)[:, None]
            picked = picked + share * (_added(scores) / len(scores) - picked)
        total = _added(scores.exp_())
        ctx.save_for_backward(scores, total, index, smoothing)
        return total.log().sub_(picked)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        exponentials, total, index, smoothing = ctx.saved_tensors
        grad = grads[0]
        result = exponentials * (grad / total)
        hit = grad
        if smoothing is not None:
            share = smoothing.to(grad.dtype)[:, None]
            result.sub_(share / len(result) * grad)
            hit = (1 - share) * grad
        result.scatter_add_(0, index, -hit[None])
        return result.permute(1, 2, 0), None, None


def _added(terms: Tensor) -> Tensor:
    """The sum over the first dim, by halves: in an order that does not depend on where an element lies.

    ``sum`` adds up in another order at the end of the memory than elsewhere, so that neighbours would matter.
    """
    while len(terms) > 1:
        half = len(terms) // 2
        rest, terms = terms[2 * half :], terms[:half] + terms[half : 2 * half]
        if len(rest):
            terms[0] += rest[0]
    return terms[0]


def hinge(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Hinge loss of the linear support vector machine, ``max(0, 1 - m)``; see :func:`_margins`."""
    return _margins(outputs, targets).clamp_min(0).sum(-1)


def squared_hinge(outputs: Tensor, targets: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Squared hinge loss, ``max(0, 1 - m)^2``; once differentiable, so L-BFGS can minimize it."""
    return _margins(outputs, targets).clamp_min(0).square().sum(-1)


def _margins(outputs: Tensor, targets: Tensor) -> Tensor:
    """``1 - m [L, B, C]``, the margin m being ``y f`` with y = -1 or +1, for each class against the rest."""
    lanes, rows, classes = outputs.shape
    y = targets.expand(lanes, rows)
    signs = y[..., None] if classes == 1 else F.one_hot(y.long(), classes)
    return 1 - outputs * (2 * signs.to(outputs.dtype) - 1)


LOSSES: dict[str, Loss] = {
    "squared": squared,
    "huber": huber,
    "poisson": poisson,
    "logistic": logistic,
    "softmax": softmax,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
}

LOSSES_OF: dict[TaskKind, tuple[str, ...]] = {
    "regression": ("squared", "huber"),
    "count": ("poisson",),
    "binary": ("logistic", "hinge", "squared_hinge"),
    "multiclass": ("softmax", "hinge", "squared_hinge"),
}
"""The losses that fit each kind of task; the first is the default."""

SMOOTH = frozenset({"squared", "huber", "poisson", "logistic", "softmax", "squared_hinge"})
"""Losses with a continuous gradient: those that a full-batch solver may minimize."""


def curvature(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Second derivative ``[n, C]`` of a smooth loss by each of its ``outputs [n, C]``; ``targets [n]``.

    >>> curvature("logistic", torch.tensor([[0.0], [100.0]]), torch.tensor([0, 1])).tolist()
    [[0.25], [0.0]]
    """
    if loss in ("logistic", "softmax"):
        share = outputs.sigmoid() if loss == "logistic" else outputs.softmax(-1)
        return share * (1 - share)
    if loss == "poisson":
        return outputs.exp()
    if loss == "huber":
        return ((outputs - targets[:, None]).abs() < 1).to(outputs.dtype)
    if loss == "squared_hinge":
        return 2 * (_margins(outputs[None], targets)[0] > 0).to(outputs.dtype)
    assert loss == "squared"
    return torch.ones_like(outputs)


def null_curvature(loss: str, targets: Tensor, weights: Tensor | None, outputs: int) -> Tensor:
    """Mean second derivative ``[C]`` of a smooth loss by each output, near the best constant outputs.

    ``p (1 - p)`` of the share p of each class for logistic and softmax, the mean target for Poisson; squared errors
    bend alike everywhere. What hinges do is taken where all rows are within the margin. ``targets, weights [N]``.

    >>> null_curvature("logistic", torch.tensor([0, 0, 0, 1]), None, 1)
    tensor([0.1875], dtype=torch.float64)
    """
    weight = torch.ones(len(targets), dtype=torch.float64) if weights is None else weights.double()
    if loss == "poisson":
        return ((weight * targets).sum() / weight.sum()).expand(outputs)
    if loss in ("logistic", "softmax"):
        classes = torch.arange(outputs) if outputs > 1 else torch.ones(1)
        share = ((targets[:, None] == classes) * weight[:, None]).sum(0) / weight.sum()
        return share * (1 - share)
    return torch.full((outputs,), 2.0 if loss == "squared_hinge" else 1.0, dtype=torch.float64)


def response(loss: str, outputs: Tensor) -> Tensor:
    """Predictions from raw ``outputs [..., B, C]``: means ``[..., B, 1]`` or class probabilities ``[..., B, K]``.

    Hinge outputs are margins, not log-odds; their logistic transform orders rows rightly but is
    not calibrated, which is left to `lanewise.training.calibration`.
    """
    if loss in ("squared", "huber"):
        return outputs
    if loss == "poisson":
        return outputs.exp()
    if outputs.shape[-1] == 1:
        positive = outputs.sigmoid()
        return torch.cat([1 - positive, positive], -1)
    return outputs.softmax(-1)
