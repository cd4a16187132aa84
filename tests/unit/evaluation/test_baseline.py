"""The constant answer that a model must beat."""

import numpy as np
import pytest
from scipy import stats

from lanewise.errors import DataError
from lanewise.evaluation import dummy_prediction, guess_thresholds, lead_over_guess
from lanewise.metrics import METRICS
from lanewise.task import Task


def task(kind, metric, classes=()):
    return Task(target="y", kind=kind, metric=metric, classes=classes)


def test_class_frequencies_follow_the_weights():
    found = dummy_prediction(task("multiclass", "log_loss", ("a", "b", "c")), [0, 1, 1], [1.0, 1.0, 2.0], 2)
    assert found.tolist() == [[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]


@pytest.mark.parametrize("metric", ["rmse", "mae", "median_ae", "mape"])
def test_no_other_constant_scores_better(metric):
    y = np.random.default_rng(1).lognormal(1.0, 1.0, 301)
    weight = np.random.default_rng(2).uniform(0.1, 2.0, 301)
    chosen = dummy_prediction(task("regression", metric), y, weight, 301)
    judged = METRICS["mae" if metric == "median_ae" else metric]
    best = judged.score(y, chosen, weight)
    for other in np.quantile(y, np.linspace(0, 1, 60)):
        assert best <= judged.score(y, np.full(301, other), weight) + 1e-12


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_no_other_answer_to_two_classes_scores_better(share):
    rng = np.random.default_rng(3)
    y, weight = (rng.random(300) < share).astype(int), rng.uniform(0.1, 2.0, 300)
    two = task("binary", "f1", ("no", "yes"))
    chosen, thresholds = dummy_prediction(two, y, weight, 300), guess_thresholds(two, y, weight)
    assert {"f1", "precision", "recall", "f1_macro", "accuracy", "balanced_accuracy"} <= set(thresholds)
    assert not {"log_loss", "roc_auc"} & set(thresholds)
    for name, threshold in thresholds.items():
        yes, no = (METRICS[name].score(y, np.eye(2)[[answer] * 300], weight) for answer in (1, 0))
        found = METRICS[name].score(y, chosen, weight, threshold=threshold)
        assert found == pytest.approx(max(yes, no), abs=1e-12)
    assert guess_thresholds(task("multiclass", "f1_macro", ("a", "b", "c")), [0, 1, 2], None) == {}


def test_an_answer_without_rows_of_a_class_is_the_other_one():
    assert guess_thresholds(task("binary", "f1", ("no", "yes")), [0, 0, 1], [1.0, 1.0, 0.0])["accuracy"] == 0.5


def test_rows_without_weight_are_an_error():
    with pytest.raises(DataError, match="no training row has a weight above 0"):
        dummy_prediction(task("regression", "rmse"), [1.0, 2.0], [0.0, 0.0], 2)


@pytest.mark.parametrize("groups", [3, 6])
def test_the_lead_over_a_guess_is_as_sure_as_its_few_groups_allow(groups):
    covered = []
    for race in range(200):
        rng = np.random.default_rng([race, groups])
        group = np.repeat(np.arange(groups), rng.integers(5, 20, groups))
        # What the model gains on a row is 0 in the mean, and as good as the same within a group.
        gain = rng.normal(size=groups)[group] + 0.1 * rng.normal(size=len(group))
        y, rows = np.zeros(len(group)), 5.0 * np.ones(len(group))
        lead = lead_over_guess(y, rows - gain, rows, METRICS["mae"], groups=group, seed=race)
        covered.append(lead.low <= 0 <= lead.high)
    # 1.96 standard errors of the draws cover 71% with 3 groups and 84% with 6.
    assert 0.91 <= np.mean(covered) <= 0.99


def test_the_lead_over_a_guess_on_rows_is_the_paired_t_test_nearly():
    rng = np.random.default_rng(0)
    y = np.zeros(300)
    one, other = 5 + rng.normal(size=300), 5.5 + rng.normal(size=300)
    lead = lead_over_guess(y, one, other, METRICS["mae"])
    expected = stats.ttest_rel(other, one).confidence_interval()
    assert lead.mean == pytest.approx((other - one).mean())
    assert (lead.low, lead.high) == pytest.approx((expected.low, expected.high), rel=0.1)
    wider = lead_over_guess(y, one, other, METRICS["mae"], level=0.99)
    assert (wider.high - wider.mean) / (lead.high - lead.mean) == pytest.approx(2.592 / 1.968, rel=1e-3)


def knows_nothing(rng, rows, share, size):
    """Rows in groups of ``size``, all of one class, and probabilities that groups share and classes do not."""
    y = np.repeat((rng.random(rows) < share).astype(int), size)
    z = rng.normal(size=rows).repeat(size) + (rng.normal(size=len(y)) if size > 1 else 0)
    p = 1 / (1 + np.exp(-z))
    return y, np.stack([1 - p, p], axis=1), np.arange(rows).repeat(size) if size > 1 else None


@pytest.mark.parametrize(("rows", "share", "size"), [(20, 0.1, 15), (12, 0.2, 15), (40, 0.05, 1)])
def test_no_lead_is_claimed_of_a_class_in_a_few_groups_or_rows_where_nothing_is_known(rows, share, size):
    claims = []
    for race in range(200):
        y, p, group = knows_nothing(np.random.default_rng([race, rows]), rows, share, size)
        if 0 < y.sum() < len(y):
            lead = lead_over_guess(y, p, np.full((len(y), 2), 0.5), METRICS["roc_auc"], groups=group, seed=race)
            claims.append(lead.low > 0)
    # 11 to 19% with the degrees of freedom of all groups or rows together.
    assert np.mean(claims) <= 0.04


@pytest.mark.parametrize(("rows", "size"), [(40, 1), (20, 15)])
def test_the_lead_of_a_good_model_is_shown(rows, size):
    shown = []
    for race in range(20):
        y, p, group = knows_nothing(np.random.default_rng([race, rows]), rows, 0.4, size)
        z = 3.0 * (2 * y - 1) + np.log(p[:, 1] / p[:, 0])
        good = 1 / (1 + np.exp(-z))
        both, guess = np.stack([1 - good, good], axis=1), np.full((len(y), 2), 0.5)
        for name in ("roc_auc", "balanced_accuracy", "log_loss"):
            shown.append(lead_over_guess(y, both, guess, METRICS[name], groups=group, seed=race).low > 0)
    assert np.mean(shown) >= 0.95


def test_of_a_class_that_no_row_has_no_lead_is_known():
    y, p = np.array([0] * 30 + [1]), np.tile([0.3, 0.7], (31, 1))
    weight = np.where(y == 1, 0.0, 1.0)
    for name in ("precision", "recall", "f1"):
        lead = lead_over_guess(y, p, np.full((31, 2), 0.5), METRICS[name], weight=weight)
        assert np.isnan([lead.mean, lead.standard_error, lead.low, lead.high]).all()
    assert lead_over_guess(y, p, np.full((31, 2), 0.5), METRICS["accuracy"], weight=weight).mean == 0


def test_of_a_class_in_one_group_or_row_no_lead_is_known():
    y = np.array([0] * 30 + [1])
    p = np.where(y == 1, 0.9, 0.1)
    lead = lead_over_guess(y, np.stack([1 - p, p], axis=1), np.full((31, 2), 0.5), METRICS["roc_auc"])
    assert lead.mean == 0.5
    assert np.isnan([lead.standard_error, lead.low, lead.high]).all()


@pytest.mark.parametrize("rare", [1, 2])
@pytest.mark.parametrize("name", ["roc_auc", "balanced_accuracy", "f1_macro"])
def test_of_many_classes_one_in_few_rows_takes_its_share_from_a_lead(name, rare):
    rng = np.random.default_rng(3)
    y = np.append(np.arange(100) % 4, np.full(rare, 4))
    z = rng.normal(size=(len(y), 5))
    z[np.arange(len(y)), y] += 2.0
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    guess = np.tile(np.bincount(y) / len(y), (len(y), 1))
    lead = lead_over_guess(y, p, guess, METRICS[name])
    # Student's with the 24 degrees of freedom of the others; of 25, a draw varies 24/25 as much.
    reach = stats.t.ppf(0.975, 24) * lead.standard_error + 1 / 5
    assert (lead.low, lead.high) == pytest.approx((lead.mean - reach, lead.mean + reach))
    assert lead.low > 0
