"""Prediction files: one exact line for each row, in order, or a refusal."""

import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.data.reading import ReadOptions, read_like
from lanewise.deploy import predictor as module
from lanewise.deploy.files import predict_file
from lanewise.errors import DataError

KINDS = ("regression", "count", "binary", "multiclass")


def _write(trained: ModuleType, kind: str, path: Path) -> Path:
    trained.unusual(kind).frame.drop("y").write_csv(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_lines_read_back_exactly(trained: ModuleType, kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    source, out = _write(trained, kind, tmp_path / "rows.csv"), tmp_path / "out.csv"
    predictor = trained.predictor(kind, "linear", "lightgbm")
    monkeypatch.setattr(module, "MOST_BLOCK_ROWS", 50)
    written = predict_file(predictor, source, out)
    kinds = predictor.contract.conform(trained.table(kind)).kinds
    found = predictor.predict(read_like(source, kinds, options=ReadOptions(keep_empty=True)))
    with out.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file))
    columns = np.array(lines, dtype=object).T
    assert written.rows == len(lines) > 100
    assert out.stat().st_mode == source.stat().st_mode, "who may read the rows may read the predictions"
    if predictor.task.is_classification:
        assert header == ["prediction", *(f"probability_{name}" for name in predictor.task.classes)]
        assert columns[0].tolist() == found.values.tolist()
        np.testing.assert_array_equal(columns[1:].astype(float).T, found.probabilities)
    else:
        assert header == ["prediction", "low", "high"]
        np.testing.assert_array_equal(columns.astype(float), [found.values, found.low, found.high])


def test_odd_class_names_are_quoted(trained: ModuleType, tmp_path: Path) -> None:
    rows = trained.table("multiclass")
    names = {"low": 'lo,"w', "middle": " mid\ndle", "high": "=hïgh"}
    frame = rows.frame.with_columns(pl.col("y").replace(names)).select("light", "gaps", "y")
    problem = trained.pose(
        trained.Dataset(frame=frame, kinds={name: rows.kinds[name] for name in frame.columns}, source="odd"),
        trained.Request(target="y", kind="multiclass"),
    )
    predictor = trained.assembled(problem, trained.train(problem, [trained.candidate("linear")]))
    out = tmp_path / "out.csv"
    predict_file(predictor, frame.drop("y"), out)
    with out.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file))
    assert header[1:] == [f"probability_{name}" for name in predictor.task.classes]
    assert {line[0] for line in lines} <= set(names.values())
    assert len(lines) == trained.ROWS


def test_ragged_rows_are_refused_by_line(trained: ModuleType, tmp_path: Path) -> None:
    source = _write(trained, "binary", tmp_path / "rows.csv")
    lines = source.read_text().splitlines()
    lines[4] += ",1,2"
    source.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out.csv"
    with pytest.raises(DataError, match="line 5 has 10"):
        predict_file(trained.predictor("binary", "linear"), source, out)
    assert not out.exists()


def test_blank_rows_are_counted(trained: ModuleType, tmp_path: Path) -> None:
    source = _write(trained, "binary", tmp_path / "rows.csv")
    lines = source.read_text().splitlines()
    full = [line for line in lines if line.strip(",")]  # rows of empty cells have a test of their own
    source.write_text("\n".join([*full[:4], "", *full[4:], ""]) + "\n")
    out = tmp_path / "out.csv"
    written = predict_file(trained.predictor("binary", "linear"), source, out)
    assert written.rows == len(out.read_text().splitlines()) - 1 == len(full) - 1
    (finding,) = [finding for finding in written.findings if finding.code == "blank_lines"]
    assert finding.severity == "warning"
    assert "no prediction" in finding.message


def test_rows_of_empty_cells_keep_their_place(trained: ModuleType, tmp_path: Path) -> None:
    source = _write(trained, "binary", tmp_path / "rows.csv")
    header, *lines = [line for line in source.read_text().splitlines() if line.strip(",")]
    predictor, out = trained.predictor("binary", "linear"), tmp_path / "out.csv"
    source.write_text("\n".join([header, *lines]) + "\n")
    predict_file(predictor, source, out)
    head, *without = out.read_text().splitlines()
    empty = "," * header.count(",")
    source.write_text("\n".join([header, lines[0], empty, lines[1], f" {empty} ", ",", *lines[2:], empty]) + "\n")
    written = predict_file(predictor, source, out)
    found = out.read_text().splitlines()
    assert written.rows == len(lines) + 4
    assert found[0] == head
    shown = [line.split(",") for line in (found[1], found[3], *found[6:-1])]
    plain = [line.split(",") for line in without]
    assert [line[0] for line in shown] == [line[0] for line in plain]
    # Sums in float32 may end otherwise in their last bits where rows stand in other blocks.
    np.testing.assert_allclose(np.array(shown)[:, 1:].astype(float), np.array(plain)[:, 1:].astype(float), atol=1e-6)
    empties = [found[place].split(",") for place in (2, 4, 5, -1)]  # what the model says of a row it knows nothing of
    assert len({line[0] for line in empties}) == 1
    np.testing.assert_allclose(np.ptp(np.array(empties)[:, 1:].astype(float), axis=0), 0, atol=1e-6)
    (finding,) = [finding for finding in written.findings if finding.code == "empty_rows"]
    assert (finding.count, finding.severity) == (4, "warning")


def test_an_old_file_stays_when_a_column_is_absent(trained: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(DataError, match="'when'"):
        predict_file(trained.predictor("binary", "linear"), trained.table("binary").frame.drop("when"), out)
    assert out.read_text() == "old"
