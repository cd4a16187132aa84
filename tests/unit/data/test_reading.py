"""The entry: every public table beside the repository, the stated dialects, and reading for a stored model."""

import csv
import json
import re
from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.data.reading import ReadOptions, read, read_like
from lanewise.errors import DataError, UsageError

ROW = re.compile(r"^\| ([\w./]+\.(?:csv|tsv)(?:\.gz)?) \| (\d+) \| (\d+) \|", re.MULTILINE)
# Rows and columns that hold nothing are skipped with a finding: 114 rows and 2 columns of air_quality.
EMPTY = {"air_quality.csv": (114, 2)}
MISSING = {
    "california_housing.csv.gz": 207,
    "adult_train.csv.gz": 4262,
    "adult_test.csv.gz": 2203,
    "titanic.csv": 866,
    "auto_mpg.csv": 6,
    "mushrooms.csv": 2480,
    "telco_churn.csv": 11,
    "penguins.csv": 19,
    "heart_cleveland.csv": 6,
    "iris.csv": 0,
    "german_credit.csv": 0,
    "covtype_sample_10k.csv.gz": 0,
}
REFUSED = {
    "csvkit/bad.csv": "2 of 3 rows",
    "csvkit/bad_skip_lines.csv": "first line 5 with 4",
    "csvkit/empty.csv": "has no table",
    "csvkit/null_byte.csv": "NUL byte in line 2",
    "csvkit/test_empty_columns_long_row.csv": "no rows",
    "csvkit/test_empty_columns_short_row.csv": "no rows",
    "csvkit/test_extra_header.csv": "1 of 1 rows",
    "frictionless/defective-rows.csv": "2 of 2 rows",
    "frictionless/empty.csv": "is empty",
    "frictionless/structure-errors.csv": "first line 5 with 6",
    "frictionless/without-rows.csv": "no rows",
}
PLAIN = [
    "csvkit/acs2012_5yr_population.csv",
    "csvkit/date_like_number.csv",
    "csvkit/dummy_col_shuffled_ragged.csv",
    "csvkit/optional_quote_characters.csv",
    "csvkit/test_no_leading_zeroes.csv",
    "csvkit/test_utf8.csv",
    "csvkit/test_utf8_bom.csv",
    "frictionless/blank-headers.csv",
    "frictionless/blank-rows.csv",
    "frictionless/blank-rows-no-fields.csv",
    "frictionless/bom.csv",
    "frictionless/doublequote.csv",
    "frictionless/duplicate-column.csv",
    "frictionless/duplicate-headers.csv",
    "frictionless/leading-zeros.csv",
    "frictionless/numeric-labels.csv",
    "frictionless/table-infer-missing-values.csv",
    "frictionless/table-unicode-headers.csv",
]
SHAPES = {
    "airedale.csv": (54, 8),
    "energy_efficiency_raw.txt": (768, 10),
    "milk.tsv": (379, 23),
    "montreal_bikes_2012_latin1.csv": (310, 10),
    "oecd_bli_2015.csv": (3292, 17),
    "planets_comments.csv": (1035, 7),
    "spam_trailing_columns.csv": (5572, 5),
    "super_store_orders.tsv": (1000, 25),
    "csvkit/Datagov_FY10_EDU_recp_by_State.csv": (55, 9),
    "csvkit/test_utf16_big.csv": (2, 3),
    "csvkit/test_utf16_little.csv": (2, 3),
    "csvkit/mac_newlines.csv": (2, 3),
    "csvkit/no_header_row.csv": (1, 3),
    "csvkit/test_empty_columns.csv": (2, 3),
    "frictionless/blank-rows-multiple.csv": (2, 3),
    "frictionless/encoding-issue-274.csv": (507, 17),
    "frictionless/matrix-with-comment.csv": (4, 4),
    "frictionless/table-with-accents.csv": (638, 8),
    "frictionless/without-headers.csv": (3, 2),
}


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


@cache
def table(path: Path) -> Dataset:
    """A table that several tests look at, read once."""
    return read(path)


def test_every_listed_table_has_its_rows_and_columns(shared_data: Path) -> None:
    listed = [
        (name, int(rows), int(columns))
        for name, rows, columns in ROW.findall((shared_data / "SOURCES.md").read_text())
        if (shared_data / name).exists()
    ]
    assert len(listed) > 35
    for name, rows, columns in listed:
        dataset = (table if name in MISSING else read)(shared_data / name)
        empty_rows, empty_columns = EMPTY.get(name, (0, 0))
        assert (dataset.rows, dataset.frame.width) == (rows - empty_rows, columns - empty_columns), name
        assert not [finding for finding in dataset.findings if finding.severity == "warning"], name


@pytest.mark.parametrize(("name", "missing"), MISSING.items())
def test_listed_missing_cells(shared_data: Path, name: str, missing: int) -> None:
    assert sum(table(shared_data / name).frame.null_count().row(0)) == missing


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("titanic.csv", {"number": 7, "text": 1, "category": 4}),
        ("telco_churn.csv", {"number": 4, "category": 17}),
        ("air_quality.csv", {"number": 13, "date": 1, "category": 1}),
        ("bike_sharing_hour.csv.gz", {"number": 16, "date": 1}),
        ("german_credit.csv", {"number": 8, "category": 13}),
        ("mushrooms.csv", {"category": 23}),
        ("mammography.csv", {"number": 7}),
        ("protein_casp.csv.gz", {"number": 10}),
        ("text/banking77_train.csv", {"text": 1, "category": 1}),
        ("text/sst2_train.tsv", {"text": 1, "number": 1}),
    ],
)
def test_kinds_are_sensible(shared_data: Path, name: str, kinds: dict[str, int]) -> None:
    assert Counter(table(shared_data / name).kinds.values()) == kinds


