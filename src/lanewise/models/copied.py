"""Copies of an ordinary module, with what passes leave in it beside weights and buffers."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lanewise.errors import UsageError, first_sentence


def copied(module: nn.Module) -> nn.Module:
    """A copy, in which tensors that were computed lie as numbers.

    Raises ``UsageError`` where an attribute cannot be copied.
    """
    # The older weight norm computes weights before each pass, and hooks keep outputs; torch copies leaves only.
    memo: dict[int, Any] = {id(own): _leaf(own) for _, own in computed(module)}
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # whatever an attribute of the module raises
        message = (
            f"the module that make_model builds cannot be copied: {type(error).__name__}: {first_sentence(error)}; "
            "leave locks, open files and tensors that were computed out of what its attributes hold"
        )
        raise UsageError(message) from error


def computed(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors that the module holds beside weights and buffers, and that are no leaves, by attribute."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            for own in tree_leaves(value):
                if isinstance(own, Tensor) and (own.grad_fn is not None or _is_over(own)):
                    yield f"{path}.{name}".lstrip("."), own


def check_computed_anew(before: list[tuple[str, Tensor]], module: nn.Module) -> None:
    """Raise ``UsageError`` where what was ``computed`` before a pass is still the same after it.

    It would be a constant in lanes; trained alone, the second backward pass fails at it.
    """
    now = [own for _, own in computed(module)]
    for name, value in before:
        if any(value is own for own in now):
            message = (
                f"self.{name} was computed from weights when the module was made, and not anew in a pass, so that no "
                "gradient reaches them twice; compute it in forward"
            )
            raise UsageError(message)


def _leaf(tensor: Tensor) -> Tensor:
    return torch.empty(0) if _is_over(tensor) else tensor.detach().clone()


def _is_over(kept: Tensor) -> bool:
    """Whether it was kept of a pass under vmap, outside which it is no tensor any more."""
    try:
        kept.untyped_storage()
    except NotImplementedError:
        return kept.layout is torch.strided
    return False
