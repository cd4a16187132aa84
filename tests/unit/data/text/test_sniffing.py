"""Delimiters, quote marks and what stands before the table."""

import pytest

from lanewise.data.text.records import NO_DELIMITER
from lanewise.data.text.sniffing import find_delimiter, find_records, skip_preface


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\nx, y\tz, w\nu, v\tq\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("id,tags,x\n1,a|b,3\n2,c|d,4\n", ","),
        ('text;n\n"a, b, c";1\n"d, e";2\n', ";"),
        ('a,b\n"x;y;z",1\n"u;v;w",2\n', ","),
        ("ham\thello, you\nspam\twin, now, or, never\n", "\t"),
        ("a film, they say, to see .\ndull , dull\nno comma here\n", NO_DELIMITER),
        ("value\n1\n2\n", NO_DELIMITER),
    ],
)
def test_delimiter(sample: str, delimiter: str) -> None:
    assert find_delimiter(sample.encode()) == delimiter


def cells(text: str) -> tuple[list[list[str]], list[str]]:
    records, _, findings = find_records(text.encode(), None, first_line=1)
    return [records.cells(row) for row in range(len(records.fields))], [finding.code for finding in findings]


def test_proper_quotes() -> None:
    assert cells('a,b\n"x,""y""\nz",1\n"",2\n') == ([["a", "b"], ['x,"y"\nz', "1"], ["", "2"]], [])


def test_blanks_before_quotes_and_backslash_escapes() -> None:
    expected = [["a", "b"], ['x, "y"', "1"], ["z", "2"]]
    assert cells(
        'a, b\n "x, \\"y\\"", 1\n "z", 2\n'.replace(", b", ",b").replace(", 1", ",1").replace(", 2", ",2")
    ) == (
        expected,
        ["unusual_quotes"],
    )


def test_an_escaped_quote_before_a_delimiter_ends_no_cell_but_the_backslash_of_a_path_stays() -> None:
    rows = 'a,b\n"say \\"hi\\", he said",1\n"z",2\n'
    assert cells(rows) == ([["a", "b"], ['say "hi", he said', "1"], ["z", "2"]], ["unusual_quotes"])
    paths = 'a,b\n"the \\"C:\\",1\n"D:\\",2\n'
    assert cells(paths)[0] == [["a", "b"], ['the "C:\\', "1"], ["D:\\", "2"]]


def test_single_quotes() -> None:
    assert cells("a,b\n'x,y',1\n'z',2\n") == ([["a", "b"], ["x,y", "1"], ["z", "2"]], ["single_quotes"])


def test_apostrophes_are_no_quotes() -> None:
    assert cells("a,b,c\n,,'\n,,'\n") == ([["a", "b", "c"], ["", "", "'"], ["", "", "'"]], [])
    assert cells("aaa,bbb\n','\n") == ([["aaa", "bbb"], ["'", "'"]], [])
    assert cells("a,b\nit's,1\nthat's,2\n") == ([["a", "b"], ["it's", "1"], ["that's", "2"]], [])


def test_quotes_that_are_not_quotes() -> None:
    rows, codes = cells('ham\t"so he said\nspam\tsize 5" only\nham\tfine\n')
    assert rows == [["ham", '"so he said'], ["spam", 'size 5" only'], ["ham", "fine"]]
    assert codes == ["stray_quotes"]


@pytest.mark.parametrize("cell", ["w", '"w,w"'])
def test_a_quote_mark_that_nothing_closes_is_warned_of_with_its_line(cell: str) -> None:
    rows = [f"{row},{cell},x" for row in range(20)]
    text = "\n".join(["a,b,c", *rows, '3,"w,x', *rows, '4,"v,x', ""])
    _, _, (found,) = find_records(text.encode(), None, first_line=1)
    assert (found.severity, found.count) == ("warning", 2)
    assert found.message.startswith("2 quote marks that nothing closes (the first in line 22) may cut rows")


def test_stray_quotes_between_real_ones() -> None:
    rows, codes = cells('a,b\n"x, y",1\n5" disk,2\n"u, v",3\n')
    assert rows == [["a", "b"], ["x, y", "1"], ['5" disk', "2"], ["u, v", "3"]]
    assert codes == ["stray_quotes"]


def test_comment_block_and_blank_lines_are_skipped() -> None:
    preface = skip_preface(b"\n# about\n#\n\na,b\n1,2\n")
    assert (preface.text, preface.first_line, preface.comments) == (b"a,b\n1,2\n", 5, 2)


def test_header_behind_a_comment_mark_is_kept() -> None:
    preface = skip_preface(b"# note\n# a,b\n1,2\n")
    assert (preface.text, preface.first_line, preface.comments) == (b"a,b\n1,2\n", 2, 1)
    assert preface.marked


def test_comment_with_the_table_s_width_above_a_header_is_a_comment() -> None:
    preface = skip_preface(b"# made, by us\na,b\n1,2\n")
    assert preface.text == b"a,b\n1,2\n"
    assert not preface.marked


@pytest.mark.parametrize(
    ("line", "delimiter"), [(b"sep=;", ";"), (b'"sep=;"', ";"), (b"sep=\t", "\t"), (b"sep=;;;", ";")]
)
def test_the_line_that_names_the_delimiter_is_known_however_it_was_saved(line: bytes, delimiter: str) -> None:
    preface = skip_preface(line + b"\r\na;b\r\n1;2\r\n")
    assert (preface.delimiter, preface.text) == (delimiter, b"a;b\r\n1;2\r\n")


def test_excel_names_its_delimiter() -> None:
    preface = skip_preface(b"sep=;\na;b\n1;2\n")
    assert (preface.delimiter, preface.text) == (";", b"a;b\n1;2\n")


def test_the_semicolon_of_an_entity_of_html_separates_nothing() -> None:
    lines = [b"text,y", *(b"x &amp; y%d &#39;z&#39;,%d.5" % (n, n) for n in range(20))]
    assert find_delimiter(b"\n".join(lines)) == ","
