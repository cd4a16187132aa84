"""Settings of the model beside those of its training: the arguments of make_model, listed or drawn."""

import inspect
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
from lanewise.tuning.names import LOOP, as_called, takers_of
from lanewise.tuning.proposing import OPTIMIZERS

OF_TRAINING = frozenset(
    {"optimizer", "betas", *LOOP, *(hyper.name for rule in RULES.values() for hyper in rule.hypers)}
)
"""What a candidate says of its training; an argument of the same name keeps its default."""

PAIR = 2
Settings = dict[str, Value]


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
                if not isinstance(value, Value):
                    message = f"{name} must be a number, a word, or True or False, got {value!r}"
                    raise UsageError(message)
            found.append(replace(candidate, settings={**candidate.settings, **settings}))
        return tuple(found)

    def drawn(self, space: Mapping[str, Any], candidates: Sequence[Candidate], *, seed: int) -> list[Settings]:
        """A point of ``space`` for each candidate; the first candidate of every optimizer has the defaults.

        Points cover the ranges evenly, and are dealt out in an order of their own: two even sequences side by side
        would go up and down together.
        """
        varied = self.varied(space)
        fixed = {name: value for name, value in space.items() if name not in varied}
        usual = {name: hyper.default for name, hyper in varied.items()}
        key = keyed_seed(seed, "make_model")
        points = unit_points(len(candidates), len(varied), sampling="sobol", seed=key)
        order = np.random.default_rng(key).permutation(len(candidates))
        found, met = [], set[str]()
        for candidate, point in zip(candidates, points[order], strict=True):
            first = candidate.optimizer not in met
            met.add(candidate.optimizer)
            drawn = {name: hyper.at(float(u)) for (name, hyper), u in zip(varied.items(), point, strict=True)}
            found.append({**fixed, **(usual if first else drawn)})
        return found

    def varied(self, space: Mapping[str, Any]) -> dict[str, Hyper]:
        """The arguments of which a space gives a range or choices; raises ``UsageError`` for one that is none."""
        hypers = {name: self._range(name, value) for name, value in space.items()}
        return {name: hyper for name, hyper in hypers.items() if hyper is not None}

    def _range(self, name: str, given: Any) -> Hyper | None:
        """The range or the choices that a space gives an argument; None for a single value."""
        if not isinstance(given, tuple | list):
            return None
        usual: Any = self.defaults.get(name)
        if isinstance(given, list):
            if not given:
                message = f"space[{name!r}] is an empty list; list what may be chosen"
                raise UsageError(message)
            return Hyper(name=name, default=usual if usual in given else given[0], scale="choice", choices=tuple(given))
        numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(given) != PAIR or len(numbers) != PAIR or not numbers[0] < numbers[1]:
            message = f"space[{name!r}] must be a range (low, high) or a list of choices, got {given!r}"
            raise UsageError(message)
        low, high = numbers
        whole = all(isinstance(value, int) for value in numbers)
        scale = "log_integer" if whole and low > 0 else "integer" if whole else "linear"
        inside = isinstance(usual, int | float) and not isinstance(usual, bool) and low <= usual <= high
        middle = (low + high) // 2 if whole else (low + high) / 2
        return Hyper(name=name, default=usual if inside else middle, low=low, high=high, scale=scale)
