"""Which settings moved the score of a model family, and which moved it by chance only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.explain.aspects import listed, setting_name, value_words
from lanewise.explain.figures import gap, metric_label
from lanewise.explain.looks import Look, fair_look
from lanewise.lanes.candidate import Candidate, Value
from lanewise.metrics import Metric
from lanewise.optim.registry import RULES
from lanewise.statistics import keyed_generator
from lanewise.training.race import Trace

FEWEST = 8
"""Candidates below which nothing is said about a setting."""
PER_GROUP = 6
MOST_VALUES = 5
"""A number with more values than this is binned."""
PERMUTATIONS = 1999
SIGNIFICANT = 0.05
OPTIMIZER = "optimizer"

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EffectValue:
    """The mean score of the candidates with one value (or range of values), with its 95% interval."""

    value: str
    score: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How the score goes with a setting.

    ``gain`` is the lead of its best value over its worst, never negative, so chance alone makes it positive.
    ``p`` says how often chance makes the values differ as much, corrected for the number of settings looked
    at; ``evident`` below 0.05. Settings that always changed together are one effect.
    """

    hyperparameter: str
    values: tuple[EffectValue, ...]
    gain: float
    p: float
    evident: bool


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The effects in one model family, evident ones first, then by gain; where they were read, and the upshot."""

    model: str
    look: str
    effects: tuple[Effect, ...]
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Factor:
    """A setting with its groups: ``members [n]`` are candidates, ``group [n]`` the group of each."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    members: NDArray[np.intp]
    group: NDArray[np.intp]

    @property
    def key(self) -> tuple[object, ...]:
        """The partition, whatever its groups are called."""
        in_order = np.argsort(np.argsort(np.unique(self.group, return_index=True)[1]))
        return (*self.members.tolist(), -1, *in_order[self.group].tolist())


def effects(
    traces: Sequence[Trace], metric: Metric, *, model: str, optimizer: str, seed: int, guess: float | None = None
) -> Effects | None:
    """Marginal effect of each setting that varied, over all candidates of a family; None without candidates.

    All candidates are compared after the same share of their training, the latest that four fifths of
    them reached, so that those dropped early count too. The unit is the candidate, not its lanes. Numbers are
    binned into three to five groups of equal size. What the optimizers differ in on the whole is taken off
    first; settings of the optimizer itself (learning rate, momentum, ...) are read among the candidates
    of ``optimizer`` only, for a rate means something else to each. The interval of a mean is Student's with
    the pooled spread within groups; ``p`` comes from 1,999 permutations within the optimizers, Holm-corrected.
    A candidate that diverged, or that is worse than ``guess``, counts as good as ``guess``.

    Args:
        traces: of the race, of any family.
        metric: of their scores.
        model: the family.
        optimizer: whose own settings are looked at.
        seed: key of the permutations.
        guess: score of the best answer without a model; without it, losses are cut at their upper outer fence.

    Source: Anderson (2001), Permutation tests for univariate or multivariate analysis of variance, CJFAS 58;
    Holm (1979), Scandinavian Journal of Statistics 6.
    """
    look = fair_look([trace for trace in traces if trace.lane.candidate.model == model], metric)
    if look is None:
        return None
    losses = _cut(look.losses, None if guess is None else metric.sign * guess)
    factors = _merged(_factors(look, optimizer)) if np.isfinite(losses).all() else []
    blocks = _codes([candidate.optimizer for candidate in look.candidates])
    tests = [_Test.of(factor, losses, blocks, seed) for factor in factors]
    corrected = holm([test.p for test in tests])
    found = [_effect(test, p, metric) for test, p in zip(tests, corrected, strict=True)]
    found.sort(key=lambda one: (not one.evident, -one.gain))
    return Effects(model=model, look=look.words, effects=tuple(found), words=_words(model, look, found, metric))


def _cut(losses: Array, worst: float | None) -> Array:
    """Losses with none above the guess, or else above the outer fence, upper quartile + 3 interquartile ranges."""
    known = losses[np.isfinite(losses)]
    if worst is None or not np.isfinite(worst):
        low, high = np.quantile(known, [0.25, 0.75]) if len(known) else (np.nan, np.nan)
        worst = float(min(high + 3 * (high - low), known.max())) if len(known) else np.nan
    return np.minimum(np.nan_to_num(losses, nan=worst, posinf=worst), worst)


def _factors(look: Look, optimizer: str) -> list[_Factor]:
    candidates = look.candidates
    owned = {hyper.name for hyper in RULES[optimizer].hypers} if optimizer in RULES else set[str]()
    owned -= {"weight_decay"}
    found = []
    for name in (OPTIMIZER, *dict.fromkeys(name for one in candidates for name in one.settings)):
        fits = [
            place
            for place, one in enumerate(candidates)
            if (name == OPTIMIZER or name in one.settings) and (name not in owned or one.optimizer == optimizer)
        ]
        factor = _grouped(name, [_value(candidates[place], name) for place in fits], np.array(fits, dtype=np.intp))
        if factor is not None:
            found.append(factor)
    return found


def _value(candidate: Candidate, name: str) -> Value:
    return candidate.optimizer if name == OPTIMIZER else candidate.settings[name]


def _grouped(name: str, values: Sequence[Value], members: NDArray[np.intp]) -> _Factor | None:
    """Groups of equal values, or of neighbouring ones where a number took many; None without two groups of two."""
    if len(set(values)) < 2:
        return None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    many = numbers and len(set(values)) > MOST_VALUES
    group = _binned(np.array(values, dtype=np.float64)) if many else _codes(values)
    kept = np.flatnonzero(np.bincount(group)[group] > 1)
    group = np.unique(group[kept], return_inverse=True)[1]
    if len(kept) < FEWEST or group.max() < 1:
        return None
    within: list[list[Value]] = [[] for _ in range(group.max() + 1)]
    for place, one in zip(kept.tolist(), group.tolist(), strict=True):
        within[one].append(values[place])
    labels = tuple(_label(inside, name) for inside in within)
    return _Factor(names=(name,), labels=labels, members=members[kept], group=group)


