"""The settings that varied among the candidates of a look, each with its values in groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.explain.aspects import setting_name, value_words
from lanewise.lanes.candidate import Candidate, Value
from lanewise.optim.registry import RULES

FEWEST = 8
"""Candidates below which nothing is said about a setting."""
PER_GROUP = 6
MOST_VALUES = 5
"""A number with more values than this is binned."""
IN_STEP = 0.95
"""Rank correlation from which two numbers cannot be told apart, such as a rate and the rounds that follow from it."""
OPTIMIZER = "optimizer"
STRUCTURE = "structure"
STRUCTURAL = ("width", "depth", "activation", "layer_norm")
"""A race tries few shapes of networks, so what they are made of is one choice."""

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """A setting, or several that always changed together.

    ``members [n]`` are the places of the candidates that have it, ``group [n]`` the group of each, ``labels``
    the groups in words, ``values [n]`` those of the first setting.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    members: Places
    group: Places
    values: tuple[Value, ...]

    def determines(self, other: "Factor") -> bool:
        """Whether its group settles that of the other for every candidate that has both."""
        _, mine, others = np.intersect1d(self.members, other.members, return_indices=True)
        pairs = set(zip(self.group[mine].tolist(), other.group[others].tolist(), strict=True))
        return len(pairs) == len({one for one, _ in pairs})


def factors_of(candidates: Sequence[Candidate], optimizer: str) -> list[Factor]:
    """The settings with at least two groups of at least two candidates, those that cannot be told apart merged.

    Settings that belong to an optimizer's own rule are those of ``optimizer`` only: elsewhere they mean
    something else.
    """
    owned = owned_by(optimizer)
    shaped = all("width" in one.settings and "depth" in one.settings for one in candidates)
    names = dict.fromkeys(name for one in candidates for name in one.settings if not shaped or name not in STRUCTURAL)
    found: list[Factor] = []
    for name in (OPTIMIZER, *([STRUCTURE] if shaped else []), *names):
        fits = [
            place
            for place, one in enumerate(candidates)
            if (name in (OPTIMIZER, STRUCTURE) or name in one.settings)
            and (name not in owned or one.optimizer == optimizer)
        ]
        factor = _grouped(name, [_value(candidates[place], name) for place in fits], np.array(fits, dtype=np.intp))
        if factor is not None:
            _add(found, factor)
    return found


def owned_by(optimizer: str) -> frozenset[str]:
    """The settings that mean something to this optimizer's own rule only.

    >>> sorted(owned_by("momentum")), sorted(owned_by("boosting"))
    (['lr', 'momentum'], [])
    """
    owned = frozenset(hyper.name for hyper in RULES[optimizer].hypers) if optimizer in RULES else frozenset[str]()
    return owned - {"weight_decay"}


def numbered(values: Sequence[Value]) -> Places:
    """The number of each value: in order where they have one, else as they first came.

    >>> numbered([0.5, 0.1, 0.5]), numbered(["b", "a", "b"])
    (array([1, 0, 1]), array([0, 1, 0]))
    """
    distinct = list(dict.fromkeys(values))
    if not any(isinstance(value, str) for value in distinct):
        distinct.sort()
    place = {value: number for number, value in enumerate(distinct)}
    return np.array([place[value] for value in values], dtype=np.intp)


def _value(candidate: Candidate, name: str) -> Value:
    if name == OPTIMIZER:
        return candidate.optimizer
    if name != STRUCTURE:
        return candidate.settings[name]
    shown = {part: candidate.settings[part] for part in STRUCTURAL if part in candidate.settings}
    words = f"{shown.pop('width')}x{shown.pop('depth')}"
    norm = shown.pop("layer_norm", False)
    return ", ".join([words, *map(str, shown.values()), *(["layer norm"] if norm else [])])


def _grouped(name: str, values: Sequence[Value], members: Places) -> Factor | None:
    """Groups of equal values, or of neighbouring ones where a number took many; a value met once is left out."""
    if len(set(values)) < 2:
        return None
    many = _are_numbers(values) and len(set(values)) > MOST_VALUES
    group = _binned(np.array(values, dtype=np.float64)) if many else numbered(values)
    kept = np.flatnonzero(np.bincount(group)[group] > 1)
    group = np.unique(group[kept], return_inverse=True)[1]
    if len(kept) < FEWEST or group.max() < 1:
        return None
    chosen = tuple(values[place] for place in kept.tolist())
    return Factor(names=(name,), labels=_labels(chosen, group), members=members[kept], group=group, values=chosen)


def _binned(values: Array) -> Places:
    """Three to five groups of about equal size, in order; equal values stay together."""
    groups = int(np.clip(len(values) // PER_GROUP, 3, 5))
    _, of_value, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.unique((middle / len(values) * groups).astype(np.intp)[of_value], return_inverse=True)[1]


def _are_numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _labels(values: Sequence[Value], group: Places) -> tuple[str, ...]:
    within: list[list[Value]] = [[] for _ in range(group.max() + 1)]
    for value, place in zip(values, group.tolist(), strict=True):
        within[place].append(value)
    return tuple(_label(inside) for inside in within)


def _label(values: Sequence[Value]) -> str:
    if not _are_numbers(values):
        return value_words(values[0])
    numbers = [value for value in values if not isinstance(value, str)]
    ends = value_words(min(numbers)), value_words(max(numbers))
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _add(found: list[Factor], factor: Factor) -> None:
    """Append the factor, or merge it with one that it cannot be told apart from."""
    for place, known in enumerate(found):
        if np.array_equal(known.members, factor.members) and _together(known, factor):
            labels = _labels(factor.values, known.group)
            both = tuple(f"{one}; {two}" for one, two in zip(known.labels, labels, strict=True))
            found[place] = Factor(
                names=(*known.names, *factor.names),
                labels=both,
                members=known.members,
                group=known.group,
                values=known.values,
            )
            return
    found.append(factor)


def _together(one: Factor, other: Factor) -> bool:
    if one.determines(other) and other.determines(one):
        return True
    if not (_are_numbers(one.values) and _are_numbers(other.values)):
        return False
    first, second = (_ranks(np.array(factor.values, dtype=np.float64)) for factor in (one, other))
    return abs(float(np.corrcoef(first, second)[0, 1])) >= IN_STEP


def _ranks(values: Array) -> Array:
    """Ranks with ties at their middle."""
    _, of_value, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[of_value]


def factor_name(factor: Factor) -> tuple[str, ...]:
    """The names of its settings in words."""
    return tuple(setting_name(name) for name in factor.names)
