"""Permutation importance against what was planted."""

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import UsageError
from lanewise.explain import permutation_importance
from lanewise.explain.importance import _affordable, shortlist
from lanewise.metrics import METRICS

RMSE, AUC = METRICS["rmse"], METRICS["roc_auc"]


def table(rows=3000, noise_columns=3, seed=1):
    rng = np.random.default_rng(seed)
    columns = {"strong": rng.normal(size=rows), "weak": rng.normal(size=rows)}
    columns |= {f"noise{n}": rng.normal(size=rows) for n in range(noise_columns)}
    frame = pl.DataFrame({**columns, "kind": rng.choice(["a", "b"], rows)})
    kinds: dict[str, ColumnKind] = {name: "category" if name == "kind" else "number" for name in frame.columns}
    return Dataset(frame=frame, kinds=kinds, source="test"), rng


def predict(dataset):
    frame = dataset.frame
    return (frame["strong"] * 2 + frame["weak"] * 0.5 + 0.4 * (frame["kind"] == "b").cast(float)).to_numpy()


@pytest.fixture(scope="module")
def problem():
    dataset, rng = table()
    return dataset, predict(dataset) + 0.5 * rng.normal(size=dataset.rows)


def run(problem, metric=RMSE, predictor=predict, **more):
    dataset, y = problem
    more = {"columns": dataset.frame.columns, "seed": 0, **more}
    return permutation_importance(predictor, dataset, np.arange(dataset.rows), y, metric, **more)


def test_planted_columns_matter_in_their_order_and_others_do_not(problem):
    found = run(problem)
    assert [one.column for one in found[:3]] == ["strong", "weak", "kind"]
    assert all(one.low > 0 for one in found[:3])
    # The model does not read them at all, so shuffling changes nothing.
    assert [(one.value, one.low, one.high) for one in found[3:]] == [(0.0, 0.0, 0.0)] * 3


def test_the_size_is_the_theory(problem):
    """Shuffling x with weight b adds 2 b^2 Var(x) to the mean squared error."""
    found = {one.column: one for one in run(problem, METRICS["rmse"], repeats=8, max_rows=3000)}
    expected = np.sqrt(0.25 + 2 * 4.0) - 0.5
    assert found["strong"].low < expected < found["strong"].high
    assert found["strong"].value == pytest.approx(expected, rel=0.05)


def test_few_predictions_mean_fewer_shuffles_then_fewer_rows_but_not_none(problem):
    seen: list[int] = []

    def watching(dataset):
        seen.append(dataset.rows)
        return predict(dataset)

    def used(predictions):
        seen.clear()
        found = run(problem, predictor=watching, max_rows=1000, predictions=predictions)
        assert [one.column for one in found[:1]] == ["strong"]
        # The rows as they are, and the shuffles of a column.
        return seen[0], seen[1] // seen[0]

    assert used(1e9) == (1000, 5)
    assert used(0.0) == (200, 1)


def test_shuffles_are_saved_before_rows():
    assert _affordable(1e9, 10, 2000, 5) == (2000, 5)
    assert _affordable(30_000, 10, 2000, 5) == (600, 5)
    assert _affordable(11_000, 10, 2000, 5) == (550, 2)
    assert _affordable(3_000, 10, 2000, 5) == (300, 1)
    assert _affordable(10, 10, 2000, 5) == (200, 1)
    assert _affordable(10, 10, 100, 5) == (100, 1)


def test_the_screen_of_many_columns_counts_among_the_predictions():
    assert _affordable(1e9, 1000, 2000, 5) == (2000, 5)
    # 1,000 columns on 500 rows each leave as much for 100 columns on 600 rows.
    assert _affordable(560_000, 1000, 2000, 5) == (600, 1)
    assert _affordable(330_000, 1000, 2000, 5) == (300, 1)
    assert _affordable(10, 1000, 2000, 5) == (200, 1)
    assert _affordable(330_000, 1000, 100, 5) == (100, 5)  # 100 rows are screened then


def test_intervals_hold_the_truth_over_samples():
    expected = np.sqrt(0.25 + 2 * 0.25) - 0.5
    inside = 0
    for seed in range(40):
        dataset, rng = table(rows=300, noise_columns=0, seed=seed)
        y = predict(dataset) + 0.5 * rng.normal(size=300)
        (found,) = run((dataset, y), columns=["weak"], seed=seed)
        inside += found.low <= expected <= found.high
    assert inside >= 33  # of 40; 95% is 38, and fewer than 33 has a probability below 1%


