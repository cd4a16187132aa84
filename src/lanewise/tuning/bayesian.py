"""Bayesian search in a tuning race: what the first look has shown decides who enters next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate, Value
from lanewise.lanes.draws import keyed_seed
from lanewise.search.bayesian import Axis, Coordinate, Point, Told, check_installed, propose
from lanewise.training.entering import Proposer, Tried
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.team import Former
from lanewise.tuning.drop_ins import steady_rate
from lanewise.tuning.names import LOOP
from lanewise.tuning.planning import BATCHES
from lanewise.tuning.posing import Grow
from lanewise.tuning.proposing import USUAL_COUNT, Field, Where, allows, candidate_from, fields_of
from lanewise.tuning.space import Dimension, holding

FIRST = 1 / 3
"""Share of the candidates that are drawn evenly, before anything is known; two of each optimizer at least."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A space as it is searched: the ``fields`` of its optimizers, and the arguments of make_model that vary.

    ``fixed`` are arguments that have one value. ``count`` candidates are raced in all; the ``first`` of them are drawn.
    """

    fields: Mapping[str, Field]
    arguments: Mapping[str, Dimension]
    fixed: Mapping[str, Value]
    count: int
    first: int
    model: str
    batch_size: int
    seed: int
    where: Where | None
    shared: frozenset[str]

    @property
    def model_names(self) -> frozenset[str]:
        return frozenset((*self.arguments, *self.fixed))

    @property
    def varies_form(self) -> bool:
        """Whether candidates may need modules or batch sizes that those before did not have."""
        return bool(self.arguments) or any(
            own.name == "batch_size" and len(own.grid) > 1 for one in self.fields.values() for own in one.dimensions
        )

    def axes(self) -> dict[str, list[Axis]]:
        """What is searched, for each optimizer."""
        return {
            name: [
                Axis(name=self._name(name, one), choices=one.choices)
                for one in (*own.dimensions, *self.arguments.values())
                if len(one.choices) != 1
            ]
            for name, own in self.fields.items()
        }

    def _name(self, optimizer: str, one: Dimension) -> str:
        """The name of an axis: settings of the loop and of the model mean the same to every optimizer."""
        shared = one.name in self.shared or one.name in self.arguments
        return one.name if shared else f"{optimizer}.{one.name}"

    def told(self, one: Tried) -> Told:
        """A candidate as a point, with the rate that it ended with."""
        candidate = one.candidate
        own = self.fields[candidate.optimizer]
        settings: dict[str, Any] = {**own.base, **candidate.settings, "lr": steady_rate(candidate)}
        point: dict[str, Coordinate] = {}
        for dimension in (*own.dimensions, *self.arguments.values()):
            if len(dimension.choices) != 1 and dimension.holds(settings):
                value = settings[dimension.name]
                place = value if dimension.choices else dimension.place(value)
                point[self._name(candidate.optimizer, dimension)] = place
        return Told(branch=candidate.optimizer, point=point, loss=one.loss)

    def settings(self, optimizer: str, point: Point) -> dict[str, Value]:
        """The settings at a point, those of make_model included."""
        own = self.fields[optimizer]
        training = {one.name: self._value(optimizer, one, point) for one in own.dimensions}
        model = {name: self._value(optimizer, one, point) for name, one in self.arguments.items()}
        return {**own.stated(holding(training, own.dimensions, own.base)), **self.fixed, **model}

    def seen(self, optimizer: str, settings: Mapping[str, Value]) -> dict[str, Value]:
        """The settings as a constraint sees them, with those that nobody states."""
        return {**self.fields[optimizer].base, **settings}

    def candidate(self, place: int, optimizer: str, settings: Mapping[str, Value]) -> Candidate:
        """The candidate of that place with those settings."""
        training = {name: value for name, value in settings.items() if name not in self.model_names}
        own = candidate_from(place, training, self.model, self.batch_size)
        model = {name: value for name, value in settings.items() if name in self.model_names}
        return replace(own, settings={**own.settings, **model})

    def _value(self, optimizer: str, one: Dimension, point: Point) -> Value:
        if len(one.choices) == 1:
            return one.choices[0]
        coordinate = point[self._name(optimizer, one)]
        if one.choices:
            return coordinate
        return one.at(float(coordinate))


def first_count(count: int | None, optimizers: int) -> int:
    """How many of ``count`` candidates are drawn before anything is known; raises ``UsageError`` where that is all."""
    total = count or USUAL_COUNT
    first = max(2 * optimizers, round(FIRST * total))
    if first >= total:
        message = (
            f"a Bayesian search of {optimizers} optimizers begins with {first} candidates and learns from them; "
            f"candidates is {total}: give at least {first + 1}, better {2 * first}, or fewer optimizers"
        )
        raise UsageError(message)
    return first


def searched(
    space: Mapping[str, Any],
    count: int | None,
    *,
    arguments: Mapping[str, Dimension],
    fixed: Mapping[str, Value],
    model: str,
    batch_size: int,
    seed: int,
    where: Where | None,
) -> Searched:
    """A space to search, and how many candidates are to be drawn of it first.

    ``arguments`` are those of make_model that vary. Raises ``UsageError``: the space cannot be used; Optuna is not
    installed; too few candidates to learn from.
    """
    check_installed()
    fields = fields_of(space, count, batch_size=batch_size, grid=False)
    return Searched(
        fields={one.optimizer: one for one in fields},
        arguments=arguments,
        fixed=fixed,
        count=count or USUAL_COUNT,
        first=first_count(count, len(fields)),
        model=model,
        batch_size=batch_size,
        seed=seed,
        where=where,
        shared=frozenset(name for name in LOOP if not isinstance(space.get(name), dict)),
    )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Bayesian(Proposer):
    """Proposes candidates of a ``space`` in batches; ``grow`` makes teams that can form them of those that cannot."""

    space: Searched
    grow: Grow

    def propose(self, batch: int, tried: Sequence[Tried]) -> Sequence[Candidate]:
        if batch > BATCHES:
            return ()
        space, entered = self.space, sum(not one.candidate.events for one in tried)
        wanted = (space.count - entered) // (BATCHES + 1 - batch)
        known = {_key(one.candidate.optimizer, one.candidate.settings) for one in tried}

        def usable(optimizer: str, point: Point) -> bool:
            settings = space.settings(optimizer, point)
            key = _key(optimizer, space.candidate(0, optimizer, settings).settings)
            if key in known or not allows(space.where, space.seen(optimizer, settings)):
                return False
            known.add(key)
            return True

        seed = keyed_seed(space.seed, f"bayesian/{batch}") % 2**32
        points = propose(space.axes(), [space.told(one) for one in tried], wanted, seed=seed, usable=usable)
        return [
            space.candidate(entered + place, optimizer, space.settings(optimizer, point))
            for place, (optimizer, point) in enumerate(points)
        ]

    def former(self, former: Former, fresh: Sequence[Candidate]) -> Former:
        assert isinstance(former, ModuleTeams)
        return self.grow(former, fresh)


def _key(optimizer: str, settings: Mapping[str, Value]) -> tuple[Any, ...]:
    return optimizer, *sorted(settings.items())
