"""Gradient accumulation: the step of a large batch from several small ones."""

from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch.optim import Optimizer

from lanewise.errors import UsageError

_torch: Final[Any] = torch  # its foreach operations are untyped


@final
class Accumulation:
    """One ``optimizer.step()`` for every ``every`` batches, with the mean of their gradients.

    Call :meth:`step` in the place of ``optimizer.step()`` and ``zero_grad()``, after each ``backward()``; at the end
    of an epoch :meth:`flush` steps with what is left, divided by its own number. With the mean loss of batches of one
    size this is the step of one batch of all their rows, batch normalization apart. ``before`` is called with the mean
    gradients in place: clip there. Step the schedule when :meth:`step` says True. Lanes take a larger ``batch_size``
    instead.

    Raises ``UsageError`` for ``every`` below 1.

    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> updates = Accumulation(torch.optim.SGD([weight], lr=1.0), every=2)
    >>> stepped = []
    >>> for target in (1.0, 3.0):
    ...     (weight - target).square().sum().backward()
    ...     stepped.append(updates.step())
    >>> weight.item(), stepped
    (4.0, [False, True])
    """

    def __init__(self, optimizer: Optimizer, *, every: int, before: Callable[[], object] | None = None) -> None:
        if every < 1:
            message = f"every must be at least 1, got {every}"
            raise UsageError(message)
        self.optimizer, self.every, self.held = optimizer, every, 0
        self._before = before

    def step(self) -> bool:
        """Count a batch; whether the optimizer made a step with it."""
        self.held += 1
        return self.flush() if self.held == self.every else False

    def flush(self) -> bool:
        """A step with the batches held, if there are any; whether there were."""
        if not self.held:
            return False
        grads = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if grads and self.held > 1:
            _torch._foreach_div_(grads, float(self.held))
        if self._before is not None:
            self._before()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.held = 0
        return True
