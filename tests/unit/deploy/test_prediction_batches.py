"""Files that are too large are predicted a batch at a time: the same lines, and the same words about them."""

from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.data import rows_in_batches as module
from lanewise.data import table_files
from lanewise.data.reading import ReadOptions
from lanewise.deploy import files
from lanewise.deploy import predictor as predicting
from lanewise.errors import DataError

ROWS = 230
WORDS = ("d", "b", "NA", "None", "-", "?", " c ", "never seen", "nor this", "", None)
TEXTS = ("good thing 1", "bad thing 2", "None", "NA", "-", "a word", None)
CODES = ("EU", "AF", "NA", None)
FORMS = {".parquet": pl.DataFrame.write_parquet, ".arrow": pl.DataFrame.write_ipc}


def _strange(seed: int) -> pl.DataFrame:
    """Rows with all that reading mends and the contract tells, in columns of types drawn at random."""
    draw = np.random.default_rng(seed)

    def some(values: Any) -> pl.Series:
        few = draw.permutation(len(values))[: draw.integers(1, len(values) + 1)]
        return pl.Series([values[few[place]] for place in draw.integers(0, len(few), ROWS)], strict=False)

    moments = pl.Series(draw.integers(-9_000_000, 30_000_000, ROWS) * 86_400_000_000).cast(pl.Datetime("us"))
    sizes = some([0, 3, 2**40, 2**40 + 5, None])
    return pl.DataFrame(
        {
            "unused": some([1.0, np.inf]),
            "text": some(TEXTS).cast(pl.String),
            "many": some(CODES if seed % 2 else WORDS).cast(pl.String),
            "Few levels!": some(WORDS).cast(pl.Categorical if seed % 3 == 1 else pl.String),
            "light": pl.Series(draw.normal(size=ROWS)).cast(pl.Float32 if seed % 2 else pl.Float64),
            "heavy": some([1.0, np.inf, -np.inf, np.nan, 1e9, None]).cast(pl.Float64),
            "gaps": some([None, 0.5, -200.0]).cast(pl.Float64),
            "whole": sizes.cast([pl.Int64, pl.UInt64, pl.Float64][seed % 3]),
            "when": [moments, moments.dt.replace_time_zone("Asia/Tokyo"), moments.cast(pl.Date)][seed % 3],
            "words": [["a"]] * ROWS,
        }
    )