def test_quotes_that_are_none_and_no_header(shared_data: Path) -> None:
    dataset = read(shared_data / "text" / "sms_spam.tsv")
    assert (dataset.rows, dataset.frame.columns) == (5574, ["column_1", "column_2"])
    assert dataset.frame["column_1"].value_counts(sort=True).rows() == [("ham", 4827), ("spam", 747)]


def test_day_and_month_of_public_tables(shared_data: Path) -> None:
    bikes = read(shared_data / "bike_sharing_hour.csv.gz").frame["dteday"]
    assert (bikes.min(), bikes.max()) == (datetime(2011, 1, 1), datetime(2012, 12, 31))
    montreal = read(shared_data / "nasty" / "montreal_bikes_2012_latin1.csv").frame["Date"]
    assert (montreal.min(), montreal.max()) == (datetime(2012, 1, 1), datetime(2012, 11, 5))


def spectrum_names() -> list[str]:
    return ["comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "newlines", "newlines_crlf",
            "quotes_and_newlines", "simple", "simple_crlf", "utf8"]  # fmt: skip


@pytest.mark.parametrize("name", spectrum_names())
def test_csv_spectrum_equals_its_json(shared_data: Path, name: str) -> None:
    folder = shared_data / "nasty" / "csv_spectrum"
    expected = json.loads((folder / "json" / f"{name}.json").read_text())
    expected = expected if isinstance(expected, list) else [expected]
    kinds: dict[str, ColumnKind] = dict.fromkeys(expected[0], "category")
    found = read(folder / "csvs" / f"{name}.csv", options=ReadOptions(kinds=kinds)).frame.rows(named=True)
    assert [{key: value or "" for key, value in row.items()} for row in found] == expected


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_hopeless_files_are_refused_in_one_line(shared_data: Path, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(shared_data / "nasty" / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_difficult_files_have_the_shape_seen_by_eye(shared_data: Path, name: str, shape: tuple[int, int]) -> None:
    assert read(shared_data / "nasty" / name).frame.shape == shape


@pytest.mark.parametrize("name", PLAIN)
def test_plainer_difficult_files_equal_the_csv_module(shared_data: Path, name: str) -> None:
    path = shared_data / "nasty" / name
    _, *expected = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines(keepends=True)) if any(row)]
    kinds: dict[str, ColumnKind] = dict.fromkeys(read(path).kinds, "category")
    found = read(path, options=ReadOptions(kinds=kinds, header=True)).frame
    markers = ("", "N/A", "?", "-")
    assert [list(row) for row in found.rows()] == [
        [None if cell.strip() in markers else cell.strip() for cell in row] for row in expected
    ]


def test_escapes_and_locale_numbers_as_seen_by_eye(shared_data: Path) -> None:
    folder = shared_data / "nasty"
    assert read(folder / "frictionless" / "escaping.csv").frame.rows() == [
        (1, "Test line 1"),
        (2, 'Test " line 2'),
        (3, 'Test " line 3'),
    ]
    assert read(folder / "csvkit" / "test_locale.csv").frame.rows() == [(1.7, 200_000_000, None)]


def test_unknown_column_in_kinds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"column 'q', which .* does not have; its columns are: a, b"):
        read(write(tmp_path, "a,b\n1,2\n"), options=ReadOptions(kinds={"q": "number"}))


def test_dataset_is_what_it_promises(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "a,b,c,d\n1,x,2024-01-01,1.5\n,NA,,\n"))
    assert dict(zip(dataset.frame.columns, dataset.frame.dtypes, strict=True)) == {
        "a": pl.Int64,
        "b": pl.String,
        "c": pl.Datetime("us"),
        "d": pl.Float64,
    }
    assert list(dataset.kinds) == dataset.frame.columns
    assert dataset.source.endswith("t.csv")


def test_read_like_types_as_the_model_expects(tmp_path: Path) -> None:
    kinds: dict[str, ColumnKind] = {"age": "number", "zip": "category", "when": "date", "gone": "number"}
    dataset = read_like(write(tmp_path, "zip,age,when,new\n123,old,2024-01-02,5\n124,31,soon,6\n"), kinds)
    assert dataset.frame.rows() == [("123", None, datetime(2024, 1, 2), 5), ("124", 31, None, 6)]
    assert dataset.kinds == {"zip": "category", "age": "number", "when": "date", "new": "number"}
    assert [(finding.code, finding.column, finding.count) for finding in dataset.findings] == [
        ("unreadable_cells", "age", 1),
        ("unreadable_cells", "when", 1),
    ]


def test_read_like_finds_the_header_by_its_names(tmp_path: Path) -> None:
    kinds: dict[str, ColumnKind] = {"first": "category", "last": "category"}
    assert read_like(write(tmp_path, "first,last\nfirst,last\nfirst,x\nfirst,last\n"), kinds).rows == 3
    assert read_like(write(tmp_path, "a,b\nc,d\n"), {"column_1": "category"}).rows == 2


def test_read_like_of_typed_tables() -> None:
    dataset = read_like(
        {"level": [1.0, 2.0], "n": ["3", "x"], "d": ["2024-01-01", None]},
        {"level": "category", "n": "number", "d": "date"},
    )
    assert dataset.frame.rows() == [("1", 3, datetime(2024, 1, 1)), ("2", None, None)]


def test_an_example_is_read_like_a_file() -> None:
    table = read("example:iris")
    assert (table.source, table.rows, table.kinds["species"]) == ("the example iris", 150, "category")
    assert read_like("example:iris", {"species": "category"}).frame.equals(table.frame)
    with pytest.raises(UsageError, match="there is no example 'irsi'; did you mean iris"):
        read("example:irsi")
