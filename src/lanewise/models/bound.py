"""A single lane of a module: its row of the lane buffer becomes the memory of the module's own parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import BufferLayout
from lanewise.models.base import Weights

_torch: Final[Any] = torch  # its foreach functions are untyped


@final
class Bound:
    """``module`` on the weights of one lane, to be called as it is in training.

    To call it with tensors of others, as ``torch.func.functional_call`` does, swaps each of them in and out again, and
    passes each through a function of autograd: of a step of a small transformer that is a twentieth. Here the optimizer
    changes the parameters where they lie, and a hook brings each gradient to its place in the gradient buffer.
    """

    def __init__(self, module: nn.Module, weights: Weights, layout: BufferLayout) -> None:
        """``weights`` are those of one lane ``[1, *shape]``; the module is changed, for good."""
        self.weights = weights
        self._module = module
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self._gradients: list[Tensor] = []
        for own in layout.parameters:
            leaf, tensor = weights[own.name].value, tensors[own.name]
            assert leaf.grad is not None
            gradient = leaf.grad[0]
            tensor.data = leaf.detach()[0]
            tensor.grad = None
            tensor.register_post_accumulate_grad_hook(partial(_deliver, gradient))
            self._gradients.append(gradient)
        self._kept = [(weights[own.name].value[0], tensors[own.name]) for own in layout.statistics]

    @contextmanager
    def training(self) -> Iterator[nn.Module]:
        """The module, to be called once; statistics are read from the row before and written to it after."""
        # A module that decides in Python may skip a weight, whose gradient then nobody delivers.
        _torch._foreach_zero_(self._gradients)
        with torch.no_grad():
            for row, tensor in self._kept:
                tensor.copy_(row)
        yield self._module
        with torch.no_grad():
            for row, tensor in self._kept:
                row.copy_(tensor)


def _deliver(place: Tensor, tensor: Tensor) -> None:
    assert tensor.grad is not None
    place.copy_(tensor.grad)
    tensor.grad = None
