"""Intervals, paired errors and the bias correction, against plain loops and against known truth."""

import math
import tracemalloc
from functools import cache, partial

import numpy as np
import pytest
from scipy import stats

from lanewise.errors import DataError, UsageError
from lanewise.metrics import METRICS
from lanewise.selection import Contender, corrected_score, selection_rule
from lanewise.statistics import (
    affordable_draws,
    bias_corrected_interval,
    bootstrap_counts,
    bootstrap_difference,
    bootstrap_interval,
    fold_difference,
    keyed_generator,
    paired_difference,
    paired_errors,
    resampled_scores,
    sample_of,
    units_of,
)
from lanewise.statistics.studentized import studentized_bounds


def contenders_of(predictions):
    return [
        Contender(id=str(m), prediction=prediction, cost=1.0 + m % 3, is_default=m == 0)
        for m, prediction in enumerate(predictions)
    ]


def binary_case(rng, rows, candidates):
    y = rng.integers(0, 2, rows)
    p = 1 / (1 + np.exp(-(y - 0.5 + rng.normal(size=(candidates, rows)))))
    return y, np.stack([1 - p, p], axis=-1)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("name", ["log_loss", "accuracy", "f1", "ece", "roc_auc", "pr_auc"])
def test_resampled_scores_equal_scores_of_the_rows_drawn(name, clustered):
    rng = np.random.default_rng(1)
    y, predictions = binary_case(rng, 90, 3)
    weight = rng.uniform(0.5, 2.0, 90)
    clusters = rng.integers(0, 25, 90) if clustered else None
    sample = sample_of(y, predictions, weight, clusters, seed=0)
    counts = bootstrap_counts(sample.units.count, 6, seed=2)
    got = resampled_scores(METRICS[name], sample, counts)
    for r, row in enumerate(counts):
        drawn = np.repeat(np.arange(90), row[sample.units.of_row])
        expected = [METRICS[name].score(y[drawn], p[drawn], weight[drawn]) for p in predictions]
        np.testing.assert_allclose(got[r], expected, rtol=1e-11)


def test_blocks_of_draws_and_candidates_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    y, predictions = binary_case(rng, 70, 5)
    sample = sample_of(y, predictions, None, None, seed=0)
    counts = bootstrap_counts(70, 9, seed=3)
    names = ["brier", "f1_macro", "roc_auc"]
    whole = [resampled_scores(METRICS[name], sample, counts) for name in names]
    monkeypatch.setattr("lanewise.statistics.resampling.BLOCK_CELLS", 300)
    monkeypatch.setattr("lanewise.statistics.resampling.BLOCK_COLUMNS", 7)
    for name, expected in zip(names, whole, strict=True):
        np.testing.assert_allclose(resampled_scores(METRICS[name], sample, counts), expected, rtol=1e-13)


@pytest.mark.parametrize("resample", [resampled_scores, partial(studentized_bounds, level=0.9)])
def test_draws_of_many_groups_do_not_stand_as_long_numbers_at_once(resample):
    rng = np.random.default_rng(2)
    y, predictions = rng.normal(size=20_000), rng.normal(size=(1, 20_000))
    sample, counts = sample_of(y, predictions, None, None, seed=0), bootstrap_counts(20_000, 400, seed=3)
    tracemalloc.start()
    try:
        resample(METRICS["rmse"], sample, counts)
        assert tracemalloc.get_traced_memory()[1] < 8 * counts.size / 3
    finally:
        tracemalloc.stop()


def test_a_draw_takes_as_many_units_as_there_are_and_depends_on_its_seed_only():
    counts = bootstrap_counts(40, 300, seed=5)
    assert (counts.sum(axis=1) == 40).all()
    assert np.array_equal(counts[:10], bootstrap_counts(40, 10, seed=5))
    assert not np.array_equal(counts, bootstrap_counts(40, 300, seed=6))
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.01)
    assert keyed_generator(1, "a").random() != keyed_generator(1, "b").random()