def _write(frame: pl.DataFrame, folder: Path, suffix: str, parts: int) -> Path:
    folder.mkdir()
    for part in range(parts):
        start, end = part * frame.height // parts, (part + 1) * frame.height // parts
        rows = frame[start:end]
        FORMS[suffix](rows, folder / f"{part}{suffix}")
    return folder if parts > 1 else folder / f"0{suffix}"


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Too little of it to read any table whole, once it is asked for; batches and blocks are small."""
    monkeypatch.setattr(module, "batch_rows", lambda files: 35)
    monkeypatch.setattr(predicting, "MOST_BLOCK_ROWS", 50)
    monkeypatch.setattr(module, "free_bytes", lambda: 2**60)
    return monkeypatch


def _predicted(predictor: Any, source: Path, options: ReadOptions) -> tuple[type, bytes, tuple[Any, ...]]:
    lines = BytesIO()
    rows, findings = files.rows_to_predict(predictor, source, options=options)
    late = files.write_predictions(predictor, rows, lines)
    return type(rows), lines.getvalue(), (*findings, *late)


def test_lines_and_findings_are_those_of_the_table_in_memory(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    predictor = trained.predictor("binary", "linear")
    options, told = ReadOptions(missing=("-200",)), set[str]()
    for seed in range(6):
        source = _write(_strange(seed), tmp_path / str(seed), (".parquet", ".arrow")[seed % 2], 1 + seed % 3)
        no_memory.setattr(module, "free_bytes", lambda: 2**60)
        way, lines, findings = _predicted(predictor, source, options)
        assert way is files.Dataset
        no_memory.setattr(module, "free_bytes", lambda: 0)
        assert _predicted(predictor, source, options) == (module.RowsInBatches, lines, findings), seed
        told |= {finding.code for finding in findings}
    assert told >= {"infinite_values", "time_zone", "out_of_range", "unseen_levels", "missing_more", "extra_columns"}


def test_lines_and_findings_do_not_depend_on_the_size_of_batches(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    """Cells that are numbers by another mark in each half, dates in another form, and more levels than are kept."""
    no_memory.setattr(module, "free_bytes", lambda: 0)
    frame = _strange(0)[::9]
    whole, half = frame.height, frame.height // 2
    many = pl.Series([f"{n},5" for n in range(half)] + [f"{n}.5" for n in range(half, whole)])
    text = pl.Series(
        [f"2024-01-{1 + n % 28:02}" for n in range(half)] + [f"{1 + n % 28}.3.2024" for n in range(half, whole)]
    )
    frame = frame.with_columns(many=many, text=text)
    source = _write(frame, tmp_path / "table", ".parquet", 2)
    no_memory.setattr("lanewise.data.contract.MOST_UNSEEN", 20)
    found = []
    for rows in (1, 7, whole):
        no_memory.setattr(module, "batch_rows", lambda files, rows=rows: rows)
        found.append(_predicted(trained.predictor("binary", "linear"), source, ReadOptions()))
    no_memory.setattr(module, "free_bytes", lambda: 2**60)
    at_once = _predicted(trained.predictor("binary", "linear"), source, ReadOptions())
    assert found == [(module.RowsInBatches, *at_once[1:])] * 3


def test_words_that_look_like_numbers_are_what_the_contract_says(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    no_memory.setattr(module, "free_bytes", lambda: 0)
    found = []
    for last in ("9", "x"):
        frame = _strange(0).with_columns(many=pl.Series([*map(str, range(10, ROWS + 9)), last]))
        source = _write(frame, tmp_path / last, ".parquet", 1)
        for free in (0, 2**60):
            no_memory.setattr(module, "free_bytes", lambda free=free: free)
            findings = files.rows_to_predict(trained.predictor("binary", "linear"), source)[1]
            found += [finding for finding in findings if finding.code in ("numbers_as_words", "dates_as_words")]
    assert found == []


def test_what_is_told_by_all_cells_is_read_whole(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    no_memory.setattr(module, "free_bytes", lambda: 0)
    predictor = trained.predictor("binary", "linear")
    for name, cells in {"light": ["1,5", *["2,5"] * (ROWS - 1)], "whole": [2**63, *[1] * (ROWS - 1)]}.items():
        dtype = pl.String if name == "light" else pl.UInt64
        frame = _strange(0).with_columns(pl.Series(name, cells, dtype=dtype))
        source = _write(frame, tmp_path / name, ".parquet", 1)
        assert isinstance(files.rows_to_predict(predictor, source)[0], files.Dataset)


def test_a_stated_limit_and_a_file_made_to_exhaust_are_refused_as_ever(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    no_memory.setattr(module, "free_bytes", lambda: 0)
    predictor = trained.predictor("binary", "linear")
    source = _write(_strange(0), tmp_path / "table", ".parquet", 1)
    with pytest.raises(DataError, match=r"allow more \(max_bytes\)"):
        files.rows_to_predict(predictor, source, options=ReadOptions(max_bytes=1000))
    no_memory.setattr(module, "MOST_PACKED", 0)
    assert isinstance(files.rows_to_predict(predictor, source)[0], files.Dataset)


def test_absent_columns_and_changed_files_are_told(
    trained: ModuleType, tmp_path: Path, no_memory: pytest.MonkeyPatch
) -> None:
    no_memory.setattr(module, "free_bytes", lambda: 0)
    predictor = trained.predictor("binary", "linear")
    source = _write(_strange(0).rename({"when": "When"}), tmp_path / "absent", ".parquet", 1)
    with pytest.raises(DataError, match=r"lacks 'when' \(it has 'When'\)"):
        files.rows_to_predict(predictor, source)
    source = _write(_strange(0), tmp_path / "changed", ".parquet", 1)
    rows, _ = files.rows_to_predict(predictor, source)
    _strange(0).head(9).write_parquet(source)
    out = tmp_path / "out.csv"
    with out.open("wb") as file, pytest.raises(DataError, match="changed while it was read"):
        files.write_predictions(predictor, rows, file)


def test_batches_of_long_cells_have_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "BATCH_CELLS", 10_000)
    monkeypatch.setattr(module, "BATCH_CELLS", 10_000)
    draw = np.random.default_rng(0)
    found = {}
    for length in (8, 800):
        cells = [draw.bytes(length // 2).hex() for _ in range(3000)]
        pl.DataFrame({"a": cells}).write_parquet(tmp_path / f"{length}.parquet")
        source = table_files.table_files(tmp_path / f"{length}.parquet")
        assert source is not None
        found[length] = module.batch_rows(source)
    assert found[8] > 2000
    assert 64 <= found[800] < 110


def test_the_size_of_a_parquet_file_of_numbers_is_told_by_its_cells_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "parquet_size", lambda content: asked.append("parquet") or 10_000)
    found = []
    for cells in ([0.5] * 100, ["word"] * 100):
        pl.DataFrame({"a": cells}).write_parquet(tmp_path / "a.parquet")
        source = table_files.table_files(tmp_path / "a.parquet")
        assert source is not None
        found.append((module.unpacked_bytes(source), len(asked)))
    assert found == [(800, 0), (10_000, 1)]
