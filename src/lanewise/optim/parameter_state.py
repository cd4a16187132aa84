"""What a drop-in keeps for one parameter, and the settings of its group as numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.rule import HyperValues, Rule

LOW = (torch.float16, torch.bfloat16)
"""Dtypes whose arithmetic and state are float32."""


def laid_out_as(param: Tensor, value: Tensor) -> Tensor:
    """A copy of ``value`` on the device of ``param``, and in its layout if it has its shape."""
    result = value.detach().to(param.device, copy=True)
    if result.shape == param.shape and result.stride() != param.stride():
        return torch.empty_like(param, dtype=value.dtype).copy_(result)
    return result


def start_state(rule: Rule, param: Tensor, state: dict[str, Any], hyper: HyperValues) -> None:
    """Make what is missing of the state of one parameter."""
    if param.is_complex() and rule.per_weight:
        message = f"{rule.name} takes real parameters only, got {param.dtype} of shape {tuple(param.shape)}"
        raise UsageError(message)
    state.setdefault("step", 0)
    leaf = torch.view_as_real(param) if param.is_complex() else param
    leaf = leaf.detach().float() if leaf.dtype in LOW else leaf.detach()
    for slot in rule.slots:
        if slot.name not in state:
            state[slot.name] = slot.first(leaf.unsqueeze(0), hyper).squeeze(0)


def numbers_of(group: Mapping[str, Any]) -> dict[str, float]:
    """The hyper-parameters of a group as floats, tuples as ``betas`` taken apart into ``beta1, beta2``.

    Words, as the ``param_names`` that torch adds for named parameters, are none.
    """
    result = {}
    for name, value in group.items():
        kind = type(value)
        if kind is float:
            result[name] = value
        elif kind is bool or kind is int:
            result[name] = float(value)
        elif value is None or name == "params":
            continue
        elif isinstance(value, (tuple, list)):
            if name.endswith("s") and not any(isinstance(one, str) for one in value):
                result |= {f"{name[:-1]}{at}": float(one) for at, one in enumerate(value, 1)}
        elif isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
            result[name] = float(value)
    return result
