"""Limits on gradients: by value, by norm, and adaptively by the size of the weights; per lane, or per call."""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.lanes.buffer import BufferLayout
from lanewise.lanes.roster import Lane
from lanewise.optim.leaves import rowwise

SMALLEST = 1e-3
"""The norm that a unit of weights has at least in :func:`clip_grad_adaptive_`, so that one at zero can move."""


@final
class LaneClipping:
    """The limits ``[L]`` of the lanes of a stack; 0 is none.

    ``clip_adaptive`` first, for each unit of a weight; then ``clip_value``, for each entry; ``clip_norm`` last, for all
    weights of the lane together. A lane without a limit keeps every bit of its gradient.
    """

    def __init__(self, lanes: Iterable[Lane], device: torch.device | None = None) -> None:
        settings = [lane.candidate.number for lane in lanes]

        def column(name: str) -> Tensor:
            return torch.tensor([number(name) for number in settings], dtype=torch.float64, device=device)

        self.adaptive, self.value, self.norm = column("clip_adaptive"), column("clip_value"), column("clip_norm")
        # Asked once: a look at a tensor costs as much as an operation on a small one.
        self._adapts, self._bounds, self._scales = (
            bool((limit > 0).any()) for limit in (self.adaptive, self.value, self.norm)
        )

    def clip(self, values: Tensor, gradients: Tensor, layout: BufferLayout) -> None:
        """Clip ``gradients [L, P]`` of the weights ``values [L, P]`` in place."""
        if self._adapts:
            self._adapt(layout.views(values), layout.views(gradients), layout)
        if self._bounds:
            bound = rowwise(torch.where(self.value > 0, self.value, torch.inf), gradients)
            gradients.copy_(torch.minimum(torch.maximum(gradients, -bound), bound))
        if self._scales:
            norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
            limit = rowwise(self.norm, gradients)
            # where() and not a product: a lane without a limit must not even be multiplied by 1 x inf
            gradients.mul_(torch.where((limit > 0) & (norms > limit), limit / norms, torch.ones_like(norms)))

    def _adapt(self, weights: dict[str, Tensor], gradients: dict[str, Tensor], layout: BufferLayout) -> None:
        wholes: dict[str, list[str]] = {}
        for parameter in layout.parameters:
            wholes.setdefault(parameter.continues or parameter.name, []).append(parameter.name)
        for names in wholes.values():
            own, parts = [weights[name] for name in names], [gradients[name] for name in names]
            for part, adapted in zip(parts, _adapted(own, parts, self.adaptive, SMALLEST), strict=True):
                part.copy_(adapted)


def clip_grad_adaptive_(
    parameters: Tensor | Iterable[Tensor], clipping: float = 0.01, eps: float = SMALLEST
) -> tuple[int, int]:
    """Adaptive gradient clipping: no unit's gradient is longer than ``clipping`` times the unit itself.

    ``g_i <- g_i min(1, clipping max(|w_i|, eps) / |g_i|)``. A unit i is what feeds one output: a row of a linear
    weight, a filter of a convolution, all of a bias or of a scale. Call it between ``backward()`` and ``step()``. The
    paper leaves the last linear layer out: do not pass it. Clipping by value and by
    norm is torch's, ``torch.nn.utils.clip_grad_value_`` and ``clip_grad_norm_``.

    Returns how many units were clipped, and of how many. Raises ``UsageError`` for a limit that is not positive.

    >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [0.6, 0.8]]))
    >>> weight.grad = torch.tensor([[0.3, 0.4], [3.0, 4.0]])
    >>> clip_grad_adaptive_([weight], 0.1)
    (1, 2)
    >>> torch.linalg.vector_norm(weight.grad, dim=1).tolist()
    [0.5, 0.1...]

    Brock et al. 2021, "High-performance large-scale image recognition without normalization", arXiv:2102.06171,
    section 4.1: lambda is ``clipping``.
    """
    for name, value in (("clipping", clipping), ("eps", eps)):
        if not value > 0:
            message = f"{name} must be positive, got {value}"
            raise UsageError(message)
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    clipped, units = 0, 0
    with torch.no_grad():
        for parameter in given:
            if parameter.grad is None:
                continue
            weight, gradient = parameter.detach().unsqueeze(0), parameter.grad.unsqueeze(0)
            over = _unit_norms([gradient]) > clipping * _unit_norms([weight]).clamp_min(eps)
            clipped, units = clipped + int(over.sum()), units + over.numel()
            limit = torch.tensor([clipping], dtype=torch.float64, device=gradient.device)
            parameter.grad.copy_(_adapted([weight], [gradient], limit, eps)[0].squeeze(0))
    return clipped, units


def _adapted(weights: list[Tensor], gradients: list[Tensor], clipping: Tensor, eps: float) -> list[Tensor]:
    """``gradients [R, *shape]`` of the parts of one weight, with units shortened where ``clipping [R]`` is positive."""
    norms = _unit_norms(gradients)
    limits = rowwise(clipping, norms)
    ratio = limits * _unit_norms(weights).clamp_min(eps) / norms
    shortens = (limits > 0) & (ratio < 1)
    return [torch.where(shortens, gradient * ratio.to(gradient.dtype), gradient) for gradient in gradients]


def _unit_norms(parts: list[Tensor]) -> Tensor:
    """The norm of every unit of ``parts [R, *shape]`` together, ``[R, out, 1, ...]``; of a vector one for all of it."""
    norms = []
    for part in parts:
        wide = part.float() if part.dtype in (torch.float16, torch.bfloat16) else part
        within = tuple(range(2, part.dim())) if part.dim() > 2 else tuple(range(1, part.dim()))
        norms.append(torch.linalg.vector_norm(wide, dim=within, keepdim=True) if within else wide.abs())
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), dim=0)
