"""State dicts of torch's own optimizers, from and for a drop-in of the same name: to change over in mid-training.

Each :class:`~lanewise.optim.rule.Slot` says what torch calls it; here is what is different besides the names.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

from lanewise.errors import UsageError
from lanewise.optim.parameter_state import LOW, numbers_of
from lanewise.optim.rule import Rule

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


def states_of(
    rules: Sequence[Rule], groups: Sequence[Mapping[str, Any]], states: Mapping[Any, Mapping[str, Any]]
) -> dict[Any, dict[str, Any]]:
    """The ``states`` of the parameters with our names, for the ``rules`` of ``groups`` with our settings."""
    result = {}
    for group, rule in zip(groups, rules, strict=True):
        names = {slot.torch: slot.name for slot in rule.slots if slot.torch}
        told = rule.told_by_step(numbers_of(group), 1.0)
        for key in set(group["params"]) & set(states):
            result[key] = _state(names, {name: value for name, value in states[key].items() if name not in told})
    return result


def _state(names: Mapping[str, str], state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one parameter; where there is more than ``names`` it is left as it is, to be refused."""
    held = {key: value for key, value in state.items() if value is not None}
    if not held or not set(held) - {"step"} <= set(names):
        return held
    taken: dict[str, Any] = {"step": int(held.pop("step", 1))}  # SGD and Muon do not count; here the first step matters
    for key, value in held.items():
        real = torch.view_as_real(value) if value.is_complex() else value
        taken[names[key]] = real.float() if real.dtype in LOW else real
    return taken


def saved_for_torch(name: str, group: Mapping[str, Any], own: Collection[str]) -> dict[str, Any]:
    """A parameter group of our class ``name``, whose settings are ``own``, as torch's of that name saves it.

    Raises ``UsageError`` where torch has no such class, or not such a setting.
    """
    if name not in _defaults():
        message = (
            f"torch.optim has no {name}: there is nothing to go on with in torch; state_dict() is for lanewise.optim"
        )
        raise UsageError(message)
    theirs = _defaults()[name]
    for key, rest in (("weight_decay", 0.0), ("maximize", False), ("evaluating", False)):
        if key not in theirs and group.get(key, rest) != rest:
            message = f"torch.optim.{name} has no {key}, and here it is {group[key]!r}: set it to {rest!r} before"
            raise UsageError(message)
    result = {**theirs, **{key: value for key, value in group.items() if key in theirs or key not in own}}
    if name == "Adafactor":
        result |= {"beta2_decay": -group["decay_rate"], "d": group["clip_threshold"]}
        result["eps"] = (group["eps"] or None, group["floor"])
    return {**result, **MUON} if name == "Muon" else result


def state_for_torch(name: str, rule: Rule, group: Mapping[str, Any], state: Mapping[str, Any], *, pairs: bool) -> Any:
    """The ``state`` of one parameter as torch's class ``name`` saves it; complex ones are ``pairs`` here."""
    held = {slot.torch: state[slot.name] for slot in rule.slots if slot.torch and state[slot.name].numel()}
    result = {key: (torch.view_as_complex(value) if pairs else value).clone() for key, value in held.items()}
    if name in ("SGD", "Muon"):
        return result
    step = float(state["step"])
    told = {"step": step, **rule.told_by_step(numbers_of(group), step)}
    return {key: torch.tensor(value) for key, value in told.items()} | result


@cache
def _required() -> dict[str, set[str]]:
    """The options of torch's optimizers by the name of the class, as far as their oldest versions had them."""
    return {name: set(defaults) - NEWER for name, defaults in _defaults().items()}


@cache
def _defaults() -> dict[str, dict[str, Any]]:
    """The settings of torch's optimizers by the name of the class."""
    kinds: dict[str, Any] = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    weight = torch.zeros(1, 1)
    return {name: kind([weight]).defaults for name, kind in kinds.items()}


def _savers(group: Mapping[str, Any]) -> list[str]:
    """The classes of torch that may have saved a parameter group, by its options."""
    known = set().union(*_required().values())
    return [name for name, options in _required().items() if options == set(group) & known]
