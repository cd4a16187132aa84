"""Where the further starts of :func:`lanewise.minimize` lie."""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from lanewise.errors import UsageError


def draw_starts(x0: Tensor, low: Tensor | None, high: Tensor | None, *, starts: int, seed: int) -> Tensor:
    """``[starts, P]`` in float64: ``x0 [P]`` first, then points of a scrambled Sobol sequence.

    A variable bounded on both sides is drawn uniformly between its bounds. Any other is drawn from
    the normal distribution around its ``x0`` with the standard deviation ``max(1, |x0|)``, and moved
    onto its bound if it has one and lies beyond it.

    >>> draw_starts(torch.zeros(2), None, None, starts=3, seed=0).shape
    torch.Size([3, 2])
    """
    if starts < 1:
        message = f"starts must be at least 1, got {starts}"
        raise UsageError(message)
    x0 = x0.to(torch.float64)
    if starts == 1:
        return x0[None].clone()
    width = len(x0)
    if width <= SobolEngine.MAXDIM:
        units = SobolEngine(width, scramble=True, seed=seed).draw(starts - 1, dtype=torch.float64)
    else:
        units = torch.rand(starts - 1, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    units = units.clamp(1e-9, 1 - 1e-9).to(x0.device)
    around = x0 + x0.abs().clamp_min(1.0) * torch.special.ndtri(units)
    infinite = torch.full_like(x0, torch.inf)
    low, high = -infinite if low is None else low, infinite if high is None else high
    boxed = low.isfinite() & high.isfinite()
    within = torch.where(boxed, low, 0.0) + units * torch.where(boxed, high - low, 0.0)
    drawn = torch.where(boxed, within, around)
    return torch.cat((x0[None], torch.minimum(torch.maximum(drawn, low), high)))
