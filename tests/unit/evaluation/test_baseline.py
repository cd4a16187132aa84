"""The constant answer that a model must beat."""

import numpy as np
import pytest

from lanewise.errors import DataError
from lanewise.evaluation import dummy_prediction
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