@pytest.mark.parametrize("units", [1, 7, 40, 3001])
def test_draws_made_together_are_those_made_one_by_one(units):
    generator = keyed_generator(5, "bootstrap")
    expected = [np.bincount(generator.integers(0, units, units), minlength=units) for _ in range(210)]
    np.testing.assert_array_equal(bootstrap_counts(units, 210, seed=5), expected)  # of 3,001: in several blocks


def test_many_rows_are_drawn_in_equal_groups(monkeypatch):
    monkeypatch.setattr("lanewise.statistics.resampling.MOST_UNITS", 50)
    rng = np.random.default_rng(4)
    y = rng.normal(size=5000)
    units = units_of(5000, None, seed=1)
    assert units.count == 50
    assert set(np.bincount(units.of_row)) == {100}
    interval = bootstrap_interval(METRICS["rmse"], y, np.zeros(5000), seed=1)
    assert interval.draws == 1000
    assert interval.standard_error == pytest.approx(1 / math.sqrt(2 * 5000), rel=0.3)


def test_interval_of_auc_has_the_standard_error_of_delong():
    rng = np.random.default_rng(6)
    y, (prediction,) = binary_case(rng, 300, 1)
    p = prediction[:, 1]
    wins = (p[y == 1][:, None] > p[y == 0][None]).astype(float)
    delong = math.sqrt(wins.mean(1).var(ddof=1) / (y == 1).sum() + wins.mean(0).var(ddof=1) / (y == 0).sum())
    interval = bootstrap_interval(METRICS["roc_auc"], y, prediction, seed=1)
    assert interval.low < interval.value < interval.high
    assert interval.standard_error == pytest.approx(delong, rel=0.1)


def test_clusters_widen_the_interval_of_rows_that_repeat():
    rng = np.random.default_rng(7)
    y = np.repeat(rng.normal(size=40), 10)
    alone = bootstrap_interval(METRICS["mae"], y, np.zeros(400), seed=1)
    together = bootstrap_interval(METRICS["mae"], y, np.zeros(400), seed=1, groups=np.repeat(np.arange(40), 10))
    assert together.standard_error == pytest.approx(math.sqrt(10) * alone.standard_error, rel=0.15)


def test_coverage_of_the_interval_is_nominal():
    truth, covered = 0.5, 0
    rng = np.random.default_rng(8)
    for race in range(300):
        y = rng.exponential(size=60)
        interval = bootstrap_interval(METRICS["mae"], y, np.full(60, 0.0), seed=race, draws=400)
        covered += interval.low <= 2 * truth <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_edges_of_the_interval():
    one = bootstrap_interval(METRICS["mae"], [1.0], [0.0], seed=0)
    assert one.value == 1.0
    assert math.isnan(one.low)
    none = bootstrap_interval(METRICS["mae"], [], [], seed=0)
    assert math.isnan(none.value)
    sure = np.eye(2)[[0, 1] * 10]
    perfect = bootstrap_interval(METRICS["accuracy"], [0, 1] * 10, sure, seed=0)
    assert (perfect.low, perfect.high) == (pytest.approx(stats.beta.ppf(0.025, 20, 1)), 1.0)
    wrong = bootstrap_interval(METRICS["accuracy"], [1, 0] * 10, sure, seed=0)
    assert (wrong.low, wrong.high) == (0.0, pytest.approx(stats.beta.ppf(0.975, 1, 20)))
    rare = bootstrap_interval(METRICS["r2"], [0.0, 0.0, 0.0, 1.0], [0.1, 0.2, 0.3, 0.9], seed=0, draws=200)
    assert rare.undefined > 0
    assert rare.draws + rare.undefined == 200
    with pytest.raises(UsageError, match="draws must be at least 2"):
        bootstrap_interval(METRICS["mae"], [1.0], [0.0], seed=0, draws=1)
    with pytest.raises(UsageError, match="level must lie between 0 and 1"):
        bootstrap_interval(METRICS["mae"], [1.0], [0.0], seed=0, level=95)
    with pytest.raises(DataError, match="one label per row"):
        bootstrap_interval(METRICS["mae"], [1.0, 2.0], [0.0, 0.0], seed=0, groups=[1])


