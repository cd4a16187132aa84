"""Leave an update out whose gradient is not finite: for a lane, or for an ordinary optimizer."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from lanewise.errors import TrainingError, UsageError

IN_A_ROW = 10
"""Updates that may be left out in a row; after as many it is no accident of single rows any more."""


@final
class LaneSkipping:
    """Which lanes leave the update out; ``wanted [L]`` are those with ``skip_nonfinite``.

    After :data:`IN_A_ROW` updates in a row a lane gets the next one all the same, for the guard to find;
    ``in_a_row [L]`` counts them.
    """

    def __init__(self, wanted: Tensor) -> None:
        self._wanted = wanted
        self.in_a_row = torch.zeros(len(wanted), dtype=torch.float64, device=wanted.device)

    def broken(self, gradients: Tensor) -> Tensor | None:
        """The lanes ``[L]`` whose update is to be left out; None if there are none."""
        broken = self._wanted & ~gradients.sum(1).isfinite()
        self.in_a_row = torch.where(broken, self.in_a_row + 1, 0.0)
        result = broken & (self.in_a_row <= IN_A_ROW)
        return result if bool(result.any()) else None


@final
class SkipNonFinite:
    """From now on ``optimizer.step()`` does nothing when a gradient is inf or nan: no step, no decay, no count.

    It works on every optimizer of PyTorch, by a hook that takes the gradients away. ``skipped`` counts; after
    ``in_a_row`` skipped in a row ``TrainingError`` is raised, for nothing would be learned any more. ``remove()`` ends
    it. A step with a closure, as SAM, L-BFGS and Lightning make it, is refused: its gradients come after the hook. A
    gradient scaler does the same by itself. Leave the schedule's step out too: compare ``skipped`` before and after.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.SGD([weight], lr=0.5)
    >>> watch = SkipNonFinite(optimizer)
    >>> for gradient in ([1.0, float("nan")], [1.0, 0.0]):
    ...     weight.grad = torch.tensor(gradient)
    ...     optimizer.step()
    >>> weight.tolist(), watch.skipped
    ([0.5, 1.0], 1)
    """

    def __init__(self, optimizer: Optimizer, *, in_a_row: int = IN_A_ROW) -> None:
        if in_a_row < 1:
            message = f"in_a_row must be at least 1, got {in_a_row}"
            raise UsageError(message)
        self.skipped = 0
        self._run, self._longest = 0, in_a_row
        self._handle = optimizer.register_step_pre_hook(self._look)

    def _look(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if any(extra is not None for extra in args[1:]) or kwargs.get("closure") is not None:
            message = "SkipNonFinite sees the gradients before step(), but a closure makes them within: do without one"
            raise UsageError(message)
        given = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not given or finite([p.grad for p in given]):
            self._run = 0
            return
        self.skipped += 1
        self._run += 1
        if self._run > self._longest:
            message = f"no finite gradient {self._run} times in a row: lower the learning rate, or look at the data"
            raise TrainingError(message)
        for parameter in given:
            parameter.grad = None

    def remove(self) -> None:
        """Take the hook off."""
        self._handle.remove()


def finite(gradients: list[Tensor]) -> bool:
    """Whether every entry of every tensor is finite.

    Its largest entry says so of each: a norm could overflow.
    """
    dense = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
    largest = [one.abs().max() for one in dense if one.numel()]
    if not largest:
        return True
    device = largest[0].device
    return bool(torch.stack([one.to(device, torch.float64) for one in largest]).isfinite().all())
