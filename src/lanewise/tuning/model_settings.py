"""Settings of the model beside those of its training: the arguments of make_model, listed or drawn."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from lanewise.errors import Mistakes, UsageError, closest, suggestion
from lanewise.lanes.candidate import Candidate, Value
from lanewise.lanes.draws import keyed_seed
from lanewise.lanes.hyper import Hyper
from lanewise.optim.registry import RULES
from lanewise.search.sampling import unit_points
from lanewise.tuning.names import LOOP, UNSTATED, as_called, check_no_other, takers_of
from lanewise.tuning.proposing import OPTIMIZERS, Where, allows
from lanewise.tuning.space import PAIR, TRIPLE, Dimension, Only, points_of

OF_TRAINING = frozenset(
    {"optimizer", "betas", *LOOP, *(hyper.name for rule in RULES.values() for hyper in rule.hypers)}
)
"""What a candidate says of its training; an argument of the same name keeps its default."""

LOOKED = 1000
"""Different points of the model that settings of the training are tried with, so that a search in vain ends soon."""

Settings = dict[str, Value]


def different(points: Sequence[Settings]) -> list[Settings]:
    """The first of the ``points``, each once."""
    return list({tuple(sorted(point.items())): point for point in points}.values())[:LOOKED]


def somewhere(where: Where | None, points: Sequence[Settings]) -> Where | None:
    """Whether settings of the training may be raced with any of ``points`` of the model."""
    if where is None:
        return None
    order = list(points)

    def allowed(training: Mapping[str, Value]) -> bool:
        for place, point in enumerate(order):
            if where({**training, **point}):
                order.insert(0, order.pop(place))  # what goes with some is likely to go with others
                return True
        return False

    return allowed


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """The arguments that make_model takes by name: their defaults, and those that it has none for."""

    defaults: Mapping[str, Any]
    required: frozenset[str]

    @classmethod
    def of(cls, make_model: Callable[..., nn.Module]) -> "ModelArguments":
        """Read off the signature; nothing where there is none."""
        try:
            parameters = inspect.signature(make_model).parameters.values()
        except (TypeError, ValueError):  # something that is written in C
            parameters = ()
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        own = {one.name: one.default for one in parameters if one.kind in kinds and one.name not in OF_TRAINING}
        empty = inspect.Parameter.empty
        return cls(
            defaults={name: default for name, default in own.items() if default is not empty},
            required=frozenset(name for name, default in own.items() if default is empty),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*sorted(self.required), *self.defaults)

    def parted(self, settings: Any, *, usual: Sequence[str] = OPTIMIZERS[:1]) -> tuple[Any, dict[str, Any]]:
        """Settings of the training and of the model; raises ``UsageError`` for one that is of neither.

        ``usual`` are the optimizers that train where none is named.
        """
        if not isinstance(settings, Mapping):
            return settings, {}  # what is wrong with it is told where candidates are read
        mistakes = Mistakes()
        for name in settings if self.names else ():
            mistakes.of(self._check_known, name, settings.get("optimizer"), usual)
        mistakes.tell()
        own = {name: value for name, value in settings.items() if name in self.names}
        return {name: value for name, value in settings.items() if name not in own}, own

    def _check_known(self, name: str, optimizer: Any, usual: Sequence[str]) -> None:
        if name in self.names or name in OF_TRAINING:
            return
        check_no_other(name)
        asked = optimizer if isinstance(optimizer, list | tuple) else [optimizer]
        stated = [own for own in asked if isinstance(own, str) and own in RULES]
        named = stated or usual
        taken = dict.fromkeys(hyper.name for own in named for hyper in RULES[own].hypers)
        training = ["optimizer", *taken, *LOOP]
        known = [*self.names, *training]
        near = closest(as_called(name, known), known, most=1)
        told = [f"there is no setting {name!r};", *[f"did you mean {own}?" for own in near]]
        takers = takers_of(named, stated=optimizer is not None)
        lists = [suggestion("", own, noun=noun) for noun, own in (("make_model takes", self.names), (takers, training))]
        raise UsageError(" ".join([*told, ", and ".join(lists)]))

    def added(self, candidates: Sequence[Candidate], own: Sequence[Mapping[str, Any]]) -> tuple[Candidate, ...]:
        """The candidates with their settings of the model; raises ``UsageError`` for a value that cannot be."""
        found = []
        for candidate, settings in zip(candidates, own, strict=True):
            missing = sorted(self.required - settings.keys())
            if missing:
                message = (
                    f"make_model needs {', '.join(missing)}, of which {candidate.id} says nothing; give it in the "
                    "space or in every candidate, or give make_model a default"
                )
                raise UsageError(message)
            for name, value in settings.items():
                _check_value(name, value)
            found.append(replace(candidate, settings={**candidate.settings, **settings}))
        return tuple(found)

    def seen_by(self, where: Where | None) -> Where | None:
        """``where``, which sees every argument that it is not told of at its default."""
        return None if where is None else lambda settings: where({**self.defaults, **settings})

    def points(self, space: Mapping[str, Any], count: int, *, seed: int, tries: int = 1) -> list[Settings]:
        """The defaults, then ``count`` points of ``space`` where anything varies in it, ``tries`` times over.

        They cover the ranges evenly, and come in an order of their own: beside the points of the training, two even
        sequences would go up and down together. More tries go on where fewer end.
        """
        varied = self.varied(space)
        fixed = {name: value for name, value in space.items() if name not in varied}
        usual = {**fixed, **{name: one.default for name, one in varied.items()}}
        if not varied:
            return [usual]
        key = keyed_seed(seed, "make_model")
        even = unit_points(count * tries, len(varied), sampling="sobol", seed=key)
        draw = np.random.default_rng(key)
        order = np.concatenate([start + draw.permutation(count) for start in range(0, count * tries, count)])
        return [
            usual,
            *(
                {**fixed, **{name: one.at(float(u)) for (name, one), u in zip(varied.items(), point, strict=True)}}
                for point in even[order]
            ),
        ]

    def dealt(
        self, points: Sequence[Settings], candidates: Sequence[Candidate], *, where: Where | None, count: int
    ) -> tuple[Candidate, ...]:
        """The candidates with a point each that ``where`` allows; the first of every optimizer has the defaults.

        Beside the defaults, these are the first ``count`` of the points that ``where`` allows with any candidate.
        Where there are more points than candidates, as of one recipe for many models, candidates are dealt others once
        more. Raises as :meth:`added`.
        """
        found: dict[tuple[Any, ...], tuple[Candidate, Settings]] = {}
        met, usual = set[str](), points[0]
        # One recipe needs other models; where every candidate trains in its own way, a model may come again.
        pool = points[1:] if len(candidates) >= count else different([*points[1:], usual])
        usable = (one for one in pool if any(allows(where, _all_of(own, one)) for own in candidates))
        others = list(itertools.islice(usable, count))
        # The turn beyond the last deals what the defaults have taken the place of in the first.
        for turn, place in itertools.product(range(len(candidates) + 1), range(count)):
            if len(found) == count:
                break
            own = candidates[(place + turn) % len(candidates)]
            first = own.optimizer not in met
            met.add(own.optimizer)
            start = place % max(len(others), 1)
            order = [usual, *others] if first else [*others[start:], *others[:start], usual]
            # Some settings go with none of the first points; they were drawn because they go with one of the others.
            point = next((one for one in (*order, *points) if allows(where, _all_of(own, one))), None)
            if point is not None:
                found.setdefault((own.id, *sorted(point.items())), (own, point))
        numbered = [
            replace(own, id=f"{own.optimizer}-{place:02d}", is_default=place == 0)
            for place, (own, _) in enumerate(found.values())
        ]
        return self.added(numbered, [point for _, point in found.values()])

    def varied(self, space: Mapping[str, Any]) -> dict[str, Dimension]:
        """The arguments of which a space gives a range or choices; raises ``UsageError`` for one that is none."""
        found = {name: self._range(name, value) for name, value in space.items()}
        return {name: one for name, one in found.items() if one is not None}

    def _range(self, name: str, given: Any) -> Dimension | None:
        """The range or the choices that a space gives an argument; None for a single value."""
        if isinstance(given, Only):
            message = (
                f"only() is for settings of the training, and {name} is make_model's; give its values without it, and "
                "where=, a function of all settings, to say which go together"
            )
            raise UsageError(message)
        if not isinstance(given, tuple | list | range):
            if not isinstance(given, Value):
                message = (
                    f"space[{name!r}] must be a range (low, high), a list of choices, or one value (a number, a word, "
                    f"True or False), got {given!r}"
                )
                raise UsageError(message)
            return None
        usual: Any = self.defaults.get(name)
        if isinstance(given, list | range):
            if not given:
                message = f"space[{name!r}] is an empty list; list what may be chosen"
                raise UsageError(message)
            for value in given:
                _check_value(name, value)
            first = usual if usual in given else given[0]
            return Dimension.of(Hyper(name=name, default=first, scale="choice", choices=tuple(given)))
        numbers = [value for value in given[:PAIR] if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(given) not in (PAIR, TRIPLE) or len(numbers) != PAIR or not numbers[0] < numbers[1]:
            message = f"space[{name!r}] must be a range (low, high) or a list of choices, got {given!r}"
            raise UsageError(message)
        points, (low, high) = points_of(name, given), numbers
        whole = all(isinstance(value, int) for value in numbers)
        scale = "log_integer" if whole and low > 0 else "integer" if whole else "linear"
        inside = isinstance(usual, int | float) and not isinstance(usual, bool) and low <= usual <= high
        middle = (low + high) // 2 if whole else (low + high) / 2
        hyper = Hyper(name=name, default=usual if inside else middle, low=low, high=high, scale=scale)
        return Dimension.of(hyper, points)


def _check_value(name: str, value: object) -> None:
    if not isinstance(value, Value):
        message = f"{name} must be a number, a word, or True or False, got {value!r}"
        raise UsageError(message)


def _all_of(candidate: Candidate, point: Settings) -> dict[str, Value]:
    """The settings of the training and of the model, as a constraint sees them."""
    return {**UNSTATED, "optimizer": candidate.optimizer, **candidate.settings, **point}
