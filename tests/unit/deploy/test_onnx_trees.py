"""Exported trees: no row takes another branch, whatever its values, not even at a threshold."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.deploy.onnx_export import onnx_model
from lanewise.deploy.onnx_inputs import feeds
from lanewise.deploy.predictor import Predictor
from lanewise.errors import UsageError
from lanewise.models.saved_trees import SavedTrees, SplitTrees, digest_of, load_trees, packed_forest
from lanewise.models.split_arrays import Splits

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LEVELS = [f"level {place}" for place in range(150)]
KINDS: dict[str, ColumnKind] = {"a": "number", "b": "number", "c": "category", "y": "number"}
Predict = Callable[[Dataset], np.ndarray]


def rows_of(cells: Sequence[tuple[float | None, float | None, str | None]]) -> Dataset:
    schema = {"a": pl.Float64, "b": pl.Float64, "c": pl.String}
    frame = pl.DataFrame(cells, schema=schema, orient="row")
    return Dataset(frame=frame, kinds={name: KINDS[name] for name in schema}, source="rows")


@cache
def grown(trained: ModuleType, kind: str) -> dict[str, Predictor]:
    """Predictors of boosted trees, a forest and one tree on two numbers (one with missing cells) and 150 levels."""
    draw = np.random.default_rng(1)
    rows = 900
    a, b, c = draw.normal(size=rows), draw.integers(-3, 4, rows) * 0.1, draw.integers(0, len(LEVELS), rows)
    signal = np.where(draw.random(rows) < 0.5, a, b * 10) + np.sin(c * 1.7) * 2
    y = {"regression": 1e7 + signal, "count": np.floor(np.exp(signal / 2)), "binary": signal > 0}
    y["multiclass"] = np.digitize(signal, [-1, 1])
    columns = {"a": a, "b": [None if place % 5 == 0 else value for place, value in enumerate(b)]}
    frame = pl.DataFrame(columns | {"c": [LEVELS[place] for place in c], "y": y[kind].astype(float)})
    table = Dataset(frame=frame, kinds=KINDS, source="table")
    problem = trained.pose(table, trained.Request(target="y", kind=kind))
    boosting = {"rounds": 12} | ({"tree_loss": "huber"} if kind == "regression" else {})
    candidates = [trained.candidate("lightgbm", **boosting), trained.candidate("forest"), trained.candidate("tree")]
    fitted = trained.train(problem, candidates)
    return {one.candidate.model: trained.assembled(problem, [one]) for one in fitted}


@cache
def small(trained: ModuleType, name: str, kind: str) -> tuple[Predictor, Predict, list[float]]:
    """A predictor of trees, its ONNX twin, and its thresholds."""
    predictor = grown(trained, kind)[name]
    trees = predictor.members[0].fitted.trees
    assert trees is not None
    session = onnxruntime.InferenceSession(onnx_model(predictor).SerializeToString())
    output = "probabilities" if predictor.task.is_classification else "prediction"

    def predict(dataset: Dataset) -> np.ndarray:
        (found,) = session.run([output], feeds(predictor.layout, dataset))
        return found if found.ndim > 1 else found[:, None]

    return predictor, predict, thresholds(trees)


def thresholds(saved: SavedTrees) -> list[float]:
    found = load_trees(saved)
    if isinstance(found, SplitTrees):
        return [value for value in found.arrays.threshold.tolist() if abs(value) < 1e300]
    lines = [line for line in saved.text.splitlines() if line.startswith("threshold=")]
    return [float(value) for line in lines for value in line.partition("=")[2].split()]


@pytest.mark.parametrize("kind", ["regression", "count", "binary", "multiclass"])
@pytest.mark.parametrize("name", ["lightgbm", "forest", "tree"])
def test_no_branch_flips(trained: ModuleType, name: str, kind: str) -> None:
    """Numbers at the thresholds, one step beside them, rounded to float32, missing; every level and unseen ones."""
    predictor, predict, cuts = small(trained, name, kind)
    near = st.sampled_from(cuts).flatmap(
        lambda cut: st.sampled_from(
            [cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf), float(np.float32(cut)), -cut]
        )
    )
    number = st.one_of(near, st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 1e-40, 3.5e38]))
    level = st.one_of(st.sampled_from(LEVELS), st.none(), st.just("unseen"))

    # Many rows in few examples: what an example costs hardly depends on its rows.
    @given(st.lists(st.tuples(number, number, level), min_size=20, max_size=80))
    @settings(deadline=None, max_examples=15)
    def check(cells: list[tuple[float | None, float | None, str | None]]) -> None:
        rows = rows_of(cells)
        expected = np.concatenate(list(predictor.responses(rows)))
        np.testing.assert_allclose(predict(rows), expected, rtol=1e-13, atol=1e-15)

    check()


def test_every_threshold_splits_where_it_did(trained: ModuleType) -> None:
    """All cuts and their neighbours, each with every level: exhaustive, not drawn."""
    for name in ("lightgbm", "forest", "tree"):
        predictor, predict, cuts = small(trained, name, "regression")
        values = sorted(
            {float(v) for cut in cuts for v in (cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf))}
        )
        cells = [(value, values[-1 - place], LEVELS[place % 150]) for place, value in enumerate(values)]
        cells += [(0.1, None, level) for level in LEVELS] + [(None, 0.1, level) for level in LEVELS]
        rows = rows_of(cells)
        np.testing.assert_allclose(predict(rows), np.concatenate(list(predictor.responses(rows))), rtol=1e-14)


def test_far_targets_keep_their_offset(trained: ModuleType) -> None:
    predictor, _, _ = small(trained, "lightgbm", "regression")
    trees = predictor.members[0].fitted.trees
    assert trees is not None
    assert trees.meta["offset"] > 9e6


def _altered(trained: ModuleType, change: Callable[[str], str]) -> Any:
    predictor = grown(trained, "regression")["lightgbm"]
    whole = predictor.members[0].fitted.trees
    assert whole is not None
    text = change(whole.text)
    assert text != whole.text
    return with_trees(predictor, text, whole)


def with_trees(predictor: Predictor, text: str, like: SavedTrees) -> Predictor:
    """The predictor with other trees in place of those of its one member."""
    trees = SavedTrees(kind=like.kind, text=text, meta={**like.meta, "sha256": digest_of(text)})
    (member,) = predictor.members
    return replace(predictor, members=(replace(member, fitted=replace(member.fitted, trees=trees)),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("is_linear=0", "is_linear=1", 1), "linear_tree"),
        (lambda text: text.replace("label_index=0", "label_index=0\naverage_output", 1), "random forests"),
        (lambda text: re.sub(r"(decision_type=.*?)\b10\b", r"\g<1>6", text, count=1), "zero_as_missing"),
    ],
)
def test_trees_that_onnx_has_not_are_refused(trained: ModuleType, change: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        onnx_model(_altered(trained, change))


@pytest.mark.parametrize("name", ["lightgbm", "tree"])
def test_trees_without_a_split_give_their_constant(trained: ModuleType, name: str) -> None:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"a": np.repeat([1.0, 2.0], 60), "b": draw.normal(size=120), "y": draw.normal(size=120)})
    stiff = {"min_child_samples": 12, "lambda_l1": 1e9} if name == "lightgbm" else {"ccp_alpha": 1.0}
    table = Dataset(frame=frame, kinds={"a": "number", "b": "number", "y": "number"}, source="table")
    problem = trained.pose(table, trained.Request(target="y", kind="regression"))
    (fitted,) = trained.train(problem, [trained.candidate(name, **stiff)])
    predictor = trained.assembled(problem, [fitted])
    session = onnxruntime.InferenceSession(onnx_model(predictor).SerializeToString())
    (found,) = session.run(["prediction"], feeds(predictor.layout, predictor.contract.conform(table)))
    expected = predictor.predict(table).values
    assert len(set(expected.tolist())) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("times", [0, 1, 5], ids=["none grown", "one grown", "some grown"])
def test_trees_of_a_forest_may_be_single_leaves(trained: ModuleType, times: int) -> None:
    predictor = grown(trained, "multiclass")["forest"]
    forest = predictor.members[0].fitted.trees
    assert forest is not None
    leaf = {"feature": [-2], "threshold": [0.0], "left": [-1], "right": [-1], "missing_left": [False]}
    single = [Splits.of_nodes({**leaf, "value": [[0.1 * place, 0.5, 0.2]]}) for place in range(3)]
    whole = load_trees(forest)
    assert isinstance(whole, SplitTrees)
    some = [single[0], *[whole.arrays] * times, *single[1:]]
    text = json.dumps({**json.loads(forest.text), **packed_forest(Splits.joined(some))})
    altered = with_trees(predictor, text, forest)
    session = onnxruntime.InferenceSession(onnx_model(altered).SerializeToString())
    draw = np.random.default_rng(0)
    numbers = enumerate(draw.normal(size=len(LEVELS)).tolist())
    cells = [(a, None if place % 5 == 0 else a / 5, LEVELS[place]) for place, a in numbers]
    rows = rows_of([*cells, (None, None, None), (0.1, 0.1, "unseen")])
    (found,) = session.run(["probabilities"], feeds(altered.layout, rows))
    expected = altered.predict(rows).probabilities
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=1e-14)
