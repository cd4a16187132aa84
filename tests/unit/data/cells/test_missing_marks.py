"""Which marks were taken for missing cells is said, with the columns."""

from pathlib import Path

import pytest

from lanewise.data.read_options import ReadOptions
from lanewise.data.reading import read, read_like

TABLE = "age,size,note,code\n31,?,red,EU\nNA,1.8,NA,NA\n NA ,1.7,blue,AF\n,1.6,green,AF\n"


def marks(dataset) -> list:
    return [finding for finding in dataset.findings if finding.code == "missing_marks"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    return path


def test_marks_are_told_with_their_columns_and_cells(table: Path) -> None:
    (finding,) = marks(read(table))
    assert finding.message == (
        "missing cells are written as 'NA' in 'age' (2 cells), 'note' (1); as '?' in 'size' (1 cell)"
    )
    assert (finding.count, set(finding.columns)) == (4, {"age", "size", "note"})


def test_a_level_that_looks_like_a_mark_is_none(table: Path) -> None:
    (finding,) = marks(read(table))
    assert "code" not in finding.message


def test_marks_of_the_user_s_own_need_not_be_told(table: Path) -> None:
    (finding,) = marks(read(table, options=ReadOptions(missing=("blue",))))
    assert "blue" not in finding.message


def test_nothing_is_told_of_empty_cells_and_of_tables_read_like_another(tmp_path: Path, table: Path) -> None:
    empty = tmp_path / "e.csv"
    empty.write_text("a,b\n1,x\n,y\n3, \n")
    assert marks(read(empty)) == []
    assert marks(read_like(table, dict(read(table).kinds))) == []
