"""What must hold for any rows: metrics, resampling and the rule of the race."""

from dataclasses import astuple

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanewise.metrics import METRICS, best_threshold, pr_curve, roc_curve
from lanewise.selection import greedy_ensemble, pick
from lanewise.statistics import (
    bootstrap_counts,
    bootstrap_interval,
    paired_difference,
    paired_errors,
    resampled_scores,
    sample_of,
)

CLASS_METRICS = [m for m in METRICS.values() if "binary" in m.kinds]
NUMBER_METRICS = [m for m in METRICS.values() if "count" in m.kinds]
sizes = st.integers(1, 40)
unit = st.floats(0, 1, width=32)
number = st.floats(-100, 100, width=32)
seeds = st.integers(0, 2**31)


@st.composite
def classified(draw):
    rows = draw(sizes)
    y = draw(arrays(np.int64, rows, elements=st.integers(0, 1)))
    p = draw(arrays(np.float64, rows, elements=unit))
    w = draw(arrays(np.float64, rows, elements=st.floats(0.0, 4.0, width=32)))
    return y, np.column_stack([1 - p, p]), w


@st.composite
def numbers(draw):
    rows = draw(sizes)
    column = arrays(np.float64, rows, elements=number)
    return np.abs(draw(column)), draw(column), draw(arrays(np.float64, rows, elements=st.floats(0.25, 4, width=32)))


