"""The candidates of a tuning race: those that the user lists, or points of a space."""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lanewise.errors import Mistakes, UsageError, first_line
from lanewise.lanes.candidate import Candidate, Value
from lanewise.optim.registry import RULES
from lanewise.optim.schedules import SCHEDULES
from lanewise.search.sampling import Sampling, unit_points
from lanewise.tuning.averaging import check_averaging
from lanewise.tuning.drop_ins import check_settings_of
from lanewise.tuning.names import LOOP, UNSTATED, known_rule, known_setting, takers_of
from lanewise.tuning.space import Dimension, Only, dimension, for_optimizer, holding

OPTIMIZERS = ("adamw", "nesterov", "adam", "sgd")
"""The optimizers that race where the user names none; the default of the first is the default of the race."""

USUAL_COUNT = 16
"""Candidates that are drawn where the user does not say how many."""

LARGEST_GRID = 1000
"""Points beyond which a grid is raced only if the user says that so many are meant."""

TRIES = 50
"""Points that are looked at for each one wanted, before a space counts as exhausted."""

STATED_SCHEDULES = tuple(name for name in SCHEDULES if name != "plateau")
"""Schedules that are a function of the step."""

PAIR = 2

Where = Callable[[Mapping[str, Value]], bool]


def listed(candidates: Sequence[Mapping[str, Any]], *, model: str, batch_size: int) -> list[Candidate]:
    """The candidates that a user has written down; the first is the default.

    Raises ``UsageError``: an optimizer or a setting that there is not, or a value that cannot be.
    """
    if not candidates:
        message = "candidates is empty; list at least one, such as {'optimizer': 'adamw', 'lr': 1e-3}"
        raise UsageError(message)
    mistakes = Mistakes()
    found = [mistakes.of(candidate_from, place, own, model, batch_size) for place, own in enumerate(candidates)]
    mistakes.tell()
    return [own for own in found if own is not None]