def test_fewer_draws_only_where_each_walks_all_rows():
    sample = sample_of(np.zeros(50_000, dtype=int), np.zeros((200, 50_000)), None, None, seed=0)
    assert affordable_draws(METRICS["log_loss"], sample, 1000) == 1000
    assert affordable_draws(METRICS["roc_auc"], sample, 1000) == 100
    assert affordable_draws(METRICS["roc_auc"], sample, 50) == 50


def test_paired_difference_is_the_paired_t_test():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 50))
    expected = stats.ttest_rel(a, b).confidence_interval()
    difference = paired_difference(a, b)
    assert difference.mean == pytest.approx((a - b).mean(), rel=1e-12)
    assert difference.standard_error == pytest.approx(stats.sem(a - b), rel=1e-12)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


def test_paired_difference_with_clusters_and_weights():
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(2, 30))
    repeated = paired_difference(np.repeat(a, 4), np.repeat(b, 4), clusters=np.repeat(np.arange(30), 4))
    alone = paired_difference(a, b)
    assert repeated.standard_error == pytest.approx(alone.standard_error, rel=1e-12)
    weight = np.r_[np.ones(20), np.zeros(10)]
    assert paired_difference(a, b, weight) == paired_difference(a[:20], b[:20])
    labels = np.repeat(np.arange(10), 3)
    folds = paired_difference(a, b, clusters=labels)
    means = (a - b).reshape(10, 3).mean(axis=1)
    assert folds.standard_error == pytest.approx(stats.sem(means), rel=1e-12)


def test_bootstrap_difference_is_that_of_paired_rows_where_the_score_is_a_mean():
    rng = np.random.default_rng(3)
    y, one, other = rng.normal(size=(3, 200))
    exact = paired_difference(np.abs(other - y), np.abs(one - y))
    drawn = bootstrap_difference(METRICS["mae"], y, one, other, seed=0)
    assert drawn.mean == pytest.approx(exact.mean, abs=1e-12)
    assert drawn.standard_error == pytest.approx(exact.standard_error, rel=0.1)
    assert drawn.low == pytest.approx(drawn.mean - stats.t.ppf(0.975, 199) * drawn.standard_error)
    better = bootstrap_difference(METRICS["r2"], y, y, other, seed=0)
    assert better.low > 0  # larger is better there, and so is who leads


def test_paired_difference_at_the_edges():
    assert math.isnan(paired_difference([1.0], [0.5]).standard_error)
    assert math.isnan(paired_difference([], []).mean)
    assert not paired_difference([1.0], [0.5]).beyond_one_error
    assert paired_difference([1.0, 1.1, 0.9], [0.0, 0.0, 0.0]).beyond_one_error
    with pytest.raises(DataError, match=r"shapes \(1,\) and \(2,\)"):
        paired_difference([1.0], [0.5, 0.4])


def test_fold_difference_is_the_corrected_resampled_t_test():
    values = np.array([0.1, 0.3, 0.2, 0.4, 0.25])
    difference = fold_difference(values, test_share=0.2)
    assert difference.standard_error == pytest.approx(math.sqrt((1 / 5 + 0.25) * values.var(ddof=1)), rel=1e-12)
    assert difference.high - difference.mean == pytest.approx(stats.t.ppf(0.975, 4) * difference.standard_error)
    assert math.isnan(fold_difference([0.1], test_share=0.2).standard_error)


