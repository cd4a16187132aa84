"""The candidates of a tuning race: those that the user lists, or points of a space."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lanewise.errors import UsageError, suggestion
from lanewise.lanes.candidate import Candidate, Value
from lanewise.lanes.hyper import Hyper
from lanewise.optim.registry import RULES
from lanewise.optim.schedules import SCHEDULES
from lanewise.search.sampling import Sampling, unit_points
from lanewise.tuning.drop_ins import RACED

OPTIMIZERS = ("adamw", "nesterov", "adam", "sgd")
"""The optimizers that race where the user names none; the default of the first is the default of the race."""

LOOP = ("batch_size", "schedule", "warmup", "clip_norm")
"""Settings of the loop rather than of a rule."""

LOGARITHMIC = ("lr", "weight_decay", "eps", "clip_norm", "batch_size")
PAIR = 2

STATED_SCHEDULES = tuple(name for name in SCHEDULES if name != "plateau")
"""Schedules that are a function of the step."""


def listed(candidates: Sequence[Mapping[str, Any]], *, model: str, batch_size: int) -> list[Candidate]:
    """The candidates that a user has written down; the first is the default.

    Raises ``UsageError``: an optimizer or a setting that there is not, or a value that cannot be.
    """
    if not candidates:
        message = "candidates is empty; list at least one, such as {'optimizer': 'adamw', 'lr': 1e-3}"
        raise UsageError(message)
    return [_candidate(place, own, model, batch_size) for place, own in enumerate(candidates)]


def drawn(
    space: Mapping[str, Any],
    count: int,
    *,
    model: str,
    batch_size: int,
    seed: int,
    sampling: Sampling = "sobol",
) -> list[Candidate]:
    """``count`` candidates of a space: the default of each optimizer, then points that cover the ranges.

    A range is ``(low, high)``, choices are a list, anything else is fixed. What ``space`` does not name is varied
    over the ranges that the rule declares.

    Raises ``UsageError``: as :func:`listed`, and a range that is none.
    """
    chosen = space.get("optimizer", OPTIMIZERS)
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    own = {name: value for name, value in space.items() if name != "optimizer"}
    for name in names:
        _known_rule(name)
    offered = {hyper.name for name in names for hyper in RULES[name].hypers} | set(LOOP)
    for name in own:
        _known_setting(name, offered)
    streams = [_points(name, own, -(-count // len(names)), seed, sampling) for name in names]
    settings = [one for together in zip(*streams, strict=True) for one in together][:count]
    return [_candidate(place, one, model, batch_size) for place, one in enumerate(settings)]


def _points(
    optimizer: str, own: Mapping[str, Any], count: int, seed: int, sampling: Sampling
) -> Iterator[dict[str, Value]]:
    hypers = {hyper.name: hyper for hyper in RULES[optimizer].hypers}
    varied = {
        hyper.name: hyper
        for hyper in hypers.values()
        if hyper.low is not None and (hyper.name != "weight_decay" or RULES[optimizer].decay == "decoupled")
    }
    fixed: dict[str, Value] = {"optimizer": optimizer}
    for name, value in own.items():
        if name not in hypers and name not in LOOP:
            continue  # a setting of another optimizer
        varied.pop(name, None)
        if isinstance(value, tuple | list):
            varied[name] = _range(name, value)
        else:
            fixed[name] = value
    yield fixed | {name: hyper.default for name, hyper in varied.items()}
    key = int.from_bytes(f"{seed}/{optimizer}".encode()[-6:], "little")
    for point in unit_points(count - 1, len(varied), sampling=sampling, seed=key):
        yield fixed | {name: hyper.at(float(u)) for (name, hyper), u in zip(varied.items(), point, strict=True)}


def _range(name: str, given: Sequence[Any]) -> Hyper:
    if isinstance(given, list):
        if not given:
            message = f"space[{name!r}] is an empty list; list what may be chosen"
            raise UsageError(message)
        return Hyper(name=name, default=given[0], scale="choice", choices=tuple(given))
    numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    log = name in LOGARITHMIC
    if len(given) != PAIR or len(numbers) != PAIR or not numbers[0] < numbers[1] or (log and numbers[0] <= 0):
        above = " above zero" if log else ""
        message = f"space[{name!r}] must be a range (low, high){above} or a list of choices, got {given!r}"
        raise UsageError(message)
    low, high = numbers
    middle = (low * high) ** 0.5 if log else (low + high) / 2
    if name == "batch_size":
        return Hyper(name=name, default=round(middle), low=low, high=high, scale="log_integer")
    return Hyper(name=name, default=middle, low=low, high=high, scale="log" if log else "linear")


def _candidate(place: int, given: Mapping[str, Any], model: str, batch_size: int) -> Candidate:
    if not isinstance(given, Mapping):
        message = f"a candidate is a dict such as {{'optimizer': 'adamw', 'lr': 1e-3}}, got {given!r}"
        raise UsageError(message)
    settings: dict[str, Any] = dict(given)
    optimizer = settings.pop("optimizer", OPTIMIZERS[0])
    _known_rule(optimizer)
    if "betas" in settings:
        settings["beta1"], settings["beta2"] = settings.pop("betas")
    hypers = {hyper.name: hyper.default for hyper in RULES[optimizer].hypers}
    for name, value in settings.items():
        _known_setting(name, {*hypers, *LOOP})
        _usable(name, value)
    defaults: dict[str, Value] = {**hypers, "schedule": "linear", "batch_size": batch_size}
    return Candidate(
        id=f"{optimizer}-{place:02d}",
        model=model,
        optimizer=optimizer,
        settings={**defaults, **settings},
        is_default=place == 0,
    )


def _known_rule(name: object) -> None:
    if name not in RACED:
        hint = suggestion(name, RACED, place="lanewise.tuning.drop_ins.RACED")
        message = f"there is no optimizer {name!r} to tune with; {hint}"
        raise UsageError(message)


def _known_setting(name: str, allowed: Iterable[str]) -> None:
    known = sorted(allowed)
    if name not in known:
        message = f"there is no setting {name!r}; {suggestion(name, known)}"
        raise UsageError(message)


def _usable(name: str, value: object) -> None:
    if name == "schedule":
        if value not in STATED_SCHEDULES:
            message = f"schedule must be one of {', '.join(STATED_SCHEDULES)}, got {value!r}"
            raise UsageError(message)
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        message = f"{name} must be a number that is finite and not negative, got {value!r}"
        raise UsageError(message)
    if name == "batch_size" and (value < 1 or value != int(value)):
        message = f"batch_size must be a whole number of rows, at least 1, got {value!r}"
        raise UsageError(message)
    if name == "warmup" and value > 1:
        message = f"warmup is a share of the steps from 0 to 1, got {value!r}"
        raise UsageError(message)