@settings(deadline=None, max_examples=60)
@given(classified(), seeds, st.sampled_from(CLASS_METRICS))
def test_class_scores_do_not_depend_on_the_order_of_rows_nor_the_unit_of_weights(case, seed, metric):
    y, p, w = case
    order = np.random.default_rng(seed).permutation(len(y))
    score = metric.score(y, p, w)
    np.testing.assert_allclose(metric.score(y[order], p[order], w[order]), score, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(metric.score(y, p, 8 * w), score, rtol=1e-9, atol=1e-9)
    if np.isfinite(score):
        assert score >= 0
        assert score <= 1 + 1e-12 or metric.name == "log_loss"


@settings(deadline=None, max_examples=60)
@given(numbers(), seeds, st.sampled_from(NUMBER_METRICS))
def test_number_scores_do_not_depend_on_the_order_of_rows(case, seed, metric):
    y, p, w = case
    order = np.random.default_rng(seed).permutation(len(y))
    expected = metric.score(y, p, w)
    np.testing.assert_allclose(metric.score(y[order], p[order], w[order]), expected, rtol=1e-6, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(classified())
def test_a_row_of_weight_two_counts_as_two_rows(case):
    y, p, _ = case
    weight = 1.0 + np.arange(len(y)) % 3
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    for metric in CLASS_METRICS:
        expected = metric.score(y[twice], p[twice])
        np.testing.assert_allclose(metric.score(y, p, weight), expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(classified())
def test_auc_of_the_opposite_ranking_is_the_complement(case):
    y, p, w = case
    metric = METRICS["roc_auc"]
    # Exactly reversed ranks: 1 - p could merge probabilities that differ by less than rounding.
    reverse = np.column_stack([p[:, 1], -p[:, 1]])
    np.testing.assert_allclose(metric.score(y, reverse, w), 1 - metric.score(y, p, w), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(classified())
@example((np.array([0, 1, 0]), np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([1.0, 1.0, 1.2e-38])))
def test_curves_rise_from_corner_to_corner(case):
    y, p, w = case
    roc = roc_curve(y, p[:, 1], w)
    if len(roc.x):
        assert (np.diff(roc.x) >= 0).all()
        assert (np.diff(roc.y) >= 0).all()
        np.testing.assert_allclose([roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]], [0, 0, 1, 1])
        area = np.trapezoid(roc.y, roc.x)
        np.testing.assert_allclose(area, METRICS["roc_auc"].score(y, p, w), rtol=1e-9, atol=1e-9)
    pr = pr_curve(y, p[:, 1], w)
    assert ((pr.y >= 0) & (pr.y <= 1 + 1e-12)).all()


@settings(deadline=None, max_examples=60)
@given(classified(), st.sampled_from([m for m in CLASS_METRICS if m.uses_threshold]))
def test_no_threshold_scores_better_than_the_best(case, metric):
    y, p, w = case
    threshold, value = best_threshold(y, p, metric, w)
    np.testing.assert_allclose(metric.score(y, p, w, threshold=threshold), value, rtol=1e-9, atol=1e-9)
    for other in [0.5, *p[:, 1]]:
        assert not metric.score(y, p, w, threshold=other) > value + 1e-9


@settings(deadline=None, max_examples=40)
@given(numbers(), seeds)
def test_an_interval_holds_its_order_and_repeats(case, seed):
    y, p, w = case
    first = bootstrap_interval(METRICS["mae"], y, p, seed=seed, weight=w, draws=50)
    again = bootstrap_interval(METRICS["mae"], y, p, seed=seed, weight=w, draws=50)
    np.testing.assert_equal(astuple(first), astuple(again))  # nan equals nan there
    if len(y) > 1:
        assert first.low <= first.high
        assert first.standard_error >= 0


@settings(deadline=None, max_examples=60)
@given(numbers())
def test_a_paired_difference_is_antisymmetric_and_ignores_what_both_share(case):
    a, b, w = case
    there, back = paired_difference(a, b, w), paired_difference(b, a, w)
    np.testing.assert_allclose([there.mean, there.low], [-back.mean, -back.high], rtol=1e-9, atol=1e-9)
    shifted = paired_difference(a + 64, b + 64, w)
    np.testing.assert_allclose(
        [shifted.mean, shifted.standard_error], [there.mean, there.standard_error], rtol=1e-6, atol=1e-9
    )


@settings(deadline=None, max_examples=60)
@given(arrays(np.float64, (12, 4), elements=number))
def test_paired_errors_are_a_distance(scores):
    errors = paired_errors(scores)
    assert (errors >= 0).all()
    assert (np.diag(errors) == 0).all()
    np.testing.assert_allclose(errors, errors.T)
    through = errors[:, :, None] + errors[None]
    assert (errors[:, None] <= through + 1e-5).all()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, (6, 5), elements=st.one_of(number, st.just(float("nan")), st.just(float("inf")))),
    arrays(np.float64, 5, elements=st.floats(0, 10, width=32)),
    arrays(np.float64, (5, 5), elements=st.floats(0, 50, width=32)),
    st.one_of(st.none(), st.integers(0, 4)),
)
def test_the_winner_is_finite_tied_and_beats_the_default(losses, costs, half, default):
    errors = (half + half.T) * (1 - np.eye(5))
    for row, winner in zip(losses, pick(losses, errors, costs, default), strict=True):
        finite = np.isfinite(row)
        if not finite.any():
            continue
        best = int(np.where(finite, row, np.inf).argmin())
        assert finite[winner]
        assert row[winner] - row[best] <= errors[best, winner] + 1e-9
        if default is not None and winner != default and finite[default]:
            assert row[default] - row[winner] > errors[default, winner]


@settings(deadline=None, max_examples=30)
@given(numbers(), seeds)
def test_scores_of_a_draw_lie_between_the_best_and_the_worst_row(case, seed):
    y, p, w = case
    sample = sample_of(y, p[None], w, None, seed=seed)
    scores = resampled_scores(METRICS["mae"], sample, bootstrap_counts(len(y), 20, seed=seed))
    errors = np.abs(y - p)
    assert (scores >= errors.min() - 1e-9).all()
    assert (scores <= errors.max() + 1e-9).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 5), st.integers(2, 30), seeds)
def test_a_greedy_ensemble_is_never_worse_than_its_best_member_on_its_rows(count, rows, seed):
    rng = np.random.default_rng(seed)
    y, predictions = rng.normal(size=rows), rng.normal(size=(count, rows))
    weights = greedy_ensemble(y, predictions, METRICS["rmse"], seed=seed, rounds=8)
    alone = min(METRICS["rmse"].score(y, p) for p in predictions)
    assert METRICS["rmse"].score(y, weights @ predictions) <= alone + 1e-12
    np.testing.assert_allclose(weights.sum(), 1.0)
