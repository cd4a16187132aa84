"""Texts with stray quote marks, cut by array operations, against a reader that goes from field to field."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lanewise.data.text.stray_quotes import scan_loosely

_OPENS, _CLOSES = r'"(?!")', r",|\r?\n|\Z"
_INNER = re.compile(rf'[^"\n,]+|[\n,](?!{_OPENS})|""|"(?!{_CLOSES})')
_CLOSED = re.compile(rf'"(?={_CLOSES})')
_PLAIN = re.compile(r"[^,\n]*")


def split_records(text: str) -> list[tuple[list[str], int]]:
    """Cells and first line of each record: the definition of what a stray mark is, one field after the other."""
    text = text.removesuffix("\r")
    records: list[tuple[list[str], int]] = []
    at, line = 0, 1
    while at < len(text):
        cells, end = cut(text, at)
        records.append((cells, line))
        line += text.count("\n", at, end) + 1
        at = end + 1
    return records


def cut(text: str, at: int) -> tuple[list[str], int]:
    """Cells of the record that starts at a place, and where its line end is."""
    cells: list[str] = []
    while True:
        inner = quoted(text, at)
        plain = inner is None
        if inner is None:
            match = _PLAIN.match(text, at)
            assert match is not None
            cells.append(match[0])
            at = match.end()
        else:
            cells.append(inner.replace('""', '"'))
            at += len(inner) + 2
        at += text.startswith("\r\n", at)
        if at >= len(text) or text[at] == "\n":
            if plain:
                cells[-1] = cells[-1].removesuffix("\r")
            return cells, at
        at += 1


def quoted(text: str, at: int) -> str | None:
    """What lies between the marks of the quoted cell that starts at a place; None where none does."""
    if not text.startswith('"', at):
        return None
    end = at + 1
    while match := _INNER.match(text, end):  # piece by piece: Python 3.11.2 errs in possessive patterns
        end = match.end()
    return text[at + 1 : end] if _CLOSED.match(text, end) else None


def texts(alphabet: str, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(list(alphabet)), max_size=most).map("".join)


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(texts('",\na', 24), texts('"",\r\naä ', 40), texts('"""",\n', 16)))
@example(text='"a","b\nc",d"e\r\n"f,g')
def test_records_are_those_of_the_reader_by_fields(text: str) -> None:
    expected, records = split_records(text), scan_loosely(text.encode(), ",")
    found = [(records.cells(row), records.line(row)) for row in range(records.fields.size)]
    assert found == expected
    assert records.fields.tolist() == [len(cells) for cells, _ in expected]
    for width in set(records.fields.tolist()):
        keep = records.fields == width
        # polars has no text for an empty cell, and takes a carriage return at the end of one for that of the line.
        rows = [[(cell or "").removesuffix("\r") for cell in row] for row in records.frame(keep, width).rows()]
        assert rows == [[cell.removesuffix("\r") for cell in cells] for cells, _ in expected if len(cells) == width]
