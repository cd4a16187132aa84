"""The names that a candidate of a tuning race may use, and what is said about others."""

from collections.abc import Iterable

from lanewise.errors import UsageError, closest, suggestion
from lanewise.lanes.candidate import Value
from lanewise.tuning.averaging import USUAL as AVERAGING
from lanewise.tuning.drop_ins import RACED

LOOP = ("batch_size", "schedule", "warmup", "clip_norm", *AVERAGING)
"""Settings of the loop rather than of a rule."""

UNSTATED: dict[str, Value] = {"warmup": 0.0, "clip_norm": 0.0, **AVERAGING}
"""Settings of the loop that a candidate need not have, and what they are then."""

LOGARITHMIC = ("lr", "weight_decay", "eps", "clip_norm", "batch_size", "average_every", "outer_lr")
"""Settings that a search varies on a log scale, whatever the rule declares."""


def known_rule(name: object) -> None:
    """``UsageError`` where ``name`` is no optimizer that a tuning race offers."""
    if name not in RACED:
        near = " or ".join(closest(name, RACED))
        meant = f" did you mean {near}?" if near else ""
        message = f"there is no optimizer {name!r} to tune with;{meant} there are {', '.join(RACED)}"
        raise UsageError(message)


def known_setting(name: str, allowed: Iterable[str]) -> None:
    """``UsageError`` where ``name`` is none of the ``allowed`` settings."""
    known = sorted(allowed)
    if name not in known:
        message = f"there is no setting {name!r}; {suggestion(name, known)}"
        raise UsageError(message)
