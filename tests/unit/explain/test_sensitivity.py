"""Score against learning rate."""

from dataclasses import replace

import numpy as np
import pytest

from lanewise.explain import sensitivity
from lanewise.lanes.candidate import Event
from lanewise.metrics import METRICS

RMSE, R2 = METRICS["rmse"], METRICS["r2"]


def test_points_rise_by_rate_and_the_lost_have_no_score(make):
    traces = [
        make.trace(make.candidate("a", lr=0.1), [3.0]),
        make.trace(make.candidate("b", lr=0.001), [2.0]),
        make.trace(make.candidate("c", lr=10.0), [], fate="diverged"),
        make.trace(make.candidate("d", lr=0.01), [1.0]),
    ]
    (found,) = sensitivity(traces, RMSE)
    assert [(point.lr, point.score) for point in found.points] == [(0.001, 2.0), (0.01, 1.0), (0.1, 3.0), (10.0, None)]
    assert found.points[0].low is None
    assert (found.model, found.optimizer) == ("mlp", "adamw")


def test_everybody_is_read_at_the_same_look(make):
    traces = [make.trace(make.candidate(f"c{n}", lr=10.0**-n), [5.0 - n, 1.0][: 1 + (n == 0)]) for n in range(5)]
    (found,) = sensitivity(traces, RMSE)
    assert [point.score for point in found.points] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_of_one_rate_the_best_candidate_speaks(make):
    traces = [make.trace(make.candidate(f"{lr}{n}", lr=lr), [0.5 + 0.1 * n]) for lr in (0.1, 0.2) for n in range(3)]
    (found,) = sensitivity(traces, R2)
    assert [point.score for point in found.points] == [0.7, 0.7]


def test_intervals_span_the_folds(make):
    traces = [
        make.trace(make.candidate(id, lr=lr), [score + 0.1 * fold], phase="confirm", fold=fold, fractions=[1.0])
        for id, lr, score in (("a", 0.1, 1.0), ("b", 0.01, 2.0))
        for fold in range(3)
    ]
    (found,) = sensitivity(traces, RMSE)
    point = found.points[1]
    assert point.score == pytest.approx(1.1)
    # Student's 97.5% quantile with two degrees of freedom is 4.3027; the standard error is 0.1 / sqrt(3).
    assert point.high == pytest.approx(1.1 + 4.30265 * 0.1 / 3**0.5, abs=1e-4)
    assert point.low == pytest.approx(1.1 - 4.30265 * 0.1 / 3**0.5, abs=1e-4)


def test_a_repaired_lane_counts_as_diverged_at_its_first_rate(make):
    event = Event(fraction=0.1, restored=0.0, rate_factor=0.3, cause="diverged by step 3")
    slower = make.candidate("a", lr=1.0).repaired(event, id="a-slower1")
    traces = [
        make.trace(make.candidate("a", lr=1.0), [1.0], events=[event]),
        make.trace(make.candidate("b", lr=0.1), [1.0]),
        make.trace(slower, [0.1], phase="confirm"),
    ]
    (found,) = sensitivity(traces, RMSE)
    assert [(point.lr, point.score) for point in found.points] == [(0.1, 1.0), (1.0, None)]


def test_series_are_apart_the_best_first_and_a_single_rate_is_none(make):
    traces = [
        make.trace(make.candidate(f"{model}{lr}", model, optimizer, **{name: lr}), [score])
        for model, optimizer, name, score in (("mlp", "sgd", "lr", 2.0), ("lightgbm", "boosting", "learning_rate", 1.0))
        for lr in (0.1, 0.3)
    ]
    traces += [make.trace(make.candidate("l", "linear", "lbfgs", l2=0.1), [0.1])]
    traces += [make.trace(make.candidate("s", "linear", "sgd", lr=0.1), [0.1])]
    assert [one.model for one in sensitivity(traces, RMSE)] == ["lightgbm", "mlp"]
    assert sensitivity([], RMSE) == ()


def test_series_are_printed_as_a_table(make):
    traces = [
        make.trace(make.candidate("a", lr=0.1), [3.0]),
        make.trace(make.candidate("b", lr=0.001), [2.0]),
        make.trace(make.candidate("c", lr=10.0), [], fate="diverged"),
    ]
    head, *lines, look = str(sensitivity(traces, RMSE)).splitlines()
    assert head.split()[:3] == ["model", "optimizer", "lr"]
    assert [line.split() for line in lines] == [
        ["mlp", "adamw", "0.001", "2.000"],
        ["mlp", "adamw", "0.1", "3.000"],
        ["mlp", "adamw", "10", "diverged"],
    ]
    assert look.startswith("compared ")
    assert str(sensitivity(traces[:1], RMSE)) == "no optimizer tried two learning rates"


@pytest.mark.parametrize(
    ("metric", "scores", "bounds"),
    [
        (METRICS["roc_auc"], (0.9, 0.99, 0.97), (None, 1.0)),
        (METRICS["roc_auc"], (0.1, 0.01, 0.03), (0.0, None)),
        (R2, (0.9, 0.99, 0.97), (None, 1.0)),
        (R2, (0.1, -0.2, 0.0), (None, None)),
        (RMSE, (0.1, 0.01, 0.03), (0.0, None)),
        (replace(RMSE, name="margin", direction="max"), (0.9, 0.99, 0.97), (None, None)),
    ],
)
def test_an_interval_ends_where_the_metric_does(make, metric, scores, bounds):
    traces = [
        make.trace(make.candidate(id, lr=lr), [score], phase="confirm", fold=fold, fractions=[1.0])
        for id, lr in (("a", 0.1), ("b", 0.01))
        for fold, score in enumerate(scores)
    ]
    (found,) = sensitivity(traces, metric)
    mean, half = np.mean(scores), 4.30265 * np.std(scores, ddof=1) / 3**0.5
    low, high = (own if bound is None else bound for own, bound in zip((mean - half, mean + half), bounds, strict=True))
    assert [found.points[0].low, found.points[0].high] == pytest.approx([low, high], abs=1e-5)
