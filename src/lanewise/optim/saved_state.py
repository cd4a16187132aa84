"""Whether a state dict is one that a drop-in can go on from."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.rule import Rule


def check_saved(owner: str, rules: Sequence[Rule], state_dict: Mapping[str, Any]) -> None:
    """``UsageError`` for the state of another optimizer; ``rules`` are those of the groups of ``state_dict``.

    What is there must be a slot of the rule. A slot may be missing, and begins anew, where the same rule or an older
    version, which did not say its name, had saved it.
    """
    names = state_dict.get("rules", ())
    for at, (group, rule) in enumerate(zip(state_dict["param_groups"], rules, strict=True)):
        kept = [slot.name for slot in rule.slots]
        saved = names[at] if at < len(names) else rule.name
        for key in group["params"]:
            held = [name for name in state_dict["state"].get(key, ()) if name != "step"]
            if set(held) <= set(kept) and (saved == rule.name or len(held) == len(kept)):
                continue
            whose = "another optimizer" if saved == rule.name else f"the rule {saved}"
            message = (
                f"this state is not that of {owner} but of {whose}: it has {_listed(held)} for a parameter, where "
                f"{owner} keeps {_listed(kept)}; load it into an optimizer of the class that saved it, or begin anew"
            )
            raise UsageError(message)


def check_shapes(
    owner: str, rules: Sequence[Rule], state_dict: Mapping[str, Any], params: Sequence[Sequence[Tensor]]
) -> None:
    """``UsageError`` where saved state has not the shape of the parameter in its place: kernels would write beyond it.

    ``params`` are those of each group that loads. Rules that look at whole weights have state of shapes of their own.
    """
    for group, rule, own in zip(state_dict["param_groups"], rules, params, strict=False):
        for place, (key, param) in enumerate(zip(group["params"], own, strict=False)):
            shape = torch.view_as_real(param).shape if param.is_complex() else param.shape
            for name, value in state_dict["state"].get(key, {}).items():
                if rule.per_weight or name == "step" or not isinstance(value, Tensor) or value.shape == shape:
                    continue
                message = (
                    f"this state of {owner} is that of other parameters: {name} of parameter {place} has the shape "
                    f"{tuple(value.shape)}, and the parameter {tuple(param.shape)}; load it with the model that it was "
                    "saved with, or begin anew"
                )
                raise UsageError(message)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "nothing"
