"""Tables whose cells stand apart by blanks alone."""

from pathlib import Path

import pytest

from lanewise.data.reading import read
from lanewise.data.text.aligned_text import tabs_for_blanks


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (b"a  b\n 1   2\n10  20 \n", b"a\tb\n1\t2\n10\t20\n"),
        (b"a b\r\n1 2\r\n3 4\r\n", b"a\tb\r\n1\t2\r\n3\t4\r\n"),
        (b"  1 -2e3 .5\n  4 5. x", b"1\t-2e3\t.5\n4\t5.\tx"),
        (b'"len" "of it"\n"1" 4.2 "V C"\n"2" 11 "OJ"\n', b'"len"\t"of it"\n"1"\t4.2\t"V C"\n"2"\t11\t"OJ"\n'),
    ],
)
def test_blanks_between_cells_become_one_tab(text: bytes, cut: bytes) -> None:
    assert tabs_for_blanks(text) == cut


@pytest.mark.parametrize(
    "text",
    [
        b"text\na good film\na bad one\n",  # prose
        b"a good film\nsome bad one\nthe worst ever\n",
        b"x\n1 234\n2 345\n",  # a thousands mark
        b"a;b\n1 2;3\n4 5;6\n",  # another delimiter
        b"a b c\n1 2 3\n4 5\n6 7 8\n9\n",  # of no one width
        b"1 2 3\n",
        b"",
    ],
)
def test_other_texts_are_left_alone(text: bytes) -> None:
    assert tabs_for_blanks(text) is None


def test_what_r_writes_is_read_with_its_row_names(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text('"len" "supp"\n"1" 4.2 "V C"\n"2" 11.5 "OJ"\n"3" 7.3 "V C"\n')
    table = read(tmp_path / "t.txt")
    assert table.frame["len"].to_list() == [4.2, 11.5, 7.3]
    assert table.frame["supp"].to_list() == ["V C", "OJ", "V C"]
    assert {"aligned_columns", "row_names"} <= {finding.code for finding in table.findings}


def test_new_rows_are_cut_as_those_of_training_were() -> None:
    """Without the target fewer than half of their cells are numbers; the names of the columns settle it."""
    text = b"color   shape   size\nred     round   1.5\nblue    square  2.0\n"
    assert tabs_for_blanks(text) is None
    assert (
        tabs_for_blanks(text, ["color", "shape", "size"]) == b"color\tshape\tsize\nred\tround\t1.5\nblue\tsquare\t2.0\n"
    )
    assert tabs_for_blanks(b"unit id\nUnit 12\nUnit 13\n", ["unit id"]) is None
