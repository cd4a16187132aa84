"""State dicts of torch's own optimizers, which a drop-in of the same name goes on from: to change over in mid-training.

Each :class:`~lanewise.optim.rule.Slot` says what torch calls it; here is what is different besides the names.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

from lanewise.errors import UsageError
from lanewise.optim.parameter_state import LOW
from lanewise.optim.rule import Rule

RECOMPUTED = ("mu_product", "eta", "mu")
"""State of torch's NAdam and ASGD that follows from the step and the settings, and so is not kept here."""

NEWER = {"maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
"""Options that state dicts of older versions of torch lack."""

UNUSED = ("foreach", "differentiable", "fused")
"""Options that only choose how torch computes a step."""

MUON = {
    "nesterov": True,
    "ns_coefficients": (3.4445, -4.775, 2.0315),
    "eps": 1e-7,
    "ns_steps": 5,
    "adjust_lr_fn": "match_rms_adamw",
}
"""Options of torch's Muon with the only values that there is the same arithmetic for."""


def is_torchs(name: str, rules: Sequence[Rule], state_dict: Mapping[str, Any]) -> bool:
    """Whether it is a state dict of torch's own optimizers; ``rules`` are those of its groups in our class ``name``."""
    held = {key for state in state_dict["state"].values() for key in state} - {"step"}
    if "rules" in state_dict or held & {slot.name for rule in rules for slot in rule.slots}:
        return False
    return bool(held) or all(name in _savers(group) for group in state_dict["param_groups"])


def settings_of(name: str, group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group that torch's class ``name`` saved, in the settings of ours of that name.

    Raises ``UsageError`` for the group of another class, and for settings that ours has no arithmetic for.
    """
    savers = _savers(group)
    if name not in savers:
        whose = " or ".join(f"torch.optim.{one}" for one in savers) or "another optimizer"
        same = " or ".join(f"lanewise.optim.{one}" for one in savers) or "an optimizer of the class that saved it"
        message = f"this state is not that of {name} but of {whose}: load it into {same}, or begin anew"
        raise UsageError(message)
    own = {key: value for key, value in group.items() if key not in UNUSED}
    if name == "Adafactor":
        least, floor = own["eps"]
        own |= {"decay_rate": -own.pop("beta2_decay"), "clip_threshold": own.pop("d")}
        own |= {"eps": least or 0.0, "floor": floor}
    if name == "Muon":
        for key, value in MUON.items():
            given = own.pop(key)
            if (tuple(given) if isinstance(given, list) else given) != value:
                message = f"Muon goes on from torch's only with {key}={value!r}, and this one has {given!r}: begin anew"
                raise UsageError(message)
    if name in ("Adam", "AdamW"):
        decoupled = own.pop("decoupled_weight_decay", name == "AdamW")
        if own["weight_decay"] and decoupled != (name == "AdamW"):
            other = "AdamW" if decoupled else "Adam"
            message = (
                f"this state was saved with the weight decay of torch's {other}, which {name} does not have: load it "
                f"into lanewise.optim.{other}, or set weight_decay to 0 in its groups"
            )
            raise UsageError(message)
    return own


def states_of(rules: Sequence[Rule], state_dict: Mapping[str, Any]) -> dict[Any, dict[str, Any]]:
    """The states of the parameters, with our names, for the ``rules`` of the groups of ``state_dict``."""
    result = {}
    for group, rule in zip(state_dict["param_groups"], rules, strict=True):
        names = {slot.torch: slot.name for slot in rule.slots if slot.torch}
        for key in group["params"]:
            if key in state_dict["state"]:
                result[key] = _state(names, state_dict["state"][key])
    return result


def _state(names: Mapping[str, str], state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one parameter; where there is more than ``names`` it is left as it is, to be refused."""
    held = {key: value for key, value in state.items() if value is not None and key not in RECOMPUTED}
    if not held or not set(held) - {"step"} <= set(names):
        return held
    taken: dict[str, Any] = {"step": int(held.pop("step", 1))}  # SGD and Muon do not count; here the first step matters
    for key, value in held.items():
        real = torch.view_as_real(value) if value.is_complex() else value
        taken[names[key]] = real.float() if real.dtype in LOW else real
    return taken


@cache
def _required() -> dict[str, set[str]]:
    """The options of torch's optimizers by the name of the class, as far as their oldest versions had them."""
    kinds: dict[str, Any] = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    weight = torch.zeros(1, 1)
    return {name: set(kind([weight]).defaults) - NEWER for name, kind in kinds.items()}


def _savers(group: Mapping[str, Any]) -> list[str]:
    """The classes of torch that may have saved a parameter group, by its options."""
    known = set().union(*_required().values())
    return [name for name, options in _required().items() if options == set(group) & known]
