"""Reading against an independent parser (``csv`` and ``Decimal``), and against damage.

``FUZZ_EXAMPLES`` in the environment sets the number of examples (default 30).
"""

import csv
import gzip
import io
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lanewise.data.dataset import Dataset
from lanewise.data.reading import ReadOptions, read
from lanewise.errors import DataError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
pytestmark = pytest.mark.slow
MISSING = {"", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "NaN", "nan", "?", "-"}
DOUBTFUL = {"NA", "None", "-"}
INFINITE = {"inf", "1e999"}  # of what is drawn: among numbers it is missing, and named
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WORDS = st.text(alphabet="abcXYZ äßλ,;|\"'\n#:$().-", max_size=12)  # no digits: "1,5" would be a number
INTEGERS = st.integers(-(10**12), 10**12).map(str)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4).map(str)
ODD_NUMBERS = st.sampled_from(
    ["1e5", "-2.5E-3", ".5", "5.", "+7", "007", "1_0", "0x1F", "inf", "9" * 25, "1e999", "١٢"]
)
ANY_CELLS = [WORDS, INTEGERS, DECIMALS, st.one_of(INTEGERS, DECIMALS), st.one_of(INTEGERS, ODD_NUMBERS)]
NAMES = st.lists(st.from_regex(r"[a-z]{3}_[a-z]{1,5}", fullmatch=True), min_size=2, max_size=5, unique=True)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A table as bytes, and its cells as the independent parser reads them."""

    content: bytes
    names: list[str]
    rows: list[list[str]]
    delimiter: str


@st.composite
def columns(draw: st.DrawFn, rows: int) -> list[str]:
    cells = draw(st.sampled_from(ANY_CELLS))
    missing = draw(st.sampled_from(["", "NA", "-", "?", " "]))
    some_missing = st.one_of(st.just(missing), cells, cells, cells)
    return draw(st.lists(some_missing if draw(st.booleans()) else cells, min_size=rows, max_size=rows))


@st.composite
def tables(draw: st.DrawFn, *, min_rows: int = 1, all_numbers: int = 0) -> Written:
    """Tables in many dialects; the last ``all_numbers`` columns hold nothing but numbers."""
    names = draw(NAMES)
    count = draw(st.integers(min_rows, 12))
    drawn = [draw(columns(count)) for _ in names[all_numbers:]]
    drawn += [draw(st.lists(DECIMALS, min_size=count, max_size=count)) for _ in range(all_numbers)]
    rows = [list(row) for row in zip(*drawn, strict=True)]
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = csv.QUOTE_ALL if draw(st.booleans()) else csv.QUOTE_MINIMAL
    if line_end == "\r":
        rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([names, *rows])
    text = stream.getvalue()
    if draw(st.booleans()):
        text = text.removesuffix(line_end)
    parsed = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]
    content = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    if draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    kept = [row for row in parsed if any(cell.strip() for cell in row)]
    return Written(content=content, names=names, rows=kept, delimiter=delimiter)


def read_bytes(folder: Path, content: bytes, options: ReadOptions | None = None) -> Dataset:
    path = folder / "table"
    path.write_bytes(content)
    return read(path, options=options)


def check_column(dataset: Dataset, name: str, cells: list[str]) -> None:
    """Every value equals what ``Decimal`` or the stripped text says, and the kind is the one that the cells allow."""
    kind, values = dataset.kinds[name], dataset.frame[name].to_list()
    stripped = [cell.strip() for cell in cells]
    present = [cell for cell in stripped if cell not in MISSING | INFINITE]
    fits = bool(present) and all(NUMBER.fullmatch(cell) for cell in present)
    if kind == "number":
        assert fits, f"{stripped} are not all numbers"
        for cell, value in zip(stripped, values, strict=True):
            assert (value is None) == (cell in MISSING | INFINITE)
            if value is not None and isinstance(value, int):
                assert Decimal(cell) == value
            elif value is not None:
                assert float(Decimal(cell)) == value
        return
    representable = all(abs(Decimal(cell)) < 2**53 for cell in present) if fits else False
    assert not (fits and representable), f"{stripped} are numbers but were read as {kind}"
    for cell, value in zip(stripped, values, strict=True):
        if value is None:
            assert cell in MISSING
        else:
            assert cell == value
            assert cell not in MISSING or cell in DOUBTFUL


def check_table_or_refusal(folder: Path, content: bytes) -> None:
    """Bytes give a table with rows, or one line that says why not."""
    dataset, refusal = None, ""
    try:
        dataset = read_bytes(folder, content)
    except DataError as error:
        refusal = str(error)
    assert "\n" not in refusal
    if dataset is None:
        assert refusal
    else:
        assert dataset.rows > 0
        assert list(dataset.kinds) == dataset.frame.columns


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables())
def test_values_equal_the_independent_parser_in_a_stated_dialect(
    table: Written, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(table.rows)
    options = ReadOptions(delimiter=table.delimiter, header=True, decimal=".")
    dataset = read_bytes(tmp_path_factory.mktemp("fuzz"), table.content, options)
    assert dataset.frame.columns == table.names
    assert dataset.rows == len(table.rows)
    for place, name in enumerate(table.names):
        check_column(dataset, name, [row[place] for row in table.rows])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables(min_rows=5, all_numbers=2))
def test_found_dialect_reads_the_same_cells_or_refuses(
    table: Written, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = read_bytes(tmp_path_factory.mktemp("fuzz"), table.content, ReadOptions(decimal="."))
    assert dataset.frame.columns == table.names
    assert dataset.rows == len(table.rows)
    for place, name in enumerate(table.names):
        check_column(dataset, name, [row[place] for row in table.rows])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    table=tables(),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=4),
)
def test_damage_ends_in_a_table_or_a_data_error(
    table: Written,
    cut: float,
    damage: list[tuple[float, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = table.content[: int(cut * len(table.content)) + 1]
    for place, inserted in damage:
        at = int(place * len(content))
        content = content[:at] + inserted + content[at + 1 :]
    check_table_or_refusal(tmp_path_factory.mktemp("fuzz"), content)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=200), st.text(alphabet="ab,;\"'\n\r\t|#\\ 1.-{}[]:", max_size=120).map(str.encode)
    )
)
def test_any_bytes_end_in_a_table_or_a_data_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_table_or_refusal(tmp_path_factory.mktemp("fuzz"), content)
