"""A scale of the loss for each lane, so that gradients in float16 do not vanish."""

from typing import final

import torch
from torch import Tensor

from lanewise.optim.leaves import rowwise

START = 2.0**16
GROWTH, BACKOFF = 2.0, 0.5
PATIENCE = 2000
"""Steps without an overflow after which a scale grows. These four are those of ``torch.amp.GradScaler``."""

SMALLEST = 2.0**-16
"""Scale below which no update is left out any more: what overflows then is the lane's own, for the guard to find."""


@final
class LaneScaling:
    """Dynamic loss scaling (Micikevicius et al. 2018, section 3.2) with a row vector of scales.

    Of a step, losses ``[L]`` times ``scale [L]`` are differentiated, and gradients ``[L, P]`` divided by it. A lane
    of which one is not finite leaves its update out, and its scale is halved; after :data:`PATIENCE` updates in a row,
    ``taken [L]``, it is doubled. No lane notices another.

    >>> scaling = LaneScaling(2)
    >>> gradients = torch.tensor([[65536.0], [float("inf")]])
    >>> scaling.unscale(gradients)
    >>> gradients[0].item(), scaling.overflowed().tolist(), scaling.scale.tolist()
    (1.0, [False, True], [65536.0, 32768.0])
    """

    def __init__(self, lanes: int, device: torch.device | None = None) -> None:
        self.scale = torch.full((lanes,), START, dtype=torch.float64, device=device)
        self.taken = torch.zeros(lanes, dtype=torch.float64, device=device)
        self._broken = torch.zeros(lanes, dtype=torch.bool, device=device)

    def scaled(self, losses: Tensor) -> Tensor:
        """``losses [L]`` as they are to be differentiated."""
        return losses * self.scale.to(losses.dtype)

    def unscale(self, gradients: Tensor) -> None:
        """Take the scale off ``gradients [L, P]``, in place, and note which lanes have one that is not finite."""
        gradients.div_(rowwise(self.scale, gradients))
        self._broken |= ~gradients.sum(1).isfinite()

    def overflowed(self) -> Tensor | None:
        """Which lanes ``[L]`` leave the update out, by all gradients since the one before; None where none does.

        Asked once a step: their scales are halved, and those of others may grow.
        """
        broken = self._broken & (self.scale > SMALLEST)
        self._broken = torch.zeros_like(broken)
        self.taken = torch.where(broken, 0.0, self.taken + 1)
        grows = self.taken >= PATIENCE
        self.taken = torch.where(grows, 0.0, self.taken)
        self.scale = self.scale * torch.where(broken, BACKOFF, torch.where(grows, GROWTH, 1.0))
        return broken if bool(broken.any()) else None
