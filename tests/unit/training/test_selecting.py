"""Feature selection as a setting: decided on a fold's training rows alone, once, and what is left out says nothing."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.data.reading import read
from lanewise.errors import UsageError
from lanewise.features.selection import SlowRanking
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.search.halving import Halving
from lanewise.training import selecting
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.fitted import features_of, predict
from lanewise.training.planning.making import Budget, Wishes, make_plan
from lanewise.training.planning.plan import Lengths
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem, prepare, tree_data
from lanewise.training.selecting import Selections, affordable, columns_read
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.pool import TreePool

ROWS = 480
KINDS = {
    "linear": ("linear", "lbfgs", {"l2": 1e-3, "l1": 0.0}),
    "adam": ("linear", "adam", {"lr": 0.02, "batch_size": 32}),
    "mlp": ("mlp", "adamw", {"lr": 0.01, "batch_size": 32, "width": 8, "depth": 2, "dropout": 0.1}),
    "lightgbm": ("lightgbm", "boosting", {"rounds": 10, "num_leaves": 6}),
    "tree": ("tree", "splitting", {"max_depth": 4}),
}


def problem_of(kind: str = "binary") -> Problem:
    """Two columns that tell the target, a category of many levels that tells it too, and nine that do not."""
    draw = np.random.default_rng(3)
    numbers = draw.normal(size=(ROWS, 11))
    level = draw.integers(0, 40, ROWS)
    score = 2 * numbers[:, 0] - 2 * numbers[:, 1] + 5 * (level % 2)
    columns: dict[str, Any] = {f"c{place}": numbers[:, place] for place in range(11)}
    columns["many"] = [f"level {place}" for place in level]
    columns["y"] = np.where(score > score.mean(), "yes", "no") if kind == "binary" else 100 + score
    return pose(read(pl.DataFrame(columns)), Request(target="y", folds=3))


@pytest.fixture(scope="module", params=["binary", "regression"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return problem_of(request.param)


@pytest.fixture(scope="module")
def pool(problem: Problem) -> Iterator[TreePool]:
    with TreePool(tree_data(problem), problem.task, workers=1, threads_per_worker=1, single_trees=True) as found:
        yield found


def candidate(name: str, way: str = "permutation", share: float = 0.25) -> Candidate:
    model, optimizer, settings = KINDS[name]
    chosen = {**settings, "features": way, "feature_share": share}
    return Candidate(id=f"{name}-{way}-{share}", model=model, optimizer=optimizer, settings=chosen)


def builder(data: TrainingData, problem: Problem, pool: TreePool | None = None) -> TeamBuilder:
    return TeamBuilder(
        data=data,
        lengths=Lengths(rows_seen=ROWS * 4, iterations=15),
        workers=1,
        stop=lambda: False,
        pool=pool,
        selections=Selections(data=data, layout=problem.layout, seed=0),
    )


def evidence(found: TeamBuilder, lanes: list[Lane], phase: str) -> dict[str, np.ndarray]:
    seen = {}
    for team in found.form(lanes, phase):
        team.advance(1.0)
        seen |= {item.lane.id: item.valid for item in team.evidence()}
        team.keep(())
    return seen


def spoiled(data: TrainingData, fold: int, rows: np.ndarray) -> TrainingData:
    """The same with other cells and another target in ``rows`` of a fold."""
    part = data.folds[fold]
    dense, codes, target = part.dense.clone(), part.codes.clone(), part.target.clone()
    dense[rows], codes[rows], target[rows] = 7.0, 3, target[rows].flip(0)
    return replace(data, folds={**data.folds, fold: replace(part, dense=dense, codes=codes, target=target)})


@pytest.mark.parametrize("way", ["l1-path", "permutation"])
def test_finds_the_columns_that_tell_the_target(problem: Problem, way: str) -> None:
    data, _ = prepare(problem, refit=False)
    found = Selections(data=data, layout=problem.layout, seed=0)
    for fold in data.folds:
        assert set(found.ranked(fold, way)[:3]) == {"c0", "c1", "many"}
        assert len(found.ranked(fold, way)) == 12


@pytest.mark.parametrize("way", ["l1-path", "permutation"])
def test_reads_no_row_but_those_the_fold_trains_on(problem: Problem, way: str) -> None:
    data, _ = prepare(problem, refit=False)
    clean = Selections(data=data, layout=problem.layout, seed=0)
    held = np.setdiff1d(np.arange(data.rows), data.folds[1].train.numpy())
    other = Selections(data=spoiled(data, 1, held), layout=problem.layout, seed=0)
    assert other.ranked(1, way) == clean.ranked(1, way)
    trained = Selections(
        data=spoiled(data, 1, data.folds[1].train.numpy()[:60]), layout=problem.layout, seed=0
    )  # the check must be able to fail
    assert trained.ranked(1, way) != clean.ranked(1, way)


def test_each_ranking_is_made_once_per_fold(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    usual = selecting.RANKINGS["l1-path"]

    def counted(*arrays: Any, **more: Any) -> Any:
        asked.append(1)
        return usual(*arrays, **more)

    monkeypatch.setattr(selecting, "RANKINGS", {"l1-path": counted})
    data, _ = prepare(problem, refit=False)
    found = builder(data, problem)
    lanes = [
        Lane(candidate=candidate(name, "l1-path", share), fold=fold, seed=0)
        for name in ("linear", "mlp")
        for share in (0.25, 0.5)
        for fold in (0, 1)
    ]
    teams = found.form(lanes, "screen")
    assert len(asked) == 2
    assert {fold for fold, _ in found.selections.seconds} == {0, 1}  # pyright: ignore[reportOptionalMemberAccess]  # it was given some
    assert len({found.key(team.lanes[0]) for team in teams}) == 4


@pytest.mark.parametrize("name", ["linear", "adam", "mlp"])
def test_a_lane_is_the_lane_of_a_table_whose_other_columns_are_zero(problem: Problem, name: str) -> None:
    data, _ = prepare(problem, refit=False)
    one = candidate(name)
    kept = Selections(data=data, layout=problem.layout, seed=0).kept(one, 1)
    assert kept is not None
    part = data.folds[1]
    dense, codes = part.dense.clone(), part.codes.clone()
    unread = [place for place, column in enumerate(problem.layout.feature_columns) if column not in kept.columns]
    dense[:, unread] = 0.0
    codes[:, [name not in kept.columns for name in problem.layout.embedded_names]] = 0
    zeroed = replace(data, folds={**data.folds, 1: replace(part, dense=dense, codes=codes)})
    plain = replace(one, settings={**one.settings, "features": "all", "feature_share": 1.0})
    (expected,) = evidence(builder(zeroed, problem), [Lane(candidate=plain, fold=1, seed=4)], "a").values()
    (found,) = evidence(builder(data, problem), [Lane(candidate=one, fold=1, seed=4)], "b").values()
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", list(KINDS))
def test_what_is_left_out_says_nothing_to_the_lane_or_to_the_model_taken_from_it(
    problem: Problem, pool: TreePool, name: str
) -> None:
    data, preparation = prepare(problem, refit=True)
    found = builder(data, problem, pool)
    lane = Lane(candidate=candidate(name), fold=-1, seed=0)
    (team,) = found.form([lane], "refit")
    team.advance(1.0)
    (item,) = team.evidence()
    member = team.export(lane.id)
    team.keep(())
    assert member.columns is not None
    assert set(member.columns) == {"c0", "c1", "many"}
    rows = problem.dataset.frame
    unread = [name for name in problem.features if name not in member.columns]
    frames = [
        rows,
        rows.with_columns(pl.lit(-50.0).alias(column) for column in unread),
        rows.with_columns(c0=pl.lit(9.0)),
    ]
    predicted = [
        predict(
            member,
            features_of(preparation, problem.layout.encode(replace(problem.dataset, frame=frame))),
            problem.width,
        )
        for frame in frames
    ]
    np.testing.assert_allclose(predicted[0][problem.test], item.valid, rtol=1e-5, atol=1e-6)
    assert predicted[1].tobytes() == predicted[0].tobytes()
    assert np.abs(predicted[2] - predicted[0]).max() > 1e-3


def test_an_unknown_way_is_refused_with_the_known_ones(problem: Problem) -> None:
    data, _ = prepare(problem, refit=False)
    with pytest.raises(UsageError, match="features must be all, l1-path or permutation, got 'best'"):
        Selections(data=data, layout=problem.layout, seed=0).ranked(0, "best")


def test_a_ranking_that_takes_too_long_is_not_offered(problem: Problem) -> None:
    data, _ = prepare(problem, refit=False)
    found = Selections(data=data, layout=problem.layout, seed=0)
    pools = {"linear": [replace(candidate("linear"), settings={}), candidate("linear", "l1-path"), candidate("linear")]}
    left, seconds = affordable(pools, found, 1e6)
    assert left == pools
    assert set(seconds) == {"l1-path", "permutation"}
    assert affordable(pools, found, 1e-6) == ({"linear": pools["linear"][:1]}, {})


def test_a_ranking_of_few_rows_is_given_no_more_time_than_it_is_worth(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def endless(*arrays: Any, most_seconds: float, **more: Any) -> Any:
        given.append(most_seconds)
        raise SlowRanking

    monkeypatch.setattr(selecting, "RANKINGS", {"l1-path": endless})
    data, _ = prepare(problem, refit=False)
    found = Selections(data=data, layout=problem.layout, seed=0)
    pools = {"linear": [replace(candidate("linear"), settings={}), candidate("linear", "l1-path")]}
    assert affordable(pools, found, 10.0) == ({"linear": pools["linear"][:1]}, {})
    assert given == [pytest.approx(0.3)]


def test_at_least_one_column_is_read() -> None:
    assert [columns_read(candidate("tree", share=share), 12) for share in (0.01, 0.25, 0.26)] == [1, 3, 4]


def test_a_fold_that_keeps_all_hands_out_its_rows_as_they_are() -> None:
    part = FoldData(
        dense=torch.ones(4, 2),
        codes=torch.ones(4, 1),
        target=torch.ones(4),
        train=torch.arange(3),
        valid=torch.arange(1),
    )
    assert part.columns is None
    assert [one.shape for one in part.features(torch.tensor([1, 2]))] == [(2, 2), (2, 1)]


def test_the_plan_counts_what_rankings_take_and_leaves_out_those_too_slow(problem: Problem) -> None:
    data, _ = prepare(problem, refit=False)
    found = builder(data, problem)
    wishes = Wishes(models=("linear",), candidates=12)
    plan = make_plan(problem, found, Halving(), budget=Budget(seconds=600.0), wishes=wishes)
    assert found.selections is not None
    seconds = found.selections.seconds
    assert set(seconds) == {(0, "l1-path"), (0, "permutation")}
    selecting = [one for one in plan.candidates if one.settings["features"] != "all"]
    assert len(selecting) == 3
    for one in selecting:
        assert plan.costs[one.id] > 0.9 * seconds[0, str(one.settings["features"])]
    hurried = make_plan(problem, found, Halving(), budget=Budget(seconds=0.05), wishes=wishes)
    assert all(one.settings["features"] == "all" for one in hurried.candidates)
