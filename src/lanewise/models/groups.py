"""Groups of a user's parameters: what the rate and the weight decay of a candidate are multiplied by for them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from lanewise.errors import UsageError

Groups = Callable[[nn.Module], Sequence[Mapping[str, Any]]]
"""A module to its groups, each ``{"params": ..., "lr_factor": 0.1, "weight_decay_factor": 0.0}``; a factor may lack."""


@final
@dataclass(frozen=True, kw_only=True, order=True)
class Factors:
    """Of the rate and of the weight decay."""

    rate: float = 1.0
    decay: float = 1.0


NAMES = {"lr_factor": "rate", "weight_decay_factor": "decay"}


def factors_of(groups: Groups | None, module: nn.Module) -> dict[str, Factors]:
    """The factors of each parameter of the module by name; of those in no group they are 1.

    Raises ``UsageError``: ``groups`` fails, gives something else, or has a parameter twice.

    >>> net = nn.Linear(2, 1)
    >>> factors_of(lambda net: [{"params": [net.bias], "weight_decay_factor": 0.0}], net)
    {'weight': Factors(rate=1.0, decay=1.0), 'bias': Factors(rate=1.0, decay=0.0)}
    """
    names = {id(weight): name for name, weight in module.named_parameters()}
    found = dict.fromkeys(names.values(), Factors())
    met = set[str]()
    for group in [] if groups is None else _asked(groups, module):
        own = _read(group)
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        for weight in params:
            name = names.get(id(weight))
            if name is None:
                message = f"groups names a tensor that is no parameter of the module it is given, got {_shown(weight)}"
                raise UsageError(message)
            if name in met:
                message = f"groups has {name} in two groups; each parameter is in one at most"
                raise UsageError(message)
            met.add(name)
            found[name] = own
    return found


def grouped(groups: Groups | None, module: nn.Module, **settings: float) -> list[dict[str, Any]]:
    """The parameters of the module as groups for an optimizer of torch, factors applied to ``lr`` and ``weight_decay``.

    ``settings`` are these two, the second one only of a rule that has it.
    """
    factors = factors_of(groups, module)
    parts: dict[Factors, list[nn.Parameter]] = {}
    for name, weight in module.named_parameters():
        parts.setdefault(factors[name], []).append(weight)
    of = {"lr": "rate", "weight_decay": "decay"}
    return [
        {"params": own, **{name: value * getattr(factor, of[name]) for name, value in settings.items()}}
        for factor, own in sorted(parts.items())
    ]


def words_of(factors: Mapping[str, Factors]) -> str:
    """How many weights train with which factors; empty where all are 1.

    >>> words_of({"w": Factors(), "b": Factors(decay=0.0), "c": Factors(rate=0.1)})
    'groups: 1 at 0.1 times the rate; 1 at 0 times the weight decay; 1 as the candidates say'
    """
    counts: dict[Factors, int] = {}
    for own in factors.values():
        counts[own] = counts.get(own, 0) + 1
    if counts.keys() <= {Factors()}:
        return ""
    parts = []
    for own in sorted(counts):
        said = [f"{own.rate:g} times the rate"] * (own.rate != 1) + [f"{own.decay:g} times the weight decay"] * (
            own.decay != 1
        )
        parts.append(f"{counts[own]} {'at ' + ' and '.join(said) if said else 'as the candidates say'}")
    return f"groups: {'; '.join(parts)}"


def _asked(groups: Groups, module: nn.Module) -> list[Mapping[str, Any]]:
    try:
        found = list(groups(module))
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        message = f"groups failed on the module: {type(error).__name__}: {said}"
        raise UsageError(message) from error
    for group in found:
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), Tensor | Iterable):
            message = (
                "groups must return a list such as [{'params': module.head.parameters(), 'lr_factor': 0.1}], got "
                f"{_shown(group)} in it"
            )
            raise UsageError(message)
    return found


def _read(group: Mapping[str, Any]) -> Factors:
    for name in group:
        if name != "params" and name not in NAMES:
            message = (
                f"a group has params, {' and '.join(NAMES)}, got {name!r}; settings such as lr are said by the "
                "candidates"
            )
            raise UsageError(message)
    values = {own: group[name] for name, own in NAMES.items() if name in group}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            message = f"a factor of the {name} is a finite number, at least 0, got {value!r}"
            raise UsageError(message)
    return Factors(**{name: float(value) for name, value in values.items()})


def _shown(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