def test_paired_errors_are_the_spread_of_each_difference():
    rng = np.random.default_rng(11)
    scores = rng.normal(size=(200, 4)) + 1e6
    scores[3] = np.nan
    kept = np.delete(scores, 3, axis=0)
    expected = [[(kept[:, i] - kept[:, j]).std(ddof=1) for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(paired_errors(scores), expected, rtol=1e-8, atol=1e-8)
    with_lost = np.column_stack([scores, np.full(200, np.nan)])
    assert (paired_errors(with_lost)[4] == 0).all()
    assert paired_errors(with_lost)[0, 1] == pytest.approx(expected[0][1])


def test_bootstrap_error_of_a_difference_agrees_with_the_analytic_one():
    rng = np.random.default_rng(12)
    y = rng.normal(size=400)
    predictions = y + rng.normal(size=400) * 0.7 + rng.normal(size=(2, 400)) * 0.4
    sample = sample_of(y, predictions, None, None, seed=0)
    drawn = resampled_scores(METRICS["mae"], sample, bootstrap_counts(400, 3000, seed=1))
    losses = np.abs(predictions - y)
    expected = paired_difference(losses[0], losses[1]).standard_error
    assert paired_errors(drawn)[0, 1] == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("name", ["rmse", "median_ae"])
def test_bias_correction_equals_a_loop_over_the_draws(name):
    rng = np.random.default_rng(13)
    y = rng.normal(size=60)
    predictions = y + rng.normal(size=(5, 60)) * rng.uniform(0.9, 1.1, (5, 1))
    metric, rule = METRICS[name], selection_rule(contenders_of(predictions))
    corrected = bias_corrected_interval(y, predictions, metric, rule, seed=3, draws=80)

    counts = bootstrap_counts(60, 80, seed=3)
    drawn = [np.repeat(np.arange(60), row) for row in counts]
    inside = np.array([[metric.score(y[rows], p[rows]) for p in predictions] for rows in drawn])
    errors = np.array([[(inside[:, i] - inside[:, j]).std(ddof=1) for j in range(5)] for i in range(5)])
    outside, picks = [], []
    for row, losses in zip(counts, inside, strict=True):
        best = int(losses.argmin())
        tied = [m for m in range(5) if losses[m] - losses[best] <= errors[best, m]]
        able = [m for m in tied if losses[0] - losses[m] > errors[0, m]]
        picks.append(0 if 0 in tied else min(able, key=lambda m: (1.0 + m % 3, losses[m])))
        rest = row == 0
        outside.append(metric.score(y[rest], predictions[picks[-1]][rest]))
    assert corrected.value == pytest.approx(np.mean(outside), rel=1e-12)
    assert corrected.shares.tolist() == [picks.count(m) / 80 for m in range(5)]
    assert corrected.naive == pytest.approx(metric.score(y, predictions[corrected.chosen]), rel=1e-12)
    assert corrected.low < corrected.value < corrected.high


def test_errors_held_over_the_draws_give_the_same_correction_as_errors_drawn_anew():
    rng = np.random.default_rng(14)
    y = rng.normal(size=80)
    predictions = y + 0.6 * rng.normal(size=80) + 0.6 * rng.normal(size=(8, 80))
    metric, rule = METRICS["mae"], selection_rule(contenders_of(predictions))
    held = bias_corrected_interval(y, predictions, metric, rule, seed=5, draws=400)
    losses = np.abs(predictions - y)
    scored = []
    for row in bootstrap_counts(80, 400, seed=5):
        drawn = losses[:, np.repeat(np.arange(80), row)]
        pairs = drawn[:, None] - drawn[None]
        anew = pairs.std(axis=2) / math.sqrt(80)
        scored.append(losses[rule(drawn.mean(axis=1)[None], anew)[0], row == 0].mean())
    # Both means come from the same draws, so only draws decided otherwise differ.
    assert held.value == pytest.approx(np.mean(scored), abs=float(np.std(scored) / 10))


def simulated_race(race, *, rows, quality):
    """Correlated classifiers of known accuracy: ``(truth of the chosen, corrected, naive interval)``."""
    rng = np.random.default_rng([race, 7])
    quality = quality(rng)
    count = len(quality)
    y = rng.integers(0, 2, rows)
    shared, own = rng.uniform(size=rows), rng.uniform(size=(count, rows))
    hit = np.where(rng.uniform(size=(count, rows)) < 0.5, shared, own) < quality[:, None]
    label = np.where(hit, y, 1 - y)
    predictions = np.stack([1.0 - label, label], axis=-1)
    metric = METRICS["accuracy"]
    corrected = corrected_score(contenders_of(predictions), y=y, metric=metric, seed=race, draws=400)
    naive = bootstrap_interval(metric, y, predictions[corrected.chosen], seed=race, draws=300)
    return quality[corrected.chosen], corrected, naive


RACES = 200
FIELDS = {
    "pure noise": (200, lambda rng: np.full(10, 0.5)),
    "close": (200, lambda rng: np.clip(0.7 + 0.03 * rng.normal(size=10), 0.5, 0.95)),
    "spread": (200, lambda rng: np.clip(0.7 + 0.1 * rng.normal(size=20), 0.5, 0.95)),
    "many on few rows": (60, lambda rng: np.full(40, 0.6)),
}


@cache
def simulated_races(field):
    rows, quality = FIELDS[field]
    return [simulated_race(race, rows=rows, quality=quality) for race in range(RACES)]


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_corrected_intervals_cover_the_truth_and_naive_scores_are_biased(field):
    races = simulated_races(field)
    truth = np.array([race[0] for race in races])
    corrected = np.array([race[1].value for race in races]) - truth
    naive = np.array([race[1].naive for race in races]) - truth
    covered = np.mean([c.low <= t <= c.high for t, c, _ in races])
    covered_naively = np.mean([n.low <= t <= n.high for t, _, n in races])
    assert 0.90 <= covered <= 0.99
    assert covered_naively < covered
    # The naive score promises too much; the corrected one is off by less than a third of that.
    assert naive.mean() > 3 * naive.std() / math.sqrt(RACES)
    assert abs(corrected.mean()) < naive.mean() / 3


@pytest.mark.slow
def test_the_corrected_score_of_pure_noise_is_chance():
    values = np.array([corrected.value for _, corrected, _ in simulated_races("pure noise")])
    naive = np.array([corrected.naive for _, corrected, _ in simulated_races("pure noise")])
    assert values.mean() == pytest.approx(0.5, abs=3 * values.std() / math.sqrt(RACES))
    assert naive.mean() > 0.5 + 10 * naive.std() / math.sqrt(RACES)


def test_bias_correction_at_the_edges():
    y = np.array([0, 1] * 10)
    perfect = np.eye(2)[y]
    alone = corrected_score(contenders_of([perfect]), y=y, metric=METRICS["accuracy"], seed=0, draws=50)
    assert alone.value == alone.naive == alone.high == 1.0
    assert alone.low == pytest.approx(0.025 ** (1 / 20))
    assert alone.optimism == 0
    tiny = corrected_score(contenders_of([perfect[:1]]), y=y[:1], metric=METRICS["accuracy"], seed=0)
    assert math.isnan(tiny.value)
    lost = corrected_score(
        contenders_of([np.full_like(perfect, np.nan), perfect]), y=y, metric=METRICS["log_loss"], seed=0, draws=50
    )
    assert lost.chosen == 1
    assert lost.shares.tolist() == [0.0, 1.0]
    with pytest.raises(UsageError, match="no candidate was given"):
        bias_corrected_interval(y, np.zeros((0, 20)), METRICS["mae"], selection_rule(contenders_of([y])), seed=0)
    with pytest.raises(DataError, match=r"give \[candidates, rows"):
        bias_corrected_interval(y, np.zeros((2, 3)), METRICS["mae"], selection_rule(contenders_of([y])), seed=0)
