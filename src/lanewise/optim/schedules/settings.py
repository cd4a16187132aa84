"""The schedules of candidates: their settings, and the factors of a training of known length."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from lanewise.errors import UsageError, suggestion
from lanewise.lanes.candidate import Candidate, Value
from lanewise.optim.schedules import curves
from lanewise.optim.schedules.curves import Curve
from lanewise.optim.schedules.plateau import LanePlateau

SCHEDULES: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        "constant": {},
        "linear": {"schedule_final": 0.0},
        "cosine": {"schedule_final": 0.0},
        "exponential": {"schedule_final": 0.01},
        "step": {"schedule_gamma": 0.1, "schedule_every": 1 / 3},
        "polynomial": {"schedule_final": 0.0, "schedule_power": 2.0},
        "inverse_square_root": {"schedule_timescale": 0.1},
        "one_cycle": {"schedule_start": 0.04, "schedule_peak": 0.3, "schedule_final": 4e-6},
        "warm_restarts": {"schedule_cycles": 4, "schedule_growth": 1.0, "schedule_final": 0.0},
        "stable_decay": {"schedule_cooldown": 0.2, "schedule_shape": "sqrt", "schedule_final": 0.0},
        "plateau": {
            "schedule_gamma": 0.3,
            "schedule_patience": 5,
            "schedule_threshold": 1e-3,
            "schedule_cooldown": 0,
            "schedule_least": 0.0,
        },
    }
)
"""Every schedule of a candidate with its settings and their defaults.

``final``, ``start`` and ``least`` are factors of the peak rate; ``every``, ``timescale``, ``peak`` and the cool-down of
``stable_decay`` are shares of the steps after the warm-up. ``patience`` and the cool-down of ``plateau`` count windows
of :data:`WINDOW`.
"""

WINDOW = 0.01
"""Share of the training over whose losses the plateau schedule takes one mean."""

UNSETTLED = ("constant", "inverse_square_root", "plateau")
"""Schedules under which the weights may still jump about at the end."""


def schedule_of(candidate: Candidate) -> tuple[str, tuple[Value, ...]]:
    """The schedule of a candidate and its settings, in the order of :data:`SCHEDULES`.

    Raises ``UsageError`` for a schedule that is not there.
    """
    name = candidate.text("schedule", "linear")
    if name not in SCHEDULES:
        message = f"there is no schedule {name!r}; {suggestion(name, SCHEDULES)}"
        raise UsageError(message)
    return name, tuple(candidate.settings.get(own, usual) for own, usual in SCHEDULES[name].items())


def factors(name: str, steps: Tensor, length: int, warmup: float, settings: tuple[Value, ...] | None = None) -> Tensor:
    """Factors ``[T]`` of the peak rate at ``steps [T]`` (counted from 0) of a training of ``length`` steps.

    The first ``warmup`` share of the steps climbs linearly, ``(s + 1) / w``; the schedule runs over what is left.
    ``settings`` are those of the schedule, in the order of :data:`SCHEDULES`; without them it has its defaults.

    >>> factors("linear", torch.arange(4), length=4, warmup=0.0).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    climb = round(warmup * length)
    usual = SCHEDULES[name]
    own = dict(zip(usual, settings or tuple(usual.values()), strict=True))
    return curves.warmed(steps, _curve(name, max(length - climb, 1), own), warmup=climb)


def lane_plateau(
    candidates: Sequence[Candidate], length: int, device: torch.device | None = None
) -> LanePlateau | None:
    """The plateau schedule of the lanes that have it; None if no lane has."""
    wanted = torch.tensor([candidate.text("schedule") == "plateau" for candidate in candidates], device=device)
    if not bool(wanted.any()):
        return None
    settings = {
        name.removeprefix("schedule_"): torch.tensor(
            [candidate.number(name, float(usual)) for candidate in candidates], dtype=torch.float64, device=device
        )
        for name, usual in SCHEDULES["plateau"].items()
    }
    return LanePlateau(wanted, settings, window=max(1, round(WINDOW * length)))


def _curve(name: str, length: int, settings: Mapping[str, Value]) -> Curve:
    """The curve over the ``length`` steps after the warm-up."""

    def number(own: str) -> float:
        return float(settings[f"schedule_{own}"])

    def first_period() -> float:
        return length / sum(number("growth") ** period for period in range(int(number("cycles"))))

    makers: dict[str, Callable[[], Curve]] = {
        "constant": lambda: curves.constant,
        "plateau": lambda: curves.constant,
        "linear": lambda: partial(curves.linear, length=length, final=number("final")),
        "cosine": lambda: partial(curves.cosine, length=length, final=number("final")),
        "exponential": lambda: partial(curves.exponential, gamma=number("final") ** (1 / length)),
        "step": lambda: partial(curves.stairs, every=number("every") * length, gamma=number("gamma")),
        "polynomial": lambda: partial(curves.polynomial, length=length, power=number("power"), final=number("final")),
        "inverse_square_root": lambda: partial(
            curves.inverse_square_root, timescale=max(number("timescale") * length, 1.0)
        ),
        "one_cycle": lambda: partial(
            curves.one_cycle, length=length, peak=number("peak"), start=number("start"), final=number("final")
        ),
        "warm_restarts": lambda: partial(
            curves.warm_restarts, first=first_period(), growth=number("growth"), final=number("final")
        ),
        "stable_decay": lambda: partial(
            curves.stable_decay,
            length=length,
            cooldown=max(number("cooldown") * length, 1.0),
            final=number("final"),
            shape="linear" if settings["schedule_shape"] == "linear" else "sqrt",
        ),
    }
    return makers[name]()
