"""Words beyond doubt: the same columns come out as where every grammar looks at every column."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanewise.data.cells import typed_columns, typing_columns
from lanewise.data.cells.date_cells import fit_dates
from lanewise.data.cells.number_cells import fit_numbers
from lanewise.data.cells.plain_words import shares_of_words
from lanewise.data.cells.typed_columns import type_typed_columns
from lanewise.data.cells.typing_columns import type_text_columns
from lanewise.data.kinds import ColumnKind

NUMBERS = ["0", "12", "-3.5", "+.5", "5.", "1,5", "1,234", "1.234,5", "1 234", "1'234.5", "1\u2019234", "12 345,6"]
NUMBERS += ["1e5", "-2.5E-3", "1e999", "9" * 25, "12\u00a0345", "$ 5", "5 €", "+$1,234.5", "7%", "7 %", "£0.5e3"]
NUMBERS += ["12,50 EUR", "-USD 3", "R$ 1.234,5", "12,34,567.5", "12.5-", "1,5- EUR", "(1,092.0)", "$(3.5)", "(3.5 €)"]
LIKE_NUMBERS = [
    "007",
    "1_0",
    "0x1F",
    "0b1",
    "inf",
    "-Infinity",
    "+INF",
    "infinite",
    "\u0661\u0662",
    "5abc",
    "1-2",
    "0/1",
]
DATES = ["2024-01-31", "2024/1/3", "2024.1.3", "31.1.2024", "1/2/24", "13-1-2024", "2024-01-31T08:15:01.5Z"]
DATES += ["1/2/2024 8:15 PM", "2024-01-31 08:15+02:00", "2024-13-45", "2024-01-01 \n8:15"]
WORDS = [
    "v25",
    "a1",
    "no",
    "x",
    "3rd",
    "e5",
    "PM",
    "T",
    "%5",
    "(1)",
    "a\n1",
    "1 2 words",
    "#",
    "--",
    "NaN",
    "NA",
    "-",
    "None",
    "12.5 kg",
    "5 EURO",
]
CELLS = st.one_of(*map(st.sampled_from, (NUMBERS, LIKE_NUMBERS, DATES, WORDS)), st.text("1.,-/ :e$%aT'", max_size=8))
COLUMN = st.one_of(
    st.lists(st.one_of(st.none(), CELLS), min_size=6, max_size=6),
    st.lists(st.one_of(st.sampled_from(WORDS), CELLS), min_size=6, max_size=6),
    *(st.lists(st.sampled_from(kind), min_size=6, max_size=6) for kind in (NUMBERS, DATES, LIKE_NUMBERS)),
)


@pytest.mark.parametrize("cell", [*NUMBERS, *DATES, *LIKE_NUMBERS[:9]])
def test_whatever_a_grammar_or_a_form_reads_is_not_beyond_doubt(cell: str) -> None:
    assert shares_of_words(pl.DataFrame({"x": [cell]})) == {"x": 0.0}


@settings(deadline=None)
@given(cell=CELLS)
def test_what_is_beyond_doubt_no_grammar_and_no_form_reads(cell: str) -> None:
    column = pl.Series("x", [cell.strip()])
    if shares_of_words(column.to_frame())["x"]:
        assert not fit_numbers(column).grammars
        assert fit_dates(column, all_cells=False) is None


def told(columns: dict) -> list:
    return [(name, one.kind, one.cells.to_list(), one.findings) for name, one in columns.items()]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.lists(COLUMN, min_size=2, max_size=5), number=st.booleans())
def test_columns_come_out_as_where_every_grammar_looks_at_all(columns: list, number: bool, monkeypatch) -> None:
    frame = pl.DataFrame({f"x{place}": pl.Series(cells, dtype=pl.String) for place, cells in enumerate(columns)})
    kinds: dict[str, ColumnKind] = {"x0": "number" if number else "category"}
    quick = [type_text_columns(frame), type_text_columns(frame, kinds=kinds), type_typed_columns(frame)[0]]
    dated = type_typed_columns(frame, without_dates=True)[0]
    with monkeypatch.context() as patched:
        patched.setattr(typing_columns, "shares_of_words", lambda frame: dict.fromkeys(frame.columns, 0.0))
        patched.setattr(typed_columns, "holding_words", lambda frame: set())
        slow = [type_text_columns(frame), type_text_columns(frame, kinds=kinds), type_typed_columns(frame)[0]]
        assert list(map(told, slow)) == list(map(told, quick))
        assert told(type_typed_columns(frame, without_dates=True)[0]) == told(dated)
