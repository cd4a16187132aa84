"""Delimited text as a table: header, ragged rows, blank rows, titles, limits."""

import pytest

from lanewise.data.read_options import ReadOptions
from lanewise.data.text import delimited
from lanewise.data.text.delimited import TextTable, parse
from lanewise.data.text.headers import looks_like_header
from lanewise.errors import DataError


def table(text: str | bytes, **options) -> TextTable:
    return parse(text if isinstance(text, bytes) else text.encode(), name="t.csv", options=ReadOptions(**options))


def codes(found: TextTable) -> dict[str, int | None]:
    return {finding.code: finding.count for finding in found.findings}


def refusal(text: str | bytes, **options) -> str:
    with pytest.raises(DataError) as caught:
        table(text, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_few_ragged_rows_are_set_aside_with_their_lines() -> None:
    found = table("a,b\n" + "1,2\n" * 100 + '"x\ny"\n1,2,3\n3,4\n')
    assert found.frame.height == 101
    assert found.frame.row(100) == ("3", "4")
    assert codes(found) == {"ragged_rows": 2}
    assert found.findings[0].message.endswith(": line 102 has 1, line 104 has 3")


def test_ragged_rows_beyond_those_named_are_counted() -> None:
    found = table("a,b\n" + "1,2\n" * 200 + "1,2,3\n" * 5)
    assert found.findings[0].message.endswith(": line 202 has 3, line 203 has 3, line 204 has 3, and 2 more")


def test_many_ragged_rows_refuse_the_file() -> None:
    message = refusal("# note\na,b\n" + "1,2\n" * 90 + "1\n" * 10)
    assert message.startswith("t.csv has 10 of 100 rows without the expected 2 fields, first line 93 with 1")


def test_five_in_a_hundred_are_still_accepted() -> None:
    assert codes(table("a,b\n" + "1,2\n" * 95 + "1\n" * 5)) == {"ragged_rows": 5}


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2,\n3,4,\n", "a,b,\n1,2,\n3,4,\n", "a,b,,\n1,2,,\n3,4,,\n", "a,b,\n1,2\n3,4\n", "a,b\n1,2,,\n3,4\n"],
)
def test_trailing_delimiters_are_not_ragged(text: str) -> None:
    found = table(text)
    assert found.frame.columns == ["a", "b"]
    assert found.frame.rows() == [("1", "2"), ("3", "4")]
    assert "ragged_rows" not in codes(found)


def test_absent_fields_of_an_empty_last_column_are_not_ragged_and_rows_keep_their_order() -> None:
    found = table("a,b,note\n1,2\n3,4,\n5,6\n")
    assert found.frame["a"].to_list() == ["1", "3", "5"]
    assert codes(found) == {}


def test_absent_fields_of_a_filled_last_column_are_ragged() -> None:
    assert "2 of 3 rows" in refusal("a,b,note\n1,2\n3,4,x\n5,6\n")


def test_header_without_a_name_for_the_row_names() -> None:
    found = table("a,b\nr1,1,2\nr2,3,4\n")
    assert found.frame.columns == ["column_1", "a", "b"]
    assert "row_names" in codes(found)


def test_no_header() -> None:
    found = table("1,x\n2,y\n3,x\n")
    assert found.frame.columns == ["column_1", "column_2"]
    assert "no_header" in codes(found)
    assert table("1,x\n2,y\n", header=True).frame.columns == ["1", "x"]
    assert table("a,b\n1,2\n", header=False).frame.height == 2


def test_of_a_wide_table_few_records_tell_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def told(first: list[str], rest: list[list[str]]) -> bool:
        looked.append(len(rest))
        return looks_like_header(first, rest)

    monkeypatch.setattr(delimited, "looks_like_header", told)
    monkeypatch.setattr(delimited, "_SAMPLE_CELLS", 1_000)
    for columns in (2, 10, 200):
        header = ",".join(f"c{place}" for place in range(columns))
        found = table("\n".join([header, *[",".join(["1"] * columns)] * 220]))
        assert found.frame.shape == (220, columns)
    assert looked == [220, 99, 24]


def test_names_that_are_expected_settle_the_header() -> None:
    text = "x,y\nx,z\nx,y\nx,z\n"
    assert table(text).frame.height == 4
    assert table(text, kinds={"y": "category"}).frame.columns == ["x", "y"]
    assert table("a,b\n1,2\n", kinds={"column_1": "number"}).frame.height == 2


def test_blank_rows_comments_and_titles_are_counted() -> None:
    found = table(',,\nSales,,\na,b,c\n\n1,2,3\n# note\n , ,\n"","",""\n4,5,6\n\n')
    assert found.frame.rows() == [("1", "2", "3"), ("4", "5", "6")]
    assert codes(found) == {"title_lines": 1, "comment_lines": 1, "blank_lines": 5}