def _binned(values: Array) -> NDArray[np.intp]:
    """Three to five groups of about equal size, in order; equal values stay together."""
    groups = int(np.clip(len(values) // PER_GROUP, 3, 5))
    _, of_value, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.unique((middle / len(values) * groups).astype(np.intp)[of_value], return_inverse=True)[1]


def _codes(values: Sequence[Value]) -> NDArray[np.intp]:
    """The number of each value: in order where they have one, else as they first came."""
    distinct = list(dict.fromkeys(values))
    if not any(isinstance(value, str) for value in distinct):
        distinct.sort()
    place = {value: number for number, value in enumerate(distinct)}
    return np.array([place[value] for value in values], dtype=np.intp)


def _label(values: Sequence[Value], name: str) -> str:
    if name == OPTIMIZER or any(isinstance(value, str | bool) for value in values):
        return value_words(values[0])
    ends = [value_words(end(value for value in values if not isinstance(value, str))) for end in (min, max)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _merged(factors: Sequence[_Factor]) -> list[_Factor]:
    """Settings that split the same candidates into the same groups cannot be told apart: one factor."""
    found: dict[tuple[object, ...], _Factor] = {}
    for factor in factors:
        known = found.get(factor.key)
        if known is None:
            found[factor.key] = factor
            continue
        other = [factor.labels[int(factor.group[known.group == g][0])] for g in range(len(known.labels))]
        labels = tuple(f"{one}; {two}" for one, two in zip(known.labels, other, strict=True))
        found[factor.key] = replace(known, names=(*known.names, *factor.names), labels=labels)
    return list(found.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Test:
    """A factor with the losses of its members, what their optimizers differ in taken off, and an uncorrected p."""

    factor: _Factor
    losses: Array
    freedom: int
    p: float

    @classmethod
    def of(cls, factor: _Factor, losses: Array, blocks: NDArray[np.intp], seed: int) -> "_Test":
        own = losses[factor.members]
        block = blocks[factor.members] if OPTIMIZER not in factor.names else np.zeros(len(own), dtype=np.intp)
        block = np.unique(block, return_inverse=True)[1]
        counts = np.bincount(block)
        centred = own - (np.bincount(block, weights=own) / counts)[block]
        freedom = len(own) - len(factor.labels) - (len(counts) - 1)
        return cls(
            factor=factor,
            losses=centred + own.mean(),
            freedom=max(freedom, 1),
            p=_permutation_p(centred, factor, block, seed),
        )


def _permutation_p(centred: Array, factor: _Factor, block: NDArray[np.intp], seed: int) -> float:
    """How often a shuffle within the blocks spreads the means of the groups as far as they are."""
    generator = keyed_generator(seed, "effects", *factor.names)
    # Sorting by block first and by a random number second shuffles within blocks; the places are then put back.
    draws = generator.random((PERMUTATIONS, len(block))) + block
    home = np.argsort(block, kind="stable")
    shuffled = np.empty_like(draws)
    shuffled[:, home] = centred[np.argsort(draws, axis=1)]
    inside = (factor.group[:, None] == np.arange(len(factor.labels))).astype(np.float64)
    sizes = inside.sum(axis=0)
    spread = ((np.vstack([centred, shuffled]) @ inside) ** 2 / sizes).sum(axis=1)
    return float(np.count_nonzero(spread >= spread[0] * (1 - 1e-9)) / len(spread))


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number: ``max over smaller ones of (m - rank) p``, at most 1.

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda place: p[place])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected


def _effect(test: _Test, p: float, metric: Metric) -> Effect:
    from scipy.special import stdtrit

    factor = test.factor
    counts = np.bincount(factor.group)
    means = np.bincount(factor.group, weights=test.losses) / counts
    pooled = float(((test.losses - means[factor.group]) ** 2).sum()) / test.freedom
    halves = stdtrit(test.freedom, 0.975) * np.sqrt(pooled / counts)
    values = []
    for label, mean, half in zip(factor.labels, means.tolist(), halves.tolist(), strict=True):
        low, high = sorted((metric.sign * (mean - half), metric.sign * (mean + half)))
        values.append(EffectValue(value=label, score=metric.sign * mean, low=low, high=high))
    return Effect(
        hyperparameter=listed([setting_name(name) for name in factor.names]),
        values=tuple(values),
        gain=float(means.max() - means.min()),
        p=p,
        evident=p < SIGNIFICANT,
    )


def _words(model: str, look: Look, found: Sequence[Effect], metric: Metric) -> str:
    among = f"over {len(look.candidates)} candidates of {model}, {look.words}"
    if not found:
        return f"Too few candidates of {model} to tell which setting matters."
    evident = [effect for effect in found if effect.evident]
    if not evident:
        return f"No setting made a difference worth having {among}."
    first, pick = evident[0], min if metric.direction == "min" else max
    best = pick(first.values, key=lambda value: value.score)
    rest = f" {listed([one.hyperparameter for one in evident[1:]]).capitalize()} mattered too." if evident[1:] else ""
    return (
        f"The {first.hyperparameter} moved {metric_label(metric.name)} most {among}: best at {best.value}, "
        f"{gap(metric.name, first.gain)} better than the worst.{rest}"
    )
