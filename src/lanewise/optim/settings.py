"""What the settings of a drop-in may be: each is held against its default in the signature of the class."""

import inspect
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.parameter_state import numbers_of


def check_settings(
    kind: type, settings: Mapping[str, Any], *, fractions: Collection[str] = (), counts: Collection[str] = ()
) -> None:
    """``UsageError`` for a setting that no rule can work with.

    ``fractions`` must be below 1, as betas must; ``counts`` are whole numbers, at least 1. Keys of a parameter group
    that ``kind`` has no argument for are left alone.

    >>> from lanewise.optim import AdamW
    >>> check_settings(AdamW, {"betas": 0.9})
    Traceback (most recent call last):
    lanewise.errors.UsageError: AdamW: betas must be 2 numbers, as in betas=(0.9, 0.999), got 0.9
    """
    lr = settings.get("lr")
    if isinstance(lr, Tensor) and lr.numel() != 1:
        message = f"lr must be a number or a tensor of one element, got one of shape {tuple(lr.shape)}"
        raise UsageError(message)
    own = {key: value for key, value in settings.items() if key != "params"}
    defaults = _defaults(kind)
    for key, value in own.items():
        if key in defaults:
            _check_form(kind.__name__, key, value, defaults[key])
    for key, value in numbers_of(own).items():
        fraction = key.rstrip("123") == "beta" or key in fractions
        if not 0 <= value < (1 if fraction else float("inf")):
            allowed = "at least 0 and below 1" if fraction else "a finite number, at least 0"
            message = f"{kind.__name__}: {key} must be {allowed}, got {value}"
            raise UsageError(message)
        if key in counts and (value < 1 or value % 1):
            message = f"{kind.__name__}: {key} must be a whole number of steps, at least 1, got {own[key]}"
            raise UsageError(message)


@cache
def _defaults(kind: type) -> Mapping[str, Any]:
    """The arguments of a class that have a default, in its order."""
    parameters = inspect.signature(kind).parameters
    return {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}


def _check_form(owner: str, key: str, value: Any, default: Any) -> None:
    """A flag for a flag, a number for a number, as many numbers for a tuple."""
    if isinstance(default, bool):
        fits, allowed = isinstance(value, (int, float)) and value in (0, 1), "True or False"
    elif isinstance(default, (int, float)):
        fits, allowed = _is_number(value), "a number or a tensor of one element"
    elif isinstance(default, tuple):
        fits = isinstance(value, (tuple, list)) and len(value) == len(default) and all(map(_is_number, value))
        allowed = f"{len(default)} numbers, as in {key}={default}"
    else:
        return
    if not fits:
        message = f"{owner}: {key} must be {allowed}, got {value!r}"
        raise UsageError(message)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