def test_a_header_behind_a_comment_mark_is_counted() -> None:
    found = table('# "ID",NAME\n1,x\n2,y\n')
    assert found.frame.columns == ["ID", "NAME"]
    assert codes(found) == {"marked_header": 1}


def test_hash_as_a_value_is_no_comment() -> None:
    assert table("a,b\n1,2\n#3,4\n").frame["a"].to_list() == ["1", "#3"]


def test_empty_columns_without_name_are_dropped_and_named_ones_kept() -> None:
    found = table("a,,b,\n1,,,\n2,,,\n")
    assert found.frame.columns == ["a", "b"]
    assert codes(found) == {"empty_columns": 2}


def test_a_table_behind_comment_marks_is_refused_with_what_to_do() -> None:
    told = refusal("#a,b\n#1,2\n\n#3,4\n")
    assert "every line begins with '#'" in told
    assert "take the marks away, or put a line with the names of the columns, without '#', first" in told
    assert table("a,b\n#1,2\n#3,4\n").frame["a"].to_list() == ["#1", "#3"]


@pytest.mark.parametrize("text", ["\n \n", "# only\n# comments\n"])
def test_nothing_but_blanks_or_comments(text: str) -> None:
    assert "has no table" in refusal(text)


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "a,b\n,\n\n"])
def test_header_without_rows(text: str) -> None:
    assert "has a header but no rows" in refusal(text)


def test_limits_on_lines_and_columns() -> None:
    told = refusal("a\n" + "x" * 2000 + "\nb\n", max_line_bytes=1000)
    assert "line 2, more than the allowed 1,000" in told
    assert told.endswith("Python takes longer ones by ReadOptions(max_line_bytes=...)"), (
        "the command line has no option"
    )
    assert "row of 1,507 bytes at line 2" in refusal('a,b\n"' + "x\n" * 750 + '",1234\n', max_line_bytes=1000)
    assert "5 fields in line 1, more than the allowed 4 columns" in refusal("a,b,c,d,e\n1,2,3,4,5\n", max_columns=4)


def test_stated_delimiter_wins() -> None:
    assert table("a:b,c\n1:2,3\n", delimiter=":").frame.rows() == [("1", "2,3")]


@pytest.mark.parametrize("quoted", [False, True], ids=["scanned", "loose"])
def test_rows_of_empty_cells_are_rows_only_where_that_is_asked_for(quoted: bool) -> None:
    odd = '5" disk' if quoted else "5"  # a stray quote mark: such texts are read record by record
    text = f"\n,,\na,b,c\n1,2,{odd}\n,,\n\n , ,\n  \n,\n4,5,6\n,,\n"
    found = table(text)
    assert found.frame.rows() == [("1", "2", odd), ("4", "5", "6")]
    assert codes(found)["blank_lines"] >= 6
    kept = table(text, keep_empty=True)
    assert [any((cell or "").strip() for cell in row) for row in kept.frame.rows()] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    assert codes(kept)["empty_rows"] == 4


def test_a_row_is_kept_for_any_cell_of_it_that_is_not_blank() -> None:
    text = b"a,b,c\n1,,\n,,\n, ,\n,2,\n,,3\n"
    table = parse(text, name="table", options=ReadOptions())
    assert table.frame.rows() == [("1", None, None), (None, "2", None), (None, None, "3")]


@pytest.mark.parametrize("end", [b"\n", b"", b"\n\n\n"])
def test_rows_in_one_stretch_of_the_text_are_those_with_others_between(end: bytes) -> None:
    rows = b"1,x\n2,y\n3,z"
    together = parse(b"a,b\n" + rows + end, name="table", options=ReadOptions()).frame
    apart = parse(b"a,b\n" + rows.replace(b"2", b"\n2") + end, name="table", options=ReadOptions()).frame
    assert together.rows() == apart.rows() == [("1", "x"), ("2", "y"), ("3", "z")]


def test_line_ends_of_two_kinds_are_told() -> None:
    mixed = table("a,b,c\n" + "1,2,3\n" * 30 + "1,2,3\r4,5\n")
    assert codes(mixed) == {"ragged_rows": 1, "lone_returns": 1}
    assert "1 carriage return inside rows" in mixed.findings[-1].message
    for text in ("a,b\r\n1,2\r\n", "a,b\r1,2\r", 'a,b\n"1\r2",2\n', "a,b\r\r\n1,2\r\r\n", "a,b\n1,2\r"):
        assert codes(table(text)) == {}
