"""What a candidate may set for trees, and what that means to LightGBM and scikit-learn."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.errors import UsageError
from lanewise.models.trees import (
    FOREST_BYTES,
    LEAVES_PER_ROW,
    SPLIT_BYTES,
    VALUE_BYTES,
    TreeKind,
    TreeSpec,
    boosting_parameters,
    forest_parameters,
    forest_trees,
    splitting_parameters,
    tree_space,
    tree_spec,
)
from lanewise.task import TaskKind

KINDS: tuple[TreeKind, ...] = ("lightgbm", "forest", "tree")


def parameters(
    spec: TreeSpec, *, task_kind: TaskKind = "regression", rows: int = 1000, deviation: float = 1.0, seed: int = 0
):
    return boosting_parameters(
        spec, task_kind=task_kind, classes=3, rows=rows, deviation=deviation, seed=seed, threads=1
    )


@pytest.mark.parametrize("kind", KINDS)
@given(u=st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=30)
def test_every_point_of_the_space_is_a_spec(kind: TreeKind, u: float) -> None:
    space = tree_space(kind, task_kind="regression")
    drawn = tree_spec(kind, {hyper.name: hyper.at(u) for hyper in space})
    assert {hyper.name for hyper in space} <= drawn.as_settings().keys()
    for hyper in space:
        value = drawn.as_settings()[hyper.name]
        if hyper.scale == "choice":
            assert value in hyper.choices
        else:
            assert hyper.low is not None
            assert hyper.high is not None
            assert hyper.low * (1 - 1e-12) <= float(value) <= hyper.high * (1 + 1e-12)


def test_defaults_are_those_of_lightgbm() -> None:
    import lightgbm

    theirs = lightgbm.LGBMRegressor().get_params()
    ours = parameters(TreeSpec())
    assert TreeSpec().rounds == theirs["n_estimators"]
    names = {"learning_rate": "learning_rate", "num_leaves": "num_leaves", "max_depth": "max_depth"}
    names |= {"min_data_in_leaf": "min_child_samples", "feature_fraction": "colsample_bytree"}
    names |= {"bagging_fraction": "subsample", "bagging_freq": "subsample_freq"}
    names |= {"lambda_l1": "reg_alpha", "lambda_l2": "reg_lambda"}
    assert {name: ours[name] for name in names} == {name: theirs[other] for name, other in names.items()}
    assert tree_spec("lightgbm", {}) == TreeSpec()


def test_length_follows_the_learning_rate_unless_stated() -> None:
    assert tree_spec("lightgbm", {"learning_rate": 0.01}).full_length == 1000
    assert tree_spec("lightgbm", {"learning_rate": 0.01, "rounds": 50}).full_length == 50
    assert tree_spec("forest", {"rounds": 50, "trees": 80}).full_length == 80
    assert tree_spec("tree", {"rounds": 50}).full_length == 1


def test_foreign_settings_are_skipped_and_whole_floats_accepted() -> None:
    spec = tree_spec("lightgbm", {"width": 128, "lr": 1.0, "num_leaves": 63.0, "kind": "tree"})
    assert spec == TreeSpec(num_leaves=63)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("num_leaves", 1),
        ("num_leaves", 31.5),
        ("rounds", 0),
        ("rounds", True),
        ("bagging_fraction", 1.1),
        ("lambda_l2", -1e-9),
        ("max_bin", "255"),
        ("extra_trees", 1),
        ("tree_loss", "cubic"),
        ("forest", "dense"),
        ("max_features", 0.0),
        ("trees", 0),
        ("ccp_alpha", 2.0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} must be .*, got {str(value)[:3]}|{name} must be .*got '"):
        tree_spec("lightgbm", {name: value})  # pyright: ignore[reportArgumentType] wrong on purpose


def test_limits_on_rows_shrink_with_the_table() -> None:
    assert [parameters(TreeSpec(), rows=rows)["min_data_in_leaf"] for rows in (5, 30, 100, 200, 10**6)] == [
        1,
        3,
        10,
        20,
        20,
    ]
    assert [parameters(TreeSpec(), rows=rows)["min_data_per_group"] for rows in (30, 1000, 10**6)] == [3, 100, 100]
    leaf = [
        splitting_parameters(TreeSpec(kind="tree"), task_kind="binary", rows=rows, impurity=0.5, seed=0)[
            "min_samples_leaf"
        ]
        for rows in (5, 30, 100)
    ]
    assert leaf == [1, 3, 10]


def test_penalties_are_in_units_of_the_target() -> None:
    spec = TreeSpec(lambda_l1=0.5, tree_loss="huber")
    assert parameters(spec, deviation=40.0)["lambda_l1"] == 20.0
    assert parameters(spec, deviation=40.0)["alpha"] == 40.0
    assert parameters(spec, task_kind="binary", deviation=40.0)["lambda_l1"] == 0.5
    assert parameters(TreeSpec(lambda_l1=0.5, tree_loss="absolute"), deviation=40.0)["lambda_l1"] == 0.5


def test_each_task_has_its_objective() -> None:
    found = {
        kind: parameters(TreeSpec(), task_kind=kind)["objective"]
        for kind in ("regression", "count", "binary", "multiclass")
    }
    assert found == {"regression": "regression", "count": "poisson", "binary": "binary", "multiclass": "multiclass"}
    assert parameters(TreeSpec(), task_kind="multiclass")["num_class"] == 3
    assert parameters(TreeSpec(tree_loss="absolute"))["objective"] == "regression_l1"


def test_draws_depend_on_the_seed_alone() -> None:
    names = [name for name in parameters(TreeSpec()) if name.endswith("seed")]
    assert "bagging_seed" in names
    assert "feature_fraction_seed" in names

    def seeds(spec: TreeSpec, seed: int) -> list[int]:
        return [parameters(spec, seed=seed)[name] for name in names]

    assert seeds(TreeSpec(), 7) == seeds(TreeSpec(num_leaves=4, bagging_fraction=0.5), 7)
    assert seeds(TreeSpec(), 7) != seeds(TreeSpec(), 8)
    assert all(0 <= word < 2**31 for word in seeds(TreeSpec(), 2**63))


def test_cost_grows_with_work() -> None:
    base = TreeSpec().expected_cost(rows=1000, columns=10, outputs=1)
    assert TreeSpec(rounds=200).expected_cost(rows=1000, columns=10, outputs=1) == 2 * base
    assert TreeSpec().expected_cost(rows=1000, columns=10, outputs=3) == 3 * base
    assert TreeSpec(kind="tree").expected_cost(rows=1000, columns=10, outputs=1) < base


@pytest.mark.parametrize("task_kind", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("rows", [50, 2_000, 30_000, 500_000, 20_000_000])
def test_a_forest_stays_within_its_room(task_kind: TaskKind, rows: int) -> None:
    """Where there are many rows, leaves are larger: not fewer than a hundred trees."""
    outputs = {"regression": 1, "binary": 2, "multiclass": 26}[task_kind]
    trees = forest_trees(task_kind, rows=rows, outputs=outputs)
    spec = TreeSpec(kind="forest", trees=trees, min_samples_leaf=1)
    leaf = forest_parameters(spec, task_kind=task_kind, rows=rows, outputs=outputs)["min_samples_leaf"]
    leaves = trees * rows / leaf * LEAVES_PER_ROW[task_kind]
    assert leaves * (SPLIT_BYTES + VALUE_BYTES * outputs) <= FOREST_BYTES
    assert 100 <= trees <= 300
    assert leaf == 1 or (trees == 100 and rows >= 30_000)


def test_leaves_of_a_forest_hold_a_tenth_of_the_rows_at_most() -> None:
    spec = TreeSpec(kind="forest", min_samples_leaf=50)
    assert forest_parameters(spec, task_kind="regression", rows=30, outputs=1)["min_samples_leaf"] == 3


@pytest.mark.parametrize(
    ("more", "less"),
    [({}, {"trees": 100}), ({"forest": "random"}, {}), ({}, {"max_features": 0.1}), ({}, {"min_samples_leaf": 40})],
)
def test_what_makes_a_forest_dearer_is_expected(more: dict[str, Any], less: dict[str, Any]) -> None:
    size = {"rows": 5_000, "columns": 20, "outputs": 1}
    dear, cheap = (tree_spec("forest", settings).expected_cost(**size) for settings in (more, less))
    assert dear > cheap
