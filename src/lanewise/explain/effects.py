"""Which settings moved the score of a model family, and which moved it by chance only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.explain.aspects import listed
from lanewise.explain.factor_tests import SIGNIFICANT, Tested, holm, tested
from lanewise.explain.factors import factor_name, factors_of, numbered
from lanewise.explain.looks import Look, fair_look
from lanewise.formatting.figures import four_digits, gap
from lanewise.formatting.metric_labels import metric_label
from lanewise.formatting.text_table import text_table
from lanewise.metrics import Metric
from lanewise.statistics import student_quantile
from lanewise.training.watching.trace import Trace

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
    ``p`` says how often chance, or another setting that went along, makes the values differ as much, corrected
    for the number of settings looked at; ``evident`` below 0.05. Settings that always changed together are one effect,
    ``settings`` by their names in a candidate.
    """

    hyperparameter: str
    values: tuple[EffectValue, ...]
    gain: float
    p: float
    evident: bool
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class Effects:
    """The effects in one model family, evident ones first, then by gain; where they were read, and the upshot."""

    model: str
    look: str
    effects: tuple[Effect, ...]
    words: str

    def __repr__(self) -> str:
        head = ["setting", "value", "mean score", "95% interval", "best to worst", "corrected p"]
        rows = [row for effect in self.effects for row in _rows(effect)]
        said = self.words or f"No setting of {self.model} varied: it is a single candidate."
        return f"{said}\n{text_table(head, rows)}" if rows else said


def _rows(effect: Effect) -> list[list[str]]:
    """A row for each value, of which the first has what is said of the setting."""
    values = [
        [own.value, four_digits(own.score), f"{four_digits(own.low)} to {four_digits(own.high)}"]
        for own in effect.values
    ]
    first = [effect.hyperparameter, *values[0], four_digits(effect.gain), f"{effect.p:.2g}"]
    return [first, *(["", *own, "", ""] for own in values[1:])]


def effects(
    traces: Sequence[Trace], metric: Metric, *, model: str, optimizer: str, seed: int, guess: float | None = None
) -> Effects | None:
    """Marginal effect of each setting that varied, over all candidates of a family; None without candidates.

    All candidates are compared after the same share of their training, the latest that four fifths of
    them reached, so that those dropped early count too. The unit is the candidate, not its lanes. Numbers are
    binned into three to five groups of equal size. What the optimizers differ in on the whole is taken off
    first; settings of the optimizer itself (learning rate, momentum, ...) are read among the candidates
    of ``optimizer`` only, for a rate means something else to each. The interval of a mean is Student's with
    the pooled spread within groups. ``p`` allows for any two other settings that went along, and is corrected
    for the number of settings (see :mod:`lanewise.explain.factor_tests`).
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
    factors = factors_of(look.candidates, optimizer) if np.isfinite(losses).all() else []
    optimizers = numbered([candidate.optimizer for candidate in look.candidates])
    tests = tested(factors, losses, optimizers, seed=seed)
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


def _effect(test: Tested, p: float, metric: Metric) -> Effect:
    factor = test.factor
    counts = np.bincount(factor.group)
    means = np.bincount(factor.group, weights=test.losses) / counts
    pooled = float(((test.losses - means[factor.group]) ** 2).sum()) / test.freedom
    halves = student_quantile(test.freedom, 0.975) * np.sqrt(pooled / counts)
    values = []
    for label, mean, half in zip(factor.labels, means.tolist(), halves.tolist(), strict=True):
        low, high = sorted((metric.sign * (mean - half), metric.sign * (mean + half)))
        values.append(EffectValue(value=label, score=metric.sign * mean, low=low, high=high))
    return Effect(
        hyperparameter=listed(factor_name(factor)),
        values=tuple(values),
        gain=float(means.max() - means.min()),
        p=p,
        evident=p < SIGNIFICANT,
        settings=factor.names,
    )


def _words(model: str, look: Look, found: Sequence[Effect], metric: Metric) -> str:
    many = f"{len(look.candidates)} candidates"
    if not found and len(look.candidates) < 2:
        return ""  # of one candidate nobody expects it
    if not found:
        return f"Too few candidates of {model} to tell what any one setting does by itself."
    evident = [effect for effect in found if effect.evident]
    if not evident:
        # A choice between two whole candidates may be sure all the same: this is about their averages.
        none = "no single setting made a difference that the evidence can tell from chance"
        return f"On average over {many} of {model}, {none} ({look.words})."
    first, pick = evident[0], min if metric.direction == "min" else max
    best = pick(first.values, key=lambda value: value.score)
    rest = f" {listed([one.hyperparameter for one in evident[1:]]).capitalize()} mattered too." if evident[1:] else ""
    return (
        f"Of the settings of {model}, the {first.hyperparameter} made the largest difference to the "
        f"{metric_label(metric.name)}: best at {best.value}, {gap(metric.name, first.gain)} better than at the worst "
        f"({many}, {look.words}).{rest}"
    )