def drawn(
    space: Mapping[str, Any],
    count: int | None,
    *,
    model: str,
    batch_size: int,
    seed: int,
    sampling: Sampling = "sobol",
    where: Where | None = None,
    arguments: Mapping[str, Dimension] | None = None,
) -> list[Candidate]:
    """``count`` candidates of a space, each once: the default of each optimizer, then points of its ranges.

    ``sobol`` and ``random`` points vary what ``space`` does not name over the ranges that the rule declares. A ``grid``
    has every combination of what ``space`` names, and of the ``arguments`` of make_model, and leaves the rest at its
    default. ``where`` says of settings whether they may be raced; a default that may not makes way for the first point
    that may.

    Raises ``UsageError``: as :func:`listed`; a range that is none; fewer candidates than optimizers or than points of
    the grid; a ``where`` that fails or lets nothing through.
    """
    own_arguments = arguments or {}
    fields = fields_of(space, count, batch_size=batch_size, grid=sampling == "grid", arguments=own_arguments)
    if sampling == "grid":
        own = {name: value for name, value in {**space, **own_arguments}.items() if name != "optimizer"}
        _check_size(sum(field.size for field in fields), own, count)
        wanted = [field.size + 1 for field in fields]
    else:
        total = count or USUAL_COUNT
        wanted = [-(-(total - place) // len(fields)) for place in range(len(fields))]
    streams = [field.points(most, seed, sampling, where) for field, most in zip(fields, wanted, strict=True)]
    together = [one for row in itertools.zip_longest(*streams) for one in row if one is not None]
    found = []
    for place, one in enumerate(together):
        training = {name: value for name, value in one.items() if name not in own_arguments}
        made = candidate_from(place, training, model, batch_size)
        found.append(replace(made, settings={**made.settings, **{name: one[name] for name in own_arguments}}))
    return found


def fields_of(
    space: Mapping[str, Any],
    count: int | None,
    *,
    batch_size: int,
    grid: bool,
    arguments: Mapping[str, Dimension] | None = None,
) -> "list[Field]":
    """The field of each optimizer of a space, of which ``count`` candidates are drawn; raises as :func:`drawn`.

    Each has the ``arguments`` of make_model beside the settings of its optimizer.
    """
    chosen = space.get("optimizer", OPTIMIZERS[:count] if count else OPTIMIZERS)
    names = list(dict.fromkeys(chosen)) if isinstance(chosen, list | tuple) else [chosen]
    own = {name: value for name, value in space.items() if name != "optimizer"}
    mistakes = Mistakes()
    for name in names:
        mistakes.of(known_rule, name)
    rules = [RULES[name] for name in names if name in RULES]
    # Where an optimizer is not known, nobody knows which settings are its.
    offered = {hyper.name for rule in (rules if len(rules) == len(names) else RULES.values()) for hyper in rule.hypers}
    offered |= set(LOOP)
    takers = takers_of(names, stated="optimizer" in space) if len(rules) == len(names) > 0 else "there are"
    for name, given in own.items():
        mistakes.of(known_setting, name, offered, takers=takers)
        for other in given.conditions if isinstance(given, Only) else ():
            mistakes.of(known_setting, other, {"optimizer", *offered}, takers=takers)
    known = {name: value for name, value in own.items() if name in offered}
    fields = [mistakes.of(Field, rule.name, known, batch_size, grid=grid, arguments=arguments or {}) for rule in rules]
    mistakes.tell()
    if not names or (count is not None and count < len(names)):
        message = (
            f"{len(names)} optimizers take part, each with its default, and candidates is {count}; "
            "give at least one of the optimizers, and as many candidates"
        )
        raise UsageError(message)
    return [field for field in fields if field is not None]


class Field:
    """The space of one optimizer."""

    def __init__(
        self,
        optimizer: str,
        own: Mapping[str, Any],
        batch_size: int,
        *,
        grid: bool,
        arguments: Mapping[str, Dimension],
    ) -> None:
        rule = RULES[optimizer]
        hypers = {hyper.name: hyper for hyper in rule.hypers}
        usual: dict[str, Value] = {name: hyper.default for name, hyper in hypers.items()}
        self.base: dict[str, Value] = {
            **usual,
            **UNSTATED,
            **_loop_defaults(optimizer, batch_size),
            "optimizer": optimizer,
        }
        decays = rule.decay == "decoupled"
        found = {
            name: Dimension.of(hyper)
            for name, hyper in hypers.items()
            if not grid and hyper.low is not None and (name != "weight_decay" or decays)
        }
        mistakes = Mistakes()
        for name, given in for_optimizer(own, optimizer).items():
            if name in hypers or name in LOOP:  # else it is a setting of another optimizer
                one = mistakes.of(dimension, name, given, declared=hypers.get(name), usual=self.base.get(name))
                found |= {} if one is None else {name: one}
        mistakes.tell()
        self.optimizer, self.dimensions = optimizer, (*found.values(), *arguments.values())
        self._unstated = {name: value for name, value in UNSTATED.items() if name not in found}

    @property
    def size(self) -> int:
        """Points of the full grid."""
        return math.prod(len(one.grid) for one in self.dimensions)

    def stated(self, settings: Mapping[str, Value]) -> dict[str, Value]:
        """The settings without those of the loop that nobody varies and a candidate need not have."""
        return {name: value for name, value in settings.items() if name not in self._unstated}

    def points(self, count: int, seed: int, sampling: Sampling, where: Where | None) -> list[dict[str, Value]]:
        """``count`` different settings that ``where`` allows, the default first; fewer where there are not so many."""
        default = {one.name: one.default for one in self.dimensions}
        found: dict[tuple[Any, ...], dict[str, Value]] = {}
        for values in itertools.chain([default], self._values(count, seed, sampling)):
            settings = holding(values, self.dimensions, self.base)
            if allows(where, settings):
                stated = self.stated(settings)
                found.setdefault(tuple(sorted(stated.items())), stated)
            if len(found) == count:
                break
        if not found:
            message = f"where lets no point of {self.optimizer} through; it must be true for some settings of the space"
            raise UsageError(message)
        return list(found.values())

    def _values(self, count: int, seed: int, sampling: Sampling) -> Iterator[dict[str, Value]]:
        names = [one.name for one in self.dimensions]
        if sampling == "grid":
            for values in itertools.product(*(one.grid for one in self.dimensions)):
                yield dict(zip(names, values, strict=True))
            return
        key = int.from_bytes(hashlib.sha256(f"{seed}/{self.optimizer}".encode()).digest()[:6], "little")
        tried, most = 0, count - 1
        while tried < TRIES * count:
            # More points of one sequence begin with those that fewer would have been.
            for point in unit_points(most, len(names), sampling=sampling, seed=key)[tried:]:
                yield {one.name: one.at(float(u)) for one, u in zip(self.dimensions, point, strict=True)}
            tried, most = most, max(2 * most, 1)
            if not names:
                return


def _loop_defaults(optimizer: str, batch_size: int) -> dict[str, Value]:
    # A rule that averages, or finds its rate, wants a constant schedule.
    return {"schedule": "linear" if RULES[optimizer].scheduled else "constant", "batch_size": batch_size}


def allows(where: Where | None, settings: Mapping[str, Value]) -> bool:
    """Whether ``where`` is true of the settings; raises ``UsageError`` where it fails."""
    if where is None:
        return True
    try:
        return bool(where(dict(settings)))
    except Exception as error:
        message = f"where failed on {dict(settings)}: {type(error).__name__}: {first_line(error)}"
        raise UsageError(message) from error


def _check_size(size: int, own: Mapping[str, Any], count: int | None) -> None:
    if not own:
        message = "a grid needs a space that names what to vary, such as space={'lr': (1e-4, 1e-1, 5)}"
        raise UsageError(message)
    if size > (count or LARGEST_GRID):
        said = "candidates is" if count else "without candidates the most is"
        message = (
            f"the grid has {size:,} points, and {said} {count or LARGEST_GRID:,}; "
            f"name fewer values, or allow so many with candidates={size}"
        )
        raise UsageError(message)


def candidate_from(place: int, given: Mapping[str, Any], model: str, batch_size: int) -> Candidate:
    """The candidate of that place with the settings that are given, the others at their defaults."""
    if not isinstance(given, Mapping):
        message = f"a candidate is a dict such as {{'optimizer': 'adamw', 'lr': 1e-3}}, got {given!r}"
        raise UsageError(message)
    settings: dict[str, Any] = dict(given)
    takers = takers_of([settings.get("optimizer", OPTIMIZERS[0])], stated="optimizer" in settings)
    optimizer = settings.pop("optimizer", OPTIMIZERS[0])
    known_rule(optimizer)
    mistakes = Mistakes()
    if "betas" in settings:
        settings |= mistakes.of(_betas, settings.pop("betas")) or {}
    hypers = {hyper.name: hyper.default for hyper in RULES[optimizer].hypers}
    for name, value in settings.items():
        mistakes.of(known_setting, name, {*hypers, *LOOP}, takers=takers)
        if name not in hypers or value != hypers[name]:
            mistakes.of(_usable, name, value)
    mistakes.tell()
    check_settings_of(optimizer, {name: value for name, value in settings.items() if name in hypers})
    defaults: dict[str, Value] = {**hypers, **_loop_defaults(optimizer, batch_size)}
    check_averaging(settings, optimizer)
    return Candidate(
        id=f"{optimizer}-{place:02d}",
        model=model,
        optimizer=optimizer,
        settings={**defaults, **settings},
        is_default=place == 0,
    )


def _betas(value: object) -> dict[str, Any]:
    if not isinstance(value, tuple | list) or len(value) != PAIR:
        message = f"betas must be two numbers such as (0.9, 0.999), got {value!r}"
        raise UsageError(message)
    return dict(zip(("beta1", "beta2"), value, strict=True))


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
