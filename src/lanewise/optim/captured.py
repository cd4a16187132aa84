"""A step of a drop-in in which whatever changes from step to step is a tensor on the device.

So ``torch.compile`` compiles it once, and nothing is copied from the host. Each parameter is one row of its own with a
step count of its own, and the rule runs over it as over the lane buffer.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.leaves import RowLeaves, Scalar
from lanewise.optim.parameter_state import LOW, start_state
from lanewise.optim.rule import Rule, State

OTHERWISE = "leave capturable at False"


def captured_step(rule: Rule, param: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    """Update one parameter from its gradient; no number is read back from the device."""
    _check(rule, param)
    hyper = _hyper(group, param.device)
    if len(state) <= len(rule.slots):
        start_state(rule, param, state, hyper)
    if not isinstance(state["step"], Tensor):
        state["step"] = torch.full((), float(state["step"]), dtype=torch.float32, device=param.device)
    state["step"].add_(1.0)
    grad = param.grad
    assert grad is not None
    target = torch.view_as_real(param) if param.is_complex() else param
    slope = torch.view_as_real(grad) if param.is_complex() else grad
    if target.dtype in LOW:
        target, slope = target.float(), slope.float()
    weights = RowLeaves([target.unsqueeze(0)])
    grads = RowLeaves([(slope.neg() if group["maximize"] else slope).unsqueeze(0)])
    if group["weight_decay"] and rule.decay == "coupled":
        grads = grads.add(weights, hyper["weight_decay"])
    if group["weight_decay"] and rule.decay == "decoupled":
        weights.mul_(1 - hyper["lr"] * hyper["weight_decay"])
    leaves = {slot.name: RowLeaves([state[slot.name].unsqueeze(0)]) for slot in rule.slots}
    rule.update(weights, grads, State(leaves), hyper, state["step"].double().reshape(1))
    if param.dtype in LOW:
        param.copy_(target)


def _check(rule: Rule, param: Tensor) -> None:
    if rule.numbers:
        message = f"{rule.name} sums over all weights of a group, and cannot be captured: {OTHERWISE}"
        raise UsageError(message)
    if rule.draws:
        message = f"{rule.name} draws random numbers by the count of its steps, and cannot be captured: {OTHERWISE}"
        raise UsageError(message)
    if not rule.capturable:
        message = f"{rule.name} decides on the host what a step does, and cannot be captured: {OTHERWISE}"
        raise UsageError(message)
    if param.is_complex() and rule.per_weight:
        message = f"{rule.name} takes real parameters only, got {param.dtype} of shape {tuple(param.shape)}"
        raise UsageError(message)
    if param.grad is not None and param.grad.layout is not torch.strided:
        message = f"{rule.name} cannot capture a sparse gradient: leave capturable at False, or set sparse=False"
        raise UsageError(message)


def _hyper(group: Mapping[str, Any], device: torch.device) -> dict[str, Scalar]:
    """The hyper-parameters ``[1]`` on the device, tuples as ``betas`` taken apart."""
    result: dict[str, Scalar] = {}
    for name, value in group.items():
        if isinstance(value, Tensor):
            result[name] = value.detach().to(device, torch.float64).reshape(1)
        elif isinstance(value, (int, float)):
            result[name] = torch.full((1,), float(value), dtype=torch.float64, device=device)
        elif isinstance(value, (tuple, list)) and name.endswith("s") and name not in ("params", "param_names"):
            for at, one in enumerate(value, 1):
                result[f"{name[:-1]}{at}"] = torch.full((1,), float(one), dtype=torch.float64, device=device)
    return result
