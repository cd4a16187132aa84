"""Ensembles of contenders, and whether one is worth its cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.errors import UsageError
from lanewise.metrics import Metric
from lanewise.selection.contender import Array, Contender, default_index, stacked_predictions
from lanewise.selection.rule import selection_rule
from lanewise.statistics import (
    Difference,
    Sample,
    SelectRule,
    affordable_draws,
    bootstrap_counts,
    keyed_generator,
    paired_errors,
    resampled_scores,
    sample_of,
)

MOST_ROWS = 20_000
"""The greedy search reads at most this many rows, drawn at random."""
MOST_MEMBERS = 50
"""Only so many of the best candidates may join."""


def greedy_ensemble(
    y: ArrayLike,
    predictions: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    rounds: int = 50,
    weight: ArrayLike | None = None,
    bags: int = 1,
    share: float = 0.5,
) -> Array:
    """Weights of an average of candidates, chosen greedily with replacement on out-of-fold predictions.

    Round t adds the candidate that makes ``(Σ chosen + p_m) / t`` score best; a candidate may be
    added again, and the best of all rounds is kept. With several ``bags``, each sees a random
    ``share`` of the candidates and the weights are averaged, which resists overfitting. At most
    20,000 random rows are read, and the 50 best candidates take part.

    Args:
        y: ``[N]``.
        predictions: ``[M, N]`` or ``[M, N, C]``; one that is not finite gets no weight.
        metric: scores the average.
        seed: key of the rows and bags.
        rounds: the most members, counted with repetition.
        weight: ``[N]`` or None.
        bags: 1 for the plain method.
        share: of the candidates in a bag.

    Returns:
        ``[M]``, not negative, with sum 1.

    Raises:
        UsageError: no candidate has a score, or ``rounds``, ``bags`` or ``share`` is out of range.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes (2004), Ensemble selection from libraries of models, ICML.

    >>> from lanewise.metrics import METRICS
    >>> greedy_ensemble([0.0, 0.0], [[1.0, 1.0], [-1.0, -1.0], [3.0, 3.0]], METRICS["rmse"], seed=0)
    array([0.5, 0.5, 0. ])
    """
    if rounds < 1 or bags < 1 or not 0 < share <= 1:
        message = f"rounds and bags must be at least 1 and share within (0, 1], got {rounds}, {bags} and {share}"
        raise UsageError(message)
    sample = _few_rows(sample_of(y, predictions, weight, None, seed=seed), seed)
    losses = metric.sign * _scores(metric, sample, sample.predictions)
    able = np.flatnonzero(np.isfinite(losses))
    if not len(able):
        message = "no candidate has a score on these rows; an ensemble needs at least one finite prediction"
        raise UsageError(message)
    pool = able[np.argsort(losses[able], kind="stable")][:MOST_MEMBERS]
    if bags == 1:
        return _greedy(metric, sample, pool, rounds)
    size = max(1, round(share * len(pool)))
    drawn = [np.sort(keyed_generator(seed, "bag", bag).permutation(len(pool))[:size]) for bag in range(bags)]
    return np.mean([_greedy(metric, sample, pool[members], rounds) for members in drawn], axis=0)


def combine(weights: Array, predictions: Array) -> Array:
    """The weighted average of predictions: ``[M], [M, N, ...] -> [N, ...]``; members of weight 0 are not read."""
    members = np.flatnonzero(weights)
    return np.tensordot(weights[members], predictions[members], axes=1)


def _few_rows(sample: Sample, seed: int) -> Sample:
    rows = len(sample.y)
    if rows <= MOST_ROWS:
        return sample
    return sample.take(np.sort(keyed_generator(seed, "ensemble rows").permutation(rows)[:MOST_ROWS]))


def _scores(metric: Metric, sample: Sample, predictions: Iterable[Array]) -> Array:
    weights = sample.weight[None]
    return np.array([metric.scores(sample.y, prediction, weights)[0] for prediction in predictions])


def _greedy(metric: Metric, sample: Sample, pool: NDArray, rounds: int) -> Array:
    total = np.zeros_like(sample.predictions[0])
    counts = np.zeros(len(sample.predictions))
    best_loss, best_counts = np.inf, counts
    for size in range(1, rounds + 1):
        averages = ((total + sample.predictions[m]) / size for m in pool)
        losses = np.nan_to_num(metric.sign * _scores(metric, sample, averages), nan=np.inf)
        place = int(losses.argmin())
        total = total + sample.predictions[pool[place]]
        counts[pool[place]] += 1
        if losses[place] < best_loss:
            best_loss, best_counts = losses[place], counts.copy()
    return best_counts / best_counts.sum()


@dataclass(frozen=True, kw_only=True)
class EnsembleComparison:
    """An ensemble against the single winner, both chosen on other rows than they are scored on.

    ``weights [M]`` come from all rows; ``ensemble`` and ``single`` are the scores in which each part
    of the rows is predicted by what the other parts chose. ``ahead`` is positive where the
    ensemble is better; ``worthwhile`` where by more than one paired standard error, and by as much than the default.
    ``over_default`` is its lead over the default on the same rows; None without a default. ``crossed``, ``[N]`` or
    ``[N, C]``, are the predictions of which ``ensemble`` is the score.
    """

    weights: Array
    ensemble: float
    single: float
    ahead: Difference
    worthwhile: bool
    reason: str
    crossed: Array
    over_default: Difference | None = None


def compare_ensemble(
    contenders: Sequence[Contender],
    *,
    y: ArrayLike,
    metric: Metric,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    rounds: int = 50,
    bags: int = 1,
    parts: int = 5,
    draws: int = 1000,
) -> EnsembleComparison:
    """Whether the greedy ensemble beats the winner of the race on rows that chose neither.

    The rows (or clusters) are split into ``parts`` at random. For each part the other rows choose
    the ensemble and, by the rule of the race, the single winner; both predict the part. The
    paired standard error is the bootstrap's over all rows.

    Arguments as in :func:`lanewise.selection.select` and :func:`greedy_ensemble`.

    Raises:
        UsageError: fewer units than ``parts``, fewer than two parts, or as in those functions.
    """
    stack = stacked_predictions(contenders)
    sample = sample_of(y, stack, weight, clusters, seed=seed)
    rule = selection_rule(contenders)
    part_of_row = _parts(sample, parts, seed)
    default = default_index(contenders)
    crossed = np.empty((2 if default is None else 3, *stack.shape[1:]))
    if default is not None:
        crossed[2] = stack[default]
    for part in range(parts):
        here = part_of_row == part
        others = sample.take(np.flatnonzero(~here))
        mixed = greedy_ensemble(
            others.y, others.predictions, metric, seed=seed, rounds=rounds, weight=others.weight, bags=bags
        )
        crossed[0][here] = combine(mixed, stack[:, here])
        crossed[1][here] = stack[_winner(metric, others, rule, draws, seed)][here]
    weights = greedy_ensemble(y, stack, metric, seed=seed, rounds=rounds, weight=weight, bags=bags)
    judged = replace(sample, predictions=crossed)
    return _judge(metric, judged, weights, draws, seed)


def _parts(sample: Sample, parts: int, seed: int) -> NDArray[np.intp]:
    count = sample.units.count
    if not 2 <= parts <= count:
        message = f"parts must lie between 2 and the number of rows or clusters ({count}), got {parts}"
        raise UsageError(message)
    return (keyed_generator(seed, "parts").permutation(count) % parts)[sample.units.of_row]


def _winner(metric: Metric, sample: Sample, rule: SelectRule, draws: int, seed: int) -> int:
    count = sample.units.count
    counts = bootstrap_counts(count, affordable_draws(metric, sample, draws), seed=seed)
    errors = paired_errors(resampled_scores(metric, sample, counts))
    return int(rule(metric.sign * resampled_scores(metric, sample, np.ones((1, count))), errors)[0])


def _judge(metric: Metric, sample: Sample, weights: Array, draws: int, seed: int) -> EnsembleComparison:
    scores = resampled_scores(metric, sample, np.ones((1, sample.units.count)))[0]
    counts = bootstrap_counts(sample.units.count, affordable_draws(metric, sample, draws), seed=seed)
    errors = paired_errors(resampled_scores(metric, sample, counts))
    leads = [_lead(float(metric.sign * (score - scores[0])), float(errors[0, m])) for m, score in enumerate(scores)]
    members = int(np.count_nonzero(weights))
    # What a part chose on the others may be worse than the default, which whoever wins must beat.
    worthwhile = members > 1 and all(lead.mean > lead.standard_error for lead in leads[1:])
    verdict = "worth its cost" if worthwhile else "not worth its cost"
    rivals = [
        f"{score:.6g} of {name} ({lead.mean:.4g} ahead, paired standard error {lead.standard_error:.4g})"
        for name, score, lead in zip(("the single winner", "the default"), scores[1:], leads[1:], strict=False)
    ]
    return EnsembleComparison(
        weights=weights,
        ensemble=float(scores[0]),
        single=float(scores[1]),
        ahead=leads[1],
        worthwhile=worthwhile,
        reason=f"An ensemble of {members} is {verdict}: {metric.name} {scores[0]:.6g} against "
        f"{' and '.join(rivals)} on rows that chose neither.",
        crossed=sample.predictions[0],
        over_default=leads[2] if len(leads) > 2 else None,
    )


def _lead(gain: float, error: float) -> Difference:
    half = NormalDist().inv_cdf(0.975) * error
    return Difference(mean=gain, standard_error=error, low=gain - half, high=gain + half)
