"""Exported models: the whole way from raw cells to labels, by onnxruntime."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.deploy import onnx_check, onnx_export
from lanewise.deploy.onnx_export import export_onnx
from lanewise.deploy.onnx_inputs import text_counts
from lanewise.deploy.predictor import Predictor
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.errors import DataError, StoreError, UsageError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

KINDS = ("regression", "count", "binary", "multiclass")
TREES = ("lightgbm", "forest", "tree", "few lightgbm", "few forest", "few tree")
MEMBERS = ("linear", "sgd", "margins", "relu", "silu", "gelu", "tanh", "norm", "few linear", "few relu", *TREES)


def exported(predictor: Predictor, path: Path, sample: Any) -> tuple[Any, Any]:
    """The check, and a session on what was written."""
    check = export_onnx(predictor, path, sample)
    return check, onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_member_of_every_kind_agrees(trained: ModuleType, kind: str, name: str, tmp_path: Path) -> None:
    check = export_onnx(trained.predictor(kind, name), tmp_path / "model.onnx", trained.unusual(kind))
    assert check.max_difference <= (1e-5 if name not in TREES else 1e-14)
    of = "probabilities" if kind in ("binary", "multiclass") else "predictions, relative to their size,"
    assert f"huge numbers): {of} differ by at most " in check.words
    assert check.rows > 120
    assert len(check.inputs) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_ensembles_agree_from_raw_cells_to_labels(trained: ModuleType, kind: str, tmp_path: Path) -> None:
    """The inputs are made here by hand from the table, as a user would, from what the metadata says alone."""
    more = {"count": {"interval": trained.FOLLOWING}, "regression": {"interval": trained.FLOORED}}.get(kind, {})
    predictor = trained.predictor(kind, "linear", "norm", "lightgbm", "forest", "tree", threshold=0.37, **more)
    rows = trained.unusual(kind)
    _, session = exported(predictor, tmp_path / "model.onnx", trained.table(kind))
    about = json.loads(session.get_modelmeta().custom_metadata_map["lanewise"])
    given = {}
    for item in about["inputs"]:
        cells = rows.frame[item["column"]]
        if item["kind"] == "number":
            given[item["name"]] = np.array([[np.nan if cell is None else float(cell)] for cell in cells])
        elif item["kind"] == "category":
            given[item["name"]] = np.array([["" if cell is None else cell] for cell in cells], dtype=object)
        elif item["kind"] == "date":
            given[item["name"]] = cells.to_numpy().astype("datetime64[us]").astype(np.int64)[:, None]
        else:
            given[item["name"]] = text_counts(cells, item)
    found = dict(zip([output.name for output in session.get_outputs()], session.run(None, given), strict=True))
    expected = predictor.predict(rows)
    if predictor.task.is_classification:
        np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-5)
        assert found["prediction"].tolist() == expected.values.tolist()
        assert set(found) == {"prediction", "probabilities"}
    else:
        np.testing.assert_allclose(found["prediction"], expected.values, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(found["low"], expected.low, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(found["high"], expected.high, rtol=1e-5, atol=1e-3)
    one = session.run(None, {name: values[:1] for name, values in given.items()})
    assert one[0].shape == (1,)
    assert one[0][0] == pytest.approx(found["prediction"][0])


def test_metadata_names_the_model(trained: ModuleType, tmp_path: Path) -> None:
    sha256 = save_predictor(tmp_path / "model", trained.predictor("binary", "linear", threshold=0.4))
    _, session = exported(load_predictor(tmp_path / "model"), tmp_path / "model.onnx", trained.table("binary"))
    about = json.loads(session.get_modelmeta().custom_metadata_map["lanewise"])
    assert about["sha256"] == sha256
    assert (about["task"], about["target"], about["classes"], about["threshold"]) == ("binary", "y", ["no", "yes"], 0.4)
    assert {item["column"]: item["name"] for item in about["inputs"]}["Few levels!"] == "x_Few_levels_"
    assert [item.name for item in session.get_inputs()] == [item["name"] for item in about["inputs"]]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")  # a model of embeddings alone
@pytest.mark.parametrize("columns", [("many",), ("Few levels!",), ("when",), ("many", "text")], ids="-".join)
def test_tables_of_few_columns_agree(trained: ModuleType, columns: tuple[str, ...], tmp_path: Path) -> None:
    predictor = trained.predictor("multiclass", "linear", "relu", "lightgbm", "tree", columns=columns)
    check = export_onnx(predictor, tmp_path / "model.onnx", trained.unusual("multiclass"))
    assert len(check.inputs) == len(columns)


@pytest.mark.parametrize("scaling", ["robust", "quantile"])
def test_every_scaling_agrees(trained: ModuleType, scaling: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"light": draw.normal(size=80), "heavy": np.exp(2 * draw.normal(size=80))})
    frame = frame.with_columns(y=pl.col("light") + pl.col("heavy").log())
    rows = trained.Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="scaled")
    problem = trained.pose(rows, trained.Request(target="y", kind="regression", scaling=scaling))
    predictor = trained.assembled(problem, trained.train(problem, [trained.candidate("linear")]))
    check = export_onnx(predictor, tmp_path / "model.onnx", rows)
    assert check.max_difference <= 1e-5


def test_names_are_made_valid_and_unique(trained: ModuleType, tmp_path: Path) -> None:
    names = ["cat", "a b", "a_b", "a.b", "größe", "x" * 200, "", "prediction"]
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({name: draw.normal(size=80) for name in names})
    frame = frame.with_columns(y=2 * pl.col("cat") - pl.col("a_b"))
    rows = trained.Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="odd names")
    problem = trained.pose(rows, trained.Request(target="y", kind="regression"))
    predictor = trained.assembled(problem, trained.train(problem, [trained.candidate("linear")]))
    check, session = exported(predictor, tmp_path / "model.onnx", rows)
    assert len(set(check.inputs)) == len(predictor.layout.columns)
    assert all(name.isascii() and name.isidentifier() and name.startswith("x_") for name in check.inputs)
    about = json.loads(session.get_modelmeta().custom_metadata_map["lanewise"])
    given = {item["name"]: frame[item["column"]].to_numpy()[:, None] for item in about["inputs"]}
    np.testing.assert_allclose(session.run(["prediction"], given)[0], predictor.predict(rows).values, rtol=1e-4)


@pytest.mark.parametrize("name", ["linear", "relu", "gelu", "norm"])
def test_float64_members_stay_float64(trained: ModuleType, name: str, tmp_path: Path) -> None:
    problem = trained.posed("regression")
    fitted = trained.train(problem, [trained.candidate(name)], dtype=torch.float64)
    predictor = trained.assembled(problem, fitted, dtype=torch.float64)
    check = export_onnx(predictor, tmp_path / "model.onnx", trained.unusual("regression"))
    assert check.tolerance == (1e-5 if name == "gelu" else 1e-9)


def test_a_model_that_differs_is_not_written(trained: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    right = onnx_export.stacked_response

    def wrong(graph: Any, *rest: Any) -> str:
        return graph.op("Add", right(graph, *rest), graph.constant(1e-4, "float64"))

    monkeypatch.setattr(onnx_export, "stacked_response", wrong)
    with pytest.raises(StoreError, match=r"differ by 0\.0001"):
        export_onnx(trained.predictor("binary", "linear"), tmp_path / "model.onnx", trained.table("binary"))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_is_no_valid_model_is_not_written(trained: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    right = onnx_export.onnx_model

    def nameless(predictor: Any) -> Any:
        model = right(predictor)
        model.graph.name = ""  # onnxruntime runs it all the same
        return model

    monkeypatch.setattr(onnx_export, "onnx_model", nameless)
    with pytest.raises(Exception, match="name"):
        export_onnx(trained.predictor("binary", "linear"), tmp_path / "model.onnx", trained.table("binary"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_member_is_noticed(trained: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    right = onnx_export.onnx_model
    whole = trained.predictor("count", "lightgbm", "tree")
    monkeypatch.setattr(
        onnx_export, "onnx_model", lambda predictor: right(replace(predictor, members=whole.members[:1]))
    )
    with pytest.raises(StoreError, match="differ"):
        export_onnx(whole, tmp_path / "model.onnx", trained.table("count"))


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(trained: ModuleType, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="pip install onnx onnxruntime"):
        export_onnx(trained.predictor("binary", "linear"), tmp_path / "model.onnx", trained.table("binary"))


def test_a_sample_that_lacks_columns_is_refused(trained: ModuleType, tmp_path: Path) -> None:
    rows = trained.table("binary")
    with pytest.raises(DataError, match="'when'"):
        export_onnx(
            trained.predictor("binary", "linear"),
            tmp_path / "model.onnx",
            replace(rows, frame=rows.frame.drop("when")),
        )


def test_a_sample_needs_rows_and_a_large_one_is_thinned(trained: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    rows, predictor = trained.table("binary"), trained.predictor("binary", "linear")
    monkeypatch.setattr(onnx_check, "MOST_ROWS", 100)
    whole = export_onnx(predictor, tmp_path / "model.onnx", rows)
    fewer = export_onnx(predictor, tmp_path / "model.onnx", replace(rows, frame=rows.frame.head(100)))
    assert whole.rows == fewer.rows < trained.ROWS
    with pytest.raises(DataError, match="no rows"):
        export_onnx(predictor, tmp_path / "model.onnx", replace(rows, frame=rows.frame.head(0)))
