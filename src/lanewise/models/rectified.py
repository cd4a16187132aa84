"""Units that a pass switches off: rectified outputs that are zero for every row of a batch."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RECTIFIERS: Final[frozenset[Any]] = frozenset((
    F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_,
))  # fmt: skip
"""Functions whose output and gradient are both zero for inputs below zero."""

LENGTHWISE: Final = (nn.Conv1d, nn.ConvTranspose1d)
IMAGE_DIMS: Final = 4
"""From so many dims on the channels of outputs ``[B, C, ...]`` are the second."""


@final
class Rectified(TorchFunctionMode):
    """Notes in ``silent``, for every rectifier that is called within the context, which units ``[U]`` gave only zeros.

    A unit is a channel of what convolutions give, and an entry of the last dim of anything else. Outputs without an
    axis of units are left out. ``counts`` is asked at each call whether it is one of the module's own.

    >>> with Rectified(nn.Identity(), lambda: True) as seen:
    ...     _ = torch.relu(torch.tensor([[1.0, -1.0], [-2.0, -3.0]]))
    >>> seen.silent
    [tensor([False,  True])]
    """

    def __init__(self, module: nn.Module, counts: Callable[[], bool]) -> None:
        super().__init__()
        self.silent: list[Tensor] = []
        # Outputs [B, C, T] have their channels before their length; those of attention, [B, T, H], behind.
        self._lengthwise = any(isinstance(part, LENGTHWISE) for part in module.modules())
        self._counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        if func in RECTIFIERS and found.dim() > 1 and self._counts():
            channels = found.dim() >= IMAGE_DIMS or (found.dim() == IMAGE_DIMS - 1 and self._lengthwise)
            units = found.movedim(1, -1) if channels else found
            self.silent.append((units == 0).flatten(0, -2).all(0))
        return found


@contextmanager
def within(modules: Iterable[nn.Module]) -> Iterator[Callable[[], bool]]:
    """A function that says whether one of ``modules``, or a part of one, is being called at the moment."""
    depth = [0]
    parts = [part for own in modules for part in own.modules()]

    def enter(*_: Any) -> None:
        depth[0] += 1

    def leave(*_: Any) -> None:
        depth[0] -= 1

    hooks = [
        hook for part in parts for hook in (part.register_forward_pre_hook(enter), part.register_forward_hook(leave))
    ]
    try:
        yield lambda: depth[0] > 0
    finally:
        for hook in hooks:
            hook.remove()
