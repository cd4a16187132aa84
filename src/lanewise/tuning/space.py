"""What a space is made of: ranges, choices, priors, conditions, each as a dimension that a search can walk."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any, final

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Value
from lanewise.lanes.hyper import Hyper
from lanewise.tuning.names import LOGARITHMIC, known_rule

PAIR, TRIPLE = 2, 3

RANGE_WORDS = frozenset(("low", "high", "min", "max", "log", "step", "values", "choices", "distribution"))
"""Keys by which other libraries spell a range; a dict has optimizers here."""

POINTS = 3
"""Of a range in a grid, where the space does not say how many: both ends and the middle."""

EDGE = 1e-9
"""How near to the ends of the unit interval a prior is read: at the ends it is infinite."""

HALVINGS = 50
"""Of the unit interval, to find the coordinate of a number."""

WITHIN = NormalDist().inv_cdf(0.975)
"""Standard deviations that hold 95% of a normal distribution to both sides of its middle."""


@final
@dataclass(frozen=True, kw_only=True)
class Near:
    """A prior: see :func:`near`."""

    center: float
    factor: float


@final
@dataclass(frozen=True, kw_only=True)
class Only:
    """A setting that only some candidates have: see :func:`only`."""

    values: Any
    conditions: Mapping[str, tuple[Any, ...]]


def near(center: float, *, factor: float = 10.0) -> Near:
    """A log-normal prior: ``log x`` is normal about ``log center``, 95% of it within a ``factor`` to both sides.

    ``x = center * factor ** (z / 1.96)`` with z standard normal.

    Args:
        center: the median, above zero, in the unit of the setting.
        factor: above 1.

    Raises:
        UsageError: a center or factor that is none.

    >>> near(1e-3)
    Near(center=0.001, factor=10.0)
    """
    if not _number(center) or not 0 < center < math.inf:
        message = f"near needs a number above zero, got {center!r}"
        raise UsageError(message)
    if not _number(factor) or not 1 < factor < math.inf:
        message = f"the factor of near must be above 1, got {factor!r}"
        raise UsageError(message)
    return Near(center=center, factor=factor)


def only(values: Any, **conditions: Any) -> Only:
    """A setting that is varied only where other settings have certain values; elsewhere it keeps its default.

    Args:
        values: as in a space: a range, a list, a prior or one value.
        conditions: the value that a setting must have, or a list of them.

    Raises:
        UsageError: no condition.

    >>> only((0.0, 0.2), schedule=["cosine", "linear"]).conditions
    {'schedule': ('cosine', 'linear')}
    """
    if not conditions:
        message = "only needs a condition, such as only((0.5, 0.99), optimizer='momentum')"
        raise UsageError(message)
    allowed = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in conditions.items()}
    return Only(values=values, conditions=allowed)


@final
@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One setting: its ``default``, the value ``at`` a coordinate of the unit interval, the points of a ``grid``.

    It takes part where every one of the ``conditions`` holds. ``choices`` are all values where they have no order.
    """

    name: str
    default: Value
    at: Callable[[float], Value]
    grid: tuple[Value, ...]
    conditions: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    choices: tuple[Value, ...] = ()

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether all conditions hold among ``settings``."""
        return all(settings.get(other) in allowed for other, allowed in self.conditions.items())

    def place(self, value: float) -> float:
        """The coordinate of a number: the middle of those that give it, the nearer end where none does."""
        ends = (self._first(lambda found: found >= value), self._first(lambda found: found > value))
        return sum(ends) / PAIR

    def _first(self, reached: Callable[[Any], bool]) -> float:
        """The lowest coordinate that has reached something; values rise with the coordinate."""
        low, high = 0.0, 1.0
        if reached(self.at(low)):
            return low
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if reached(self.at(middle)) else (middle, high)
        return high

    @classmethod
    def of(cls, hyper: Hyper, points: int = POINTS) -> "Dimension":
        """The dimension of a range or of choices; ``points`` of a range are in the grid, both ends among them."""
        if hyper.scale == "choice":
            grid = dict.fromkeys(hyper.choices)
            return cls(name=hyper.name, default=hyper.default, at=hyper.at, grid=tuple(grid), choices=tuple(grid))
        # To twelve digits, so that a default on the grid is one of its points.
        ticks = (hyper.at(place / (points - 1)) for place in range(points))
        grid = dict.fromkeys(float(f"{tick:.12g}") if isinstance(tick, float) else tick for tick in ticks)
        return cls(name=hyper.name, default=hyper.default, at=hyper.at, grid=tuple(grid))


def dimension(name: str, given: Any, *, declared: Hyper | None, usual: Value | None) -> Dimension:
    """What ``space[name]`` means: a range ``(low, high)`` or ``(low, high, points)``, a list, a prior, or one value.

    ``declared`` is the hyper-parameter of the rule, if it has one of that name, ``usual`` the value where nobody says.
    The default is the usual value where that is allowed, else the middle of a range and the first of a list.

    Raises ``UsageError`` for a range that is none, an empty list, or a prior for what is not searched on a log scale.
    """
    if isinstance(given, Only):
        return replace(dimension(name, given.values, declared=declared, usual=usual), conditions=given.conditions)
    log = name in LOGARITHMIC or (declared is not None and declared.scale.startswith("log"))
    whole = name == "batch_size" or type(usual) is int
    if isinstance(given, Near):
        return _prior(name, given, log=log, whole=whole)
    if isinstance(given, list | range):
        if not given:
            message = f"space[{name!r}] is an empty list; list what may be chosen"
            raise UsageError(message)
        first = usual if usual is not None and usual in given else given[0]
        return Dimension.of(Hyper(name=name, default=first, scale="choice", choices=tuple(given)))
    if isinstance(given, tuple):
        return _range(name, given, log=log, whole=whole, usual=usual)
    return Dimension(name=name, default=given, at=lambda u: given, grid=(given,), choices=(given,))


def _prior(name: str, prior: Near, *, log: bool, whole: bool) -> Dimension:
    if not log:
        message = (
            f"space[{name!r}]: near is for settings on a log scale, such as {', '.join(LOGARITHMIC)}; "
            "give a range (low, high)"
        )
        raise UsageError(message)

    def at(u: float) -> Value:
        value = prior.center * prior.factor ** (NormalDist().inv_cdf(min(max(u, EDGE), 1 - EDGE)) / WITHIN)
        return max(1, round(value)) if whole else value

    grid = dict.fromkeys(at((place + 0.5) / POINTS) for place in range(POINTS))
    return Dimension(name=name, default=at(0.5), at=at, grid=tuple(grid))


def _range(name: str, given: tuple[Any, ...], *, log: bool, whole: bool, usual: Value | None) -> Dimension:
    ends = given[:PAIR]
    numbers = [value for value in ends if _number(value)]
    if len(given) not in (PAIR, TRIPLE) or len(numbers) != PAIR or not numbers[0] < numbers[1] < math.inf:
        raise UsageError(_no_range(name, given, log=log))
    if not (numbers[0] > 0 if log else numbers[0] > -math.inf):
        raise UsageError(_no_range(name, given, log=log))
    points, (low, high) = points_of(name, given), numbers
    middle = math.sqrt(low * high) if log else (low + high) / 2
    inside = _number(usual) and low <= usual <= high
    scale = ("log_integer" if log else "integer") if whole else "log" if log else "linear"
    default = usual if inside and usual is not None else round(middle) if whole else middle
    found = Dimension.of(Hyper(name=name, default=default, low=low, high=high, scale=scale), points)
    return replace(found, at=_in_powers(found.at, low, high)) if name == "batch_size" else found


def points_of(name: str, given: tuple[Any, ...]) -> int:
    """How many points a range ``(low, high)`` or ``(low, high, points)`` has in a grid; raises ``UsageError``."""
    points = given[PAIR] if len(given) == TRIPLE else POINTS
    if type(points) is not int or points < PAIR:
        message = f"space[{name!r}]: the third number of a range is its points in a grid, 2 at least, got {points!r}"
        raise UsageError(message)
    return points


def _in_powers(at: Callable[[float], Value], low: float, high: float) -> Callable[[float], Value]:
    """``at`` with the nearest power of two of a range that has several: candidates of one batch size share stacks."""
    least, most = math.ceil(math.log2(low)), math.floor(math.log2(high))
    if least >= most:
        return at
    return lambda u: 2 ** min(max(round(math.log2(float(at(u)))), least), most)


def _no_range(name: str, given: Sequence[Any], *, log: bool) -> str:
    above = " above zero" if log else ""
    return f"space[{name!r}] must be a range (low, high){above} or a list of choices, got {given!r}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def for_optimizer(space: Mapping[str, Any], optimizer: str) -> dict[str, Any]:
    """The part of a space that is meant for one optimizer: a dict as a value says it for each.

    Raises ``UsageError`` where such a dict names no optimizer.
    """
    found = {}
    for name, given in space.items():
        if not isinstance(given, dict):
            found[name] = given
            continue
        if not RANGE_WORDS.isdisjoint(given):
            message = (
                f"space[{name!r}] must be a range (low, high), a list of choices, or a dict of these for each "
                f"optimizer, got {given!r}"
            )
            raise UsageError(message)
        for own in given:
            known_rule(own)
        if optimizer in given:
            found[name] = given[optimizer]
    return found


def holding(
    values: Mapping[str, Value], dimensions: Sequence[Dimension], base: Mapping[str, Value]
) -> dict[str, Value]:
    """``base`` with those of ``values`` whose conditions hold; where one does not, the setting is as in ``base``."""
    left = {one.name: one for one in dimensions}
    while True:
        settings = {**base, **{name: values[name] for name in left}}
        fallen = [name for name, one in left.items() if not one.holds(settings)]
        if not fallen:
            return settings
        for name in fallen:
            del left[name]
