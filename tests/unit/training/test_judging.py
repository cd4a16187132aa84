"""Support vector machines are judged by probabilities that were calibrated on other rows."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from lanewise.lanes.roster import Lane
from lanewise.metrics import resolve_metric
from lanewise.training.calibration import fit_calibration
from lanewise.training.data import MOST_SHOWN
from lanewise.training.judging import Confirmed, Judge
from lanewise.training.team import Evidence

GRID = (0.5, 1.0)


def judge(small: ModuleType, y: np.ndarray | None = None) -> Judge:
    metric = resolve_metric("log_loss", "multiclass")
    return Judge(metric=metric, y=small.numbers()[1] if y is None else y, weight=None, data=small.data())


def groups_of(small: ModuleType, loss: str, *, flat: float = 0.3) -> tuple[Any, dict[tuple[int, int], list[Evidence]]]:
    """Looks of a candidate whose probabilities are far too timid, as those of small margins are."""
    data, y = small.data(), small.numbers()[1]
    candidate = small.candidate("svm", "linear", "adam", loss=loss)
    groups = {}
    for fold in data.folds:
        rows = data.folds[fold].valid.numpy()
        for seed in (0, 1):
            draw = np.random.default_rng([fold, seed])
            margins = 3 * np.eye(3)[y[rows]] + draw.normal(size=(len(rows), 3))
            lane = Lane(candidate=candidate, fold=fold, seed=seed)
            valid = softmax(flat * margins, axis=1)
            groups[fold, seed] = [Evidence(lane=lane, fraction=at, valid=valid, train_loss=0.0) for at in GRID]
    return candidate, groups


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_margins_are_calibrated_on_the_other_folds(small: ModuleType, loss: str) -> None:
    candidate, groups = groups_of(small, loss)
    found = judge(small).confirmed(candidate, groups, GRID, seconds=1.0)
    assert found is not None
    assert found.calibration is not None
    y, data = small.numbers()[1], small.data()
    held = {fold: data.folds[fold].valid.numpy() for fold in (0, 1)}
    for fold in (0, 1):
        others = np.concatenate([groups[1 - fold, seed][1].valid for seed in (0, 1)])
        fitted = fit_calibration(others, np.tile(y[held[1 - fold]], 2))
        expected = np.mean([fitted.apply(groups[fold, seed][1].valid) for seed in (0, 1)], axis=0)
        np.testing.assert_allclose(found.predictions[held[fold]], expected)
    plain_candidate, plain_groups = groups_of(small, "softmax")
    plain = judge(small).confirmed(plain_candidate, plain_groups, GRID, seconds=1.0)
    assert plain is not None
    assert plain.calibration is None
    assert found.curve[-1] < 0.7 * plain.curve[-1]


def test_the_curve_of_a_whole_candidate_is_the_score_of_its_mean_predictions_on_the_rows_that_judge(
    small: ModuleType,
) -> None:
    candidate, groups = groups_of(small, "softmax")
    y, rows = small.numbers()[1], np.sort(np.concatenate([small.data().folds[f].valid.numpy()[5:] for f in (0, 1)]))
    found = judge(small).confirmed(candidate, groups, GRID, seconds=1.0, judging=rows)
    assert found is not None
    expected = judge(small).metric.score(y[rows], found.predictions[rows])
    assert found.judged[GRID.index(found.stop)] == pytest.approx(expected)
    assert len(found.judged) == len(GRID)
    plain = judge(small).confirmed(candidate, groups, GRID, seconds=1.0)
    assert plain is not None
    assert plain.judged == ()


def test_trainings_that_are_apart_count_by_the_mean_of_their_scores(small: ModuleType) -> None:
    candidate, groups = groups_of(small, "softmax")
    y, held = small.numbers()[1], {fold: small.data().folds[fold].valid.numpy() for fold in (0, 1)}
    for (fold, seed), looks in groups.items():  # the second seed ends far from its truth, and so stops earlier
        worse = looks[1].valid if seed == 0 else np.roll(looks[1].valid, 1, axis=1)
        groups[fold, seed] = [looks[0], replace(looks[1], valid=worse)]
    found = replace(judge(small), apart=True).confirmed(candidate, groups, GRID, seconds=1.0)
    assert found is not None
    score = judge(small).metric.score
    each = [[score(y[held[fold]], looks[at].valid) for (fold, _), looks in groups.items()] for at in range(len(GRID))]
    np.testing.assert_allclose(found.curve, np.mean(each, axis=1))
    assert found.stop == GRID[0]
    for fold, rows in held.items():
        np.testing.assert_array_equal(found.predictions[rows, :, 1], groups[fold, 1][0].valid)


def test_with_early_stopping_no_row_chooses_the_look_that_it_is_judged_at(small: ModuleType) -> None:
    candidate, groups = groups_of(small, "softmax")
    rows = small.data().folds[0].valid.numpy()
    first, last = groups[0, 0]

    def found(one: np.ndarray, other: np.ndarray, *, early: bool = True) -> Confirmed:
        looks = [replace(first, valid=one), replace(last, valid=other)]
        own = replace(judge(small), early=early).confirmed(candidate, {(0, 0): looks}, GRID, seconds=1.0)
        assert own is not None
        return own

    good = first.valid
    bad = np.roll(good, 1, axis=1)
    np.testing.assert_array_equal(found(good, bad).predictions[rows], good)
    np.testing.assert_array_equal(found(good, bad, early=False).predictions[rows], bad)
    assert found(good, bad).stop == found(good, bad, early=False).stop == GRID[0]
    for row in range(4):  # the first look is better, but for this row alone: the others see no difference
        worse = good.copy()
        worse[row] = bad[row]
        own = found(good, worse)
        assert own.stop == GRID[0]
        np.testing.assert_array_equal(own.predictions[rows], worse)


@pytest.mark.parametrize("seed", range(8))
def test_by_a_metric_of_all_rows_together_early_stopping_judges_all_at_one_look(small: ModuleType, seed: int) -> None:
    y = (small.numbers()[1] == 1).astype(np.int64)
    data = replace(small.data(), task=replace(small.data().task, kind="binary", classes=("no", "yes")))
    rows = data.folds[0].valid.numpy()
    own = Judge(metric=resolve_metric("roc_auc", "binary"), y=y, weight=None, data=data, early=True)
    draw = np.random.default_rng(seed)
    probabilities = [1 / (1 + np.exp(-y[rows] - draw.normal(size=len(rows)))) for _ in GRID]
    # At scales of their own: parts from both looks would be ranked against each other.
    made = [np.stack([1 - scale * p, scale * p], axis=1) for scale, p in zip((0.1, 1.0), probabilities, strict=True)]
    lane = Lane(candidate=small.candidate("net", "mlp", "adam"), fold=0, seed=0)
    looks = [Evidence(lane=lane, fraction=at, valid=p, train_loss=0.0) for at, p in zip(GRID, made, strict=True)]
    found = own.confirmed(lane.candidate, {(0, 0): looks}, GRID, seconds=1.0)
    assert found is not None
    np.testing.assert_array_equal(found.predictions[rows], made[GRID.index(found.stop)])


def test_labels_of_a_fold_do_not_calibrate_it(small: ModuleType) -> None:
    candidate, groups = groups_of(small, "hinge")
    y, rows = small.numbers()[1], small.data().folds[0].valid.numpy()
    other = y.copy()
    other[rows] = np.roll(y[rows], 1)
    one, two = (judge(small, labels).confirmed(candidate, groups, GRID, seconds=1.0) for labels in (y, other))
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.predictions[rows], two.predictions[rows])
    rest = small.data().folds[1].valid.numpy()
    assert (one.predictions[rest] != two.predictions[rest]).any()


def test_a_single_look_at_margins_is_scored_fairly(small: ModuleType) -> None:
    _, timid = groups_of(small, "hinge")
    _, plain = groups_of(small, "softmax")
    assert judge(small).loss(timid[0, 0][0]) < 0.7 * judge(small).loss(plain[0, 0][0])


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_the_losses_of_rows_average_to_the_loss(small: ModuleType, loss: str, weighted: bool, clustered: bool) -> None:
    _, groups = groups_of(small, loss)
    item, y = groups[1, 0][0], small.numbers()[1]
    draw = np.random.default_rng(0)
    own = replace(
        judge(small),
        weight=draw.random(len(y)) if weighted else None,
        clusters=draw.integers(0, 20, size=len(y)) if clustered else None,
    )
    found = own.unit_losses(item)
    assert found is not None
    rows = small.data().folds[1].valid.numpy()
    assert len(found) == (len(np.unique(own.clusters[rows])) if own.clusters is not None else len(rows))
    assert found.mean() == pytest.approx(own.loss(item))
    if loss == "softmax" and not (weighted or clustered):
        np.testing.assert_allclose(found, -np.log(item.valid[np.arange(len(rows)), y[rows]]))


def test_a_metric_of_the_order_of_rows_has_no_losses(small: ModuleType) -> None:
    _, groups = groups_of(small, "softmax")
    own = replace(judge(small), metric=resolve_metric("roc_auc", "multiclass"))
    assert own.unit_losses(groups[0, 0][0]) is None


def test_one_prediction_that_is_not_finite_leaves_no_row_a_loss(small: ModuleType) -> None:
    _, groups = groups_of(small, "softmax")
    item = groups[0, 0][0]
    item.valid[3, 1] = np.nan
    found = judge(small).unit_losses(item)
    assert found is not None
    assert np.isnan(found).all()


def test_a_training_score_is_that_of_the_sample_of_training_rows(small: ModuleType) -> None:
    data, y = small.data(), small.numbers()[1]
    part = data.folds[1]
    rows = part.train.numpy()[part.shown]
    draw = np.random.default_rng(0)
    for loss in ("softmax", "hinge"):
        candidate = small.candidate("one", "linear", "adam", loss=loss)
        train = softmax(3 * np.eye(3)[y[rows]] + draw.normal(size=(len(rows), 3)), axis=1)
        valid = softmax(draw.normal(size=(len(part.valid), 3)), axis=1)
        lane = Lane(candidate=candidate, fold=1, seed=0)
        item = Evidence(lane=lane, fraction=1.0, valid=valid, train_loss=0.0, train=train)
        expected = train
        if loss == "hinge":
            expected = fit_calibration(valid, y[part.valid.numpy()]).apply(train)
        score = -np.log(expected[np.arange(len(rows)), y[rows]]).mean()
        assert judge(small).train_score(item) == pytest.approx(score)
        assert np.isnan(judge(small).train_score(replace(item, train=None)))


def test_large_folds_show_a_sample(small: ModuleType) -> None:
    part = replace(small.data().folds[0], train=torch.arange(3 * MOST_SHOWN + 1))
    assert len(part.shown) == MOST_SHOWN
    assert len(np.unique(part.shown)) == MOST_SHOWN
    assert part.shown[-1] >= 3 * MOST_SHOWN - 3


@pytest.mark.parametrize("value", [np.nan, 1e290], ids=["not a number", "its square overflows"])
def test_what_is_not_finite_is_not_confirmed(small: ModuleType, value: float) -> None:
    candidate, groups = groups_of(small, "squared")
    for items in groups.values():
        for item in items:
            item.valid[0] = value
    assert judge(small).confirmed(candidate, groups, GRID, seconds=1.0) is None
