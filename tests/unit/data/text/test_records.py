"""Cutting by array operations: records, fields and lines, or a refusal to cut."""

import numpy as np
import pytest

from lanewise.data.text.records import CR, LF, Dialect, ScannedRecords, scan


def scanned(text: str, *, quote: str | None = '"', line_end: int = LF) -> ScannedRecords:
    records = scan(text.encode(), Dialect(delimiter=",", quote=quote, line_end=line_end))
    assert records is not None
    return records


@pytest.mark.parametrize("text", ['a,b"c"\n', 'a,"b"c\n', '"a\n', 'a""b\n', '"a"\rb,c\n'])
def test_improper_quotes_are_not_cut(text: str) -> None:
    assert scan(text.encode(), Dialect(delimiter=",")) is None


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_fields_lines_and_cells(ending: str) -> None:
    records = scanned('a,b\n"x\ny","p,q"\n\n1,2,3' + ending)
    assert records.fields.tolist() == [2, 2, 1, 3]
    assert records.blank.tolist() == [False, False, True, False]
    assert [records.line(row) for row in range(4)] == [1, 2, 4, 5]
    assert records.cells(1) == ["x\ny", "p,q"]
    assert records.cells(3) == ["1", "2", "3"]


def test_frame_keeps_line_feeds_and_drops_carriage_returns_outside_quotes() -> None:
    records = scanned('"x\r\ny",1\r\nz,2\r\n\r\nw,3')
    frame = records.frame(np.array([True, True, False, True]), 2)
    assert frame.rows() == [("x\r\ny", "1"), ("z", "2"), ("w", "3")]


def test_lone_carriage_returns_as_line_ends() -> None:
    records = scanned('a,b\r"x\ry",2\r', line_end=CR)
    assert records.frame(np.array([True, True]), 2).rows() == [("a", "b"), ("x\ry", "2")]
    assert records.line(1) == 2


def test_every_spare_byte_in_use_still_reads_right() -> None:
    cell = "x\n\x1e\x1d\x1c\x01\x02\x03"
    assert scanned(f'"{cell}",1\n').frame(np.array([True]), 2).rows() == [(cell, "1")]


def test_longest() -> None:
    assert scanned("a,b\nccc,d\n").longest() == (5, 1)
