"""Long texts are predicted a part at a time: the same lines, and the same words about them."""

import gzip
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from backports import zstd

from lanewise.data import text_in_batches
from lanewise.data.conventions import Convention
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.reading import ReadOptions
from lanewise.data.text import delimited, text_parts
from lanewise.deploy import files
from lanewise.deploy import predictor as predicting
from lanewise.errors import DataError

ROWS = 400


def _refused_alike(predictor: Any, path: Path, short_parts: pytest.MonkeyPatch, words: str) -> None:
    """In one piece and in parts the same sentence refuses it."""
    said = []
    for whole in (True, False):
        with pytest.raises(DataError, match=words) as refused:
            _predicted(predictor, path, short_parts, whole=whole)
        said.append(str(refused.value))
    assert said[0] == said[1]


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Parts of some ten rows each, of any text."""
    monkeypatch.setattr(text_in_batches, "LONG_BYTES", 0)
    monkeypatch.setattr(text_parts, "PART_BYTES", 1200)
    monkeypatch.setattr(delimited, "_SAMPLE_RECORDS", 5)
    monkeypatch.setattr(delimited, "_LEAST_RECORDS", 5)
    monkeypatch.setattr(predicting, "MOST_BLOCK_ROWS", 50)
    return monkeypatch


def _predictor(trained: ModuleType, **conventions: Convention) -> Any:
    predictor = trained.predictor("binary", "linear")
    known = {"number": Convention(decimal="."), "date": Convention(dates="Y-m-d")}
    columns = tuple(
        replace(column, convention=conventions.get(column.name, known.get(column.kind)))
        for column in predictor.contract.columns
    )
    return replace(predictor, contract=replace(predictor.contract, columns=columns))


def _lines(trained: ModuleType, **columns: Any) -> list[str]:
    frame = trained.table("binary", rows=ROWS, seed=5).frame.drop("y").with_columns(**columns)
    return frame.write_csv().splitlines()


def _predicted(
    predictor: Any, path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool, options: ReadOptions | None = None
) -> tuple[type, bytes, tuple[Finding, ...]]:
    with monkeypatch.context() as patch:
        if whole:
            patch.setattr(text_in_batches, "LONG_BYTES", 2**60)
        lines = BytesIO()
        rows, findings = files.rows_to_predict(predictor, path, options=options)
        late = files.write_predictions(predictor, rows, lines)
    return type(rows), lines.getvalue(), (*findings, *late)


def _alike(
    predictor: Any, path: Path, monkeypatch: pytest.MonkeyPatch, options: ReadOptions | None = None
) -> tuple[Finding, ...]:
    """What is found of a file that is predicted alike as a whole and in parts."""
    way, lines, findings = _predicted(predictor, path, monkeypatch, whole=True, options=options)
    assert way is Dataset
    assert _predicted(predictor, path, monkeypatch, whole=False, options=options) == (
        text_in_batches.TextInBatches,
        lines,
        findings,
    )
    return findings


def test_lines_and_findings_are_those_of_the_text_in_memory(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    header, *rows = _lines(trained)
    rows[7] = re.sub(r"level \d+", '"never, ""seen""\nlevel"', rows[7])
    rows[200] = "," * header.count(",")
    rows[300:300] = ["", "   ", "# a comment", "", "," * header.count(",") + ",,"]
    rows[90] += ",,"
    text = "\n".join(["# made by hand", "", header, *rows]) + "\n"
    path.write_text(text, encoding="utf-8")
    found = {finding.code: finding for finding in _alike(predictor, path, short_parts)}
    assert {"comment_lines", "empty_rows", "blank_lines", "unseen_levels"} <= found.keys()
    assert found["blank_lines"].count == 3


def test_cells_that_cannot_be_read_are_counted_over_all_parts_and_shown_with_their_rows(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    gaps = [f"{n}.5" for n in range(ROWS)]
    gaps[150], gaps[390] = "1,5", "old"
    when = ["2024-02-03"] * ROWS
    when[300] = "03/02/2024"
    path.write_text("\n".join(_lines(trained, gaps=pl.Series(gaps), when=pl.Series(when))), encoding="utf-8")
    found = {
        one.column: one for one in _alike(_predictor(trained), path, short_parts) if one.code == "unreadable_cells"
    }
    assert found["gaps"].count == 2
    assert "'1,5' in row 151, 'old' in row 391" in found["gaps"].message
    assert "'03/02/2024' in row 301" in found["when"].message


def test_a_column_written_otherwise_throughout_is_told_by_all_parts(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    gaps = pl.Series(["7"] * (ROWS - 3) + ["1,5", "2,25", "1,234"])
    path.write_text("\n".join(_lines(trained, gaps=gaps)), encoding="utf-8")
    (finding,) = (one for one in _alike(_predictor(trained), path, short_parts) if one.code == "written_otherwise")
    assert (finding.column, finding.count) == ("gaps", 3)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "mark", "utf-16", "cp1252", "crlf", "semicolons"])
def test_packed_and_encoded_texts_are_read_alike(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch, kind: str
) -> None:
    path, options = tmp_path / "rows.csv", None
    text = "\n".join(_lines(trained)) + "\n"
    content = text.encode()
    if kind == "gzip":
        content = gzip.compress(text.encode())
    elif kind == "zstd":
        content = zstd.compress(text.encode())
    elif kind == "mark":
        content = b"\xef\xbb\xbf" + content
    elif kind == "utf-16":
        content = b"\xff\xfe" + text.encode("utf-16-le")
    elif kind == "cp1252":
        content, options = text.encode("cp1252"), ReadOptions(encoding="cp1252")
    elif kind == "crlf":
        content = text.replace("\n", "\r\n").encode()
    else:
        content = text.replace(",", ";").encode()
    path.write_bytes(content)
    _alike(_predictor(trained), path, short_parts, options)


def test_ragged_rows_are_refused_as_in_memory(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    header, *rows = _lines(trained)
    for odd, share in ((["a,b", "c,d", "e,f,g", "h"], "cannot be predicted row by row"), (["a,b"] * 40, "mend them")):
        path.write_text("\n".join([header, *rows[:100], *odd[:2], *rows[100:], *odd[2:]]), encoding="utf-8")
        _refused_alike(predictor, path, short_parts, share)


def test_rows_whose_last_columns_are_empty_throughout_are_filled_up(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    header, *rows = _lines(trained)
    lines = [header + ",more,", *(row + (",," if n % 3 else "") for n, row in enumerate(rows))]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = _alike(_predictor(trained), path, short_parts)
    assert {"empty_columns", "extra_columns"} <= {finding.code for finding in found}


def test_offsets_to_utc_that_only_some_parts_have_are_missing_cells_in_parts_too(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    when = pl.Series(["2024-02-03T10:00"] * 300 + ["2024-02-03T10:00Z"] * 100)
    path.write_text("\n".join(_lines(trained, when=when)), encoding="utf-8")
    found = _alike(_predictor(trained), path, short_parts)
    assert [finding.count for finding in found if finding.code == "unreadable_cells"] == [100]


@pytest.mark.parametrize("kind", ["one bad byte", "stray quote", "single quotes", "no convention", "a limit", "json"])
def test_what_parts_do_not_tell_is_read_whole(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch, kind: str
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    header, *rows = _lines(trained)
    content = "\n".join([header, *rows]).encode()
    if kind == "one bad byte":
        content = content.replace(b"level 1", b"lev\xe9l 1", 1) + b"\n"
    elif kind == "stray quote":
        content = content.replace(b"level 1", b'lev"el 1')
    elif kind == "single quotes":
        content = re.sub(rb"level \d+", rb"'\g<0>'", content)
    elif kind == "no convention":
        predictor = trained.predictor("binary", "linear")
    elif kind == "json":
        content = (
            trained.table("binary", rows=50).frame.with_columns(pl.col("when").cast(pl.String)).write_ndjson().encode()
        )
    path.write_bytes(content)
    if kind == "a limit":
        with pytest.raises(DataError, match="more than the allowed 1,000 bytes"):
            files.rows_to_predict(predictor, path, options=ReadOptions(max_bytes=1000))
        return
    assert isinstance(files.rows_to_predict(predictor, path)[0], Dataset)


def test_absent_and_unreadable_columns_and_changed_files_are_told(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    path.write_text("\n".join(_lines(trained)).replace("when", "When", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"lacks 'when' \(it has 'When'\)"):
        files.rows_to_predict(predictor, path)
    path.write_text("\n".join(_lines(trained, gaps=pl.lit("old"))), encoding="utf-8")
    with pytest.raises(DataError, match="'gaps' must be number, which none of its 400 cells is"):
        files.rows_to_predict(predictor, path)
    path.write_text("\n".join(_lines(trained)), encoding="utf-8")
    rows, _ = files.rows_to_predict(predictor, path)
    path.write_text("\n".join(_lines(trained)[:9]), encoding="utf-8")
    with pytest.raises(DataError, match="changed while it was read"):
        files.write_predictions(predictor, rows, BytesIO())


@pytest.mark.parametrize("change", ["empty", "gone", "damaged"])
def test_a_file_that_is_another_one_in_the_last_pass_is_told(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch, change: str
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    path.write_text("\n".join(_lines(trained)), encoding="utf-8")
    rows, _ = files.rows_to_predict(predictor, path)
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if change == "empty" else b"\xff" * 5000)
    with pytest.raises(DataError, match="changed while it was read"):
        files.write_predictions(predictor, rows, BytesIO())


def test_rows_that_are_all_shorter_than_the_header_and_web_pages_are_refused_as_in_memory(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    predictor, path = _predictor(trained), tmp_path / "rows.csv"
    header, *rows = _lines(trained)
    for lines, words in (([header + ",more", *rows], "mend them"), (["<html>", header, *rows], "is a web page")):
        path.write_text("\n".join(lines), encoding="utf-8")
        _refused_alike(predictor, path, short_parts, words)


def test_no_part_is_longer_than_it_has_to_be(
    trained: ModuleType, tmp_path: Path, short_parts: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(_lines(trained)), encoding="utf-8")
    read: list[int] = []
    scan = text_parts.scan
    short_parts.setattr(
        text_parts, "scan", lambda text, *rest, **more: read.append(len(text)) or scan(text, *rest, **more)
    )
    short_parts.setattr("lanewise.data.sources._CHUNK", 500)
    rows, _ = files.rows_to_predict(_predictor(trained), path)
    assert isinstance(rows, text_in_batches.TextInBatches)
    assert rows.rows == ROWS
    assert max(read) < 2400 < path.stat().st_size / 10
    assert np.mean(read) > 1000
