"""Quote marks that are not all proper: which open and close cells, and which are ordinary characters."""

import sys
from types import FrameType

import numpy as np
import pytest

from lanewise.data.text.sniffing import find_records
from lanewise.data.text.stray_quotes import scan_loosely


def loose_cells(text: str) -> list[list[str]]:
    records = scan_loosely(text.encode(), ",")
    return [records.cells(row) for row in range(records.fields.size)]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('"a",b\r\n', [["a", "b"]]),
        ('a,"b"\r\nc,d\r', [["a", "b"], ["c", "d"]]),
        ('a,"b"\r', [["a", "b"]]),
        ('a,"b"\r\r', [["a", '"b"']]),
        ('a,\n,"x ""y"""\n', [["a", ""], ["", 'x "y"']]),
        ('"a" b,"c"\n', [['"a" b', "c"]]),
        ('"a\nb', [['"a'], ["b"]]),
        ('"5" disk, x",""\n""a""""",', [['5" disk, x', ""], ['"a""', ""]]),
    ],
)
def test_loose_cells(text: str, rows: list[list[str]]) -> None:
    assert loose_cells(text) == rows


def test_cells_in_the_frame_are_those_of_the_records() -> None:
    records = scan_loosely('a,"b\nc"\n5" disk,"x\r\nä,"",1\n'.encode(), ",", first_line=7)
    assert records.fields.tolist() == [2, 2, 3]
    assert records.frame(np.array([True, True, False]), 2).rows() == [("a", "b\nc"), ('5" disk', '"x')]
    assert [records.line(row) for row in range(3)] == [7, 9, 10]


def test_a_mark_far_down_closes_no_cell() -> None:
    far, near = ("x\n" * count for count in (10_000, 100))
    assert len(loose_cells(f'"a,1\n{far}b",2\n')) == 10_002
    assert len(loose_cells(f'"a,1\n{near}b",2\n')) == 1


def test_marks_that_nothing_closes_do_not_end_the_search_for_others() -> None:
    rows = loose_cells('"a,1\n' * 3000 + '"b,c",2\n')
    assert (len(rows), rows[0], rows[-1]) == (3001, ['"a', "1"], ["b,c", "2"])


@pytest.mark.parametrize("row", ['3,"w,x', '3,w"w,x', '"3,4","w,x'])
def test_stray_marks_cost_no_work_of_python_for_each_row(row: str) -> None:
    few, many = (_calls(f"a,b,c\n{row}\n" + '1,"v,w",2\n' * rows + f"{row}\n") for rows in (40_000, 80_000))
    assert many < few + 100


def _calls(text: str) -> int:
    """How many functions are called to find the records of a text."""
    counted = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        del frame, argument
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        find_records(text.encode(), None, first_line=1)
    finally:
        sys.setprofile(before)
    return counted