def test_a_score_to_be_maximised_gives_positive_importance(problem):
    dataset, y = problem
    above = (y > 0).astype(int)

    def probabilities(data):
        p = 1 / (1 + np.exp(-predict(data)))
        return np.column_stack([1 - p, p])

    found = run((dataset, above), AUC, probabilities)
    assert found[0].column == "strong"
    assert 0.1 < found[0].low < found[0].value < found[0].high < 0.5


def test_the_same_seed_gives_the_same_figures_whatever_else_is_measured(problem):
    alone = run(problem, columns=["weak"])
    assert alone == run(problem, columns=["weak"])
    assert alone[0] in run(problem, columns=["strong", "weak"])
    assert alone != run(problem, columns=["weak"], seed=1)


def test_rows_and_weights_bound_what_is_read(problem):
    dataset, y = problem
    seen = []

    def watching(data):
        seen.append(data.rows)
        return predict(data)[:, None]

    weight = np.where(np.arange(dataset.rows) < 100, 1.0, 0.0)
    rows = np.arange(150)
    (found,) = permutation_importance(
        watching, dataset, rows, y, RMSE, columns=["strong"], seed=0, weight=weight, max_rows=120, repeats=3
    )
    assert seen == [120, 360]
    assert found.value > 0


def test_wide_tables_are_screened_and_the_best_are_measured():
    dataset, rng = table(rows=700, noise_columns=150)
    y = predict(dataset) + 0.1 * rng.normal(size=700)
    calls = []

    def watching(data):
        calls.append(data.rows)
        return predict(data)

    found = run((dataset, y), predictor=watching, repeats=2)
    assert len(found) == 100
    assert [one.column for one in found[:3]] == ["strong", "weak", "kind"]
    assert calls.count(500) == 1 + 153  # the screen: the rows as they are, and one shuffle of each column
    assert calls.count(1400) == 100


def test_stopping_keeps_what_is_known(problem):
    asked = iter([False, False, True])
    found = run(problem, stop=lambda: next(asked))
    assert {one.column for one in found} == {"strong", "weak"}
    assert run(problem, stop=lambda: True) == ()


def test_predictions_that_are_not_finite_sort_last(problem):
    dataset, y = problem
    doubled = Dataset(frame=dataset.frame.with_columns(copy=pl.col("strong")), kinds=dataset.kinds, source="test")

    def broken(data):
        return np.where(data.frame["copy"] == data.frame["strong"], predict(data), np.nan)

    found = run((doubled, y), predictor=broken, columns=["copy", "weak"])
    assert [one.column for one in found] == ["weak", "copy"]
    assert np.isnan(found[-1].value)


def test_rounding_of_another_batch_size_is_no_importance(problem):
    def rounding(data):
        return predict(data) + 1e-7 * np.random.default_rng(data.rows).normal(size=data.rows)

    for one in run(problem, predictor=rounding, columns=["noise0", "noise1"]):
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)


def test_errors_say_what_is_allowed(problem):
    with pytest.raises(UsageError, match="no column 'colour' to shuffle; it has strong, weak"):
        run(problem, columns=["colour"])
    with pytest.raises(UsageError, match="repeats and max_rows must be at least 1, got 0"):
        run(problem, repeats=0)


def test_what_a_call_costs_counts_among_the_predictions():
    assert _affordable(60_000, 10, 2000, 5, 0.0) == (1200, 5)
    assert _affordable(60_000, 10, 2000, 5, 4000.0) == (500, 4)


def test_columns_too_many_to_shuffle_are_those_that_least_of_the_model_is_about():
    names = [f"x{place}" for place in range(1000)]
    figures = {name: float(place % 500) for place, name in enumerate(names)}
    assert len(shortlist(names, figures, predictions=1e9, rows=500)) == 998
    kept = shortlist(names, figures, predictions=200 * 400, rows=500)
    assert len(kept) == 300
    assert list(kept) == sorted(kept, key=names.index)
    assert min(figures[name] for name in kept) == 350
    assert len(shortlist(names, figures, predictions=200 * 60, rows=500)) == 60
    assert len(shortlist(names, figures, predictions=200 * 400, rows=500, per_call=1e9)) == 20
    assert len(shortlist(names[:100], figures, predictions=0.0, rows=500)) == 99
