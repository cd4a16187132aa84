"""The threshold is moved where that pays, and only there."""

import numpy as np
import pytest

from lanewise.evaluation import threshold_of
from lanewise.metrics import METRICS

F1 = METRICS["f1"]


def rare(rows=4000, seed=1):
    """Calibrated probabilities of a rare class: 0.5 finds almost nothing."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 5.0, rows)
    return (rng.uniform(size=rows) < p).astype(int), p


def test_a_rare_class_gets_a_lower_threshold():
    y, p = rare()
    found = threshold_of(y, p, F1, seed=0)
    at = lambda cut: F1.score(y, np.column_stack([1 - p, p]), threshold=cut)  # noqa: E731 - a name for one formula
    assert found.value < 0.4
    assert at(found.value) > at(0.5) + 0.02
    assert f"against {at(0.5):.3g} at 0.5" in found.words


def test_the_class_that_a_threshold_is_of_is_named():
    y, p = rare()
    words = threshold_of(y, p, F1, seed=0, positive="bad").words
    assert words.startswith(f"A threshold of {threshold_of(y, p, F1, seed=0).value:.3g} for 'bad' gives F1 ")
    kept = threshold_of([0, 0, 1, 1] * 10, [0.1, 0.2, 0.8, 0.9] * 10, F1, seed=0, positive="bad")
    assert "no other gives a better F1 of 'bad' on rows" in kept.words


def test_the_stated_gain_is_that_of_new_rows():
    """The score in the words has no optimism: over many tables it is on average what the threshold gives elsewhere."""
    y_new, p_new = rare(200_000, seed=99)
    both = np.column_stack([1 - p_new, p_new])
    gaps = []
    for seed in range(30):
        y, p = rare(300, seed=seed)
        found = threshold_of(y, p, F1, seed=seed)
        if found.value != 0.5:
            stated = float(found.words.split("F1 ")[1].split(" ")[0])
            gaps.append(stated - F1.score(y_new, both, threshold=found.value))
    assert len(gaps) > 15
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(len(gaps))


def test_every_point_of_the_curve_is_the_score_at_that_threshold():
    y, p = rare(500)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, 500)
    found = threshold_of(y, np.column_stack([1 - p, p]), METRICS["balanced_accuracy"], seed=0, weight=weight)
    assert 50 < len(found.curve) <= 101
    cuts = [point.threshold for point in found.curve]
    assert cuts == sorted(set(cuts))
    both = np.column_stack([1 - p, p])
    for point in found.curve:
        expected = METRICS["balanced_accuracy"].score(y, both, weight, threshold=point.threshold)
        assert point.value == pytest.approx(expected, abs=1e-12)
    assert max(point.value for point in found.curve) == pytest.approx(
        max(METRICS["balanced_accuracy"].score(y, both, weight, threshold=cut) for cut in np.unique(p)), abs=1e-12
    )


def test_where_one_half_is_right_it_is_mostly_kept():
    moved = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.uniform(size=300)
        y = (rng.uniform(size=300) < p).astype(int)
        moved += threshold_of(y, p, METRICS["accuracy"], seed=0).value != 0.5
    assert moved <= 8  # a true tie is passed by one standard error at most about one time in six


def test_a_perfect_half_needs_no_other():
    found = threshold_of([0, 0, 1, 1] * 10, [0.1, 0.2, 0.8, 0.9] * 10, METRICS["accuracy"], seed=0)
    assert found.value == 0.5
    assert "no other gives a better accuracy" in found.words


@pytest.mark.parametrize(
    ("y", "metric", "words"),
    [([0, 1] * 5, "log_loss", "judges the probabilities"), ([0] * 10, "f1", "do not hold both classes")],
)
def test_without_anything_to_choose_by(y, metric, words):
    found = threshold_of(y, np.linspace(0.1, 0.9, 10), METRICS[metric], seed=0)
    assert (found.value, found.curve) == (0.5, ())
    assert words in found.words


def test_rows_that_no_fold_held_out_do_not_matter():
    y, p = rare(1000)
    longer = np.concatenate([p, np.full(300, np.nan)])
    target = np.concatenate([y, np.ones(300, dtype=int)])
    assert threshold_of(target, longer, F1, seed=0) == threshold_of(y, p, F1, seed=0)


def test_only_a_threshold_that_moved_is_told_among_the_first_words():
    half = threshold_of([0, 0, 1, 1] * 10, [0.1, 0.2, 0.8, 0.9] * 10, METRICS["accuracy"], seed=0)
    low = threshold_of([0, 0, 1, 1] * 50, [0.1, 0.15, 0.3, 0.35] * 50, METRICS["accuracy"], seed=0)
    assert (half.value, half.headline) == (0.5, "")
    assert low.value != 0.5
    assert low.headline == low.words
