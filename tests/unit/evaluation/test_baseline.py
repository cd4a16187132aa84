"""The constant answer that a model must beat."""

import numpy as np
import pytest
from scipy import stats

from lanewise.errors import DataError
from lanewise.evaluation import dummy_prediction, lead_over_guess
from lanewise.metrics import METRICS
from lanewise.task import Task


def task(kind, metric, classes=()):
    return Task(target="y", kind=kind, metric=metric, classes=classes)


def test_class_frequencies_follow_the_weights():
    found = dummy_prediction(task("multiclass", "log_loss", ("a", "b", "c")), [0, 1, 1], [1.0, 1.0, 2.0], 2)
    assert found.tolist() == [[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]


@pytest.mark.parametrize("metric", ["rmse", "mae", "median_ae"])
def test_no_other_constant_scores_better(metric):
    y = np.random.default_rng(1).lognormal(1.0, 1.0, 301)
    weight = np.random.default_rng(2).uniform(0.1, 2.0, 301)
    chosen = dummy_prediction(task("regression", metric), y, weight, 301)
    judged = METRICS["mae" if metric == "median_ae" else metric]
    best = judged.score(y, chosen, weight)
    for other in np.quantile(y, np.linspace(0, 1, 60)):
        assert best <= judged.score(y, np.full(301, other), weight) + 1e-12


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
