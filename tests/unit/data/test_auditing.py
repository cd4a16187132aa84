"""What is set aside before training, why, and what is warned of."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.auditing import LARGEST_USABLE, _beyond_use, _sentinels, _whole, audit
from lanewise.data.cells.number_glance import fractional_and_plain
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.reading import read
from lanewise.errors import DataError, UsageError
from lanewise.features import fold_statistics

ROWS = 60


def table(kinds: dict[str, ColumnKind] | None = None, **columns: list | np.ndarray) -> Dataset:
    """Table with a target ``y``, two plain features and the given columns."""
    rng = np.random.default_rng(0)
    rows = len(next(iter(columns.values()))) if columns else ROWS
    base = {"y": rng.normal(size=rows), "size": rng.normal(size=rows), "town": rng.choice(["Ulm", "Bonn"], size=rows)}
    frame = pl.DataFrame({**base, **columns}, strict=False)
    found: dict[str, ColumnKind] = {
        name: "number" if frame[name].dtype.is_numeric() else "category" for name in frame.columns
    }
    return Dataset(frame=frame, kinds={**found, **(kinds or {})}, source="a table")


def codes(findings: tuple[Finding, ...]) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.column) for finding in findings]


def words(count: int) -> list[str]:
    return [f"x{row:03}" for row in range(count)]


def test_a_plain_table_is_used_whole() -> None:
    found = audit(table(), target="y")
    assert found.features == ("size", "town")
    assert found.set_aside == {}
    assert found.rows.tolist() == list(range(ROWS))
    assert found.rows.dtype == np.int64
    assert found.findings == ()


@pytest.mark.parametrize(
    ("values", "kind", "code", "reason"),
    [
        ([None] * ROWS, "number", "empty_column", "it has no value in any row"),
        (["a"] * ROWS, "category", "constant_column", "it is 'a' in every row"),
        (list(range(1, ROWS + 1)), "number", "row_counter", "it numbers the rows from 1 to 60"),
        (list(range(ROWS))[::-1], "number", "row_counter", "it numbers the rows from 0 to 59"),
        (words(ROWS), "category", "identifier_column", "its 60 different values in 60 rows identify"),
        (words(ROWS), "text", "identifier_column", "its 60 different values in 60 rows identify"),
        ([*words(ROWS - 3), None, None, "x001"], "category", "identifier_column", "57 different values in 58 rows"),
    ],
)
def test_columns_that_cannot_teach_are_set_aside(values: list, kind: ColumnKind, code: str, reason: str) -> None:
    found = audit(table({"odd": kind}, odd=values), target="y")
    assert found.features == ("size", "town")
    assert reason in found.set_aside["odd"]
    assert codes(found.findings) == [(code, "odd")]
    assert reason in found.findings[0].message


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a"] * (ROWS // 2) + [None] * (ROWS // 2), "category"),
        (list(range(1960, 1960 + ROWS)), "number"),
        ([row / 7 for row in range(ROWS)], "number"),
        ([f"the note of row {row}" for row in range(ROWS)], "text"),
        (words(ROWS - 6) + words(6), "category"),
    ],
    ids=["present or not", "years", "fractions", "sentences", "mostly distinct"],
)
def test_columns_that_can_teach_are_kept(values: list, kind: ColumnKind) -> None:
    assert "odd" in audit(table({"odd": kind}, odd=values), target="y").features


def test_rows_that_repeat_another_do_not_hide_an_identifier() -> None:
    single = table(odd=words(ROWS), cust_id=[7 * row + 100 for row in range(ROWS)]).frame
    repeated = pl.concat([single, single.head(ROWS // 2)])
    kinds: dict[str, ColumnKind] = {"y": "number", "size": "number", "town": "category", "odd": "category"}
    found = audit(Dataset(frame=repeated, kinds={**kinds, "cust_id": "number"}, source="a table"), target="y")
    assert set(found.set_aside) == {"odd", "cust_id"}
    assert found.set_aside["odd"].startswith("its 60 different values in 90 rows, 30 of which repeat another, identify")


def test_a_level_for_each_of_few_rows_is_no_identifier_however_often_they_repeat() -> None:
    single = table(odd=words(ROWS)).frame
    kinds: dict[str, ColumnKind] = {"y": "number", "size": "number", "town": "category", "odd": "category"}
    often = Dataset(frame=pl.concat([single] * 3), kinds=kinds, source="a table")
    assert "odd" in audit(often, target="y").features


def test_a_number_spoilt_by_a_cell_is_not_called_an_identifier() -> None:
    found = audit(table(odd=["metres", *(f"{row}.25" for row in range(ROWS - 1))]), target="y")
    assert found.set_aside["odd"] == (
        "as words its 60 different values tell nothing, and it is a number but for 1 cell: 'metres' in row 1; "
        "mend it or declare it missing (--missing=metres)"
    )
    assert codes(found.findings) == [("nearly_number", "odd")]
    assert found.findings[0].severity == "warning"  # mended with one option, it may tell a lot


def test_a_number_spoilt_by_a_cell_is_warned_of_once(tmp_path: Path) -> None:
    lines = ["odd,size,y", *(f"{row}.25,{row % 7},{row % 2}" for row in range(ROWS - 1)), "metres,3,1"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    dataset = read(tmp_path / "t.csv")
    found = (*dataset.findings, *audit(dataset, target="y").findings)
    about = [(finding.code, finding.severity) for finding in found if finding.column == "odd"]
    assert about == [("non_number_cells", "warning"), ("nearly_number", "info")]


def test_distinct_whole_numbers_need_an_identifying_name() -> None:
    numbers = np.arange(ROWS) * 7 + 100
    named = {"customer_id": numbers, "PassengerId": numbers, "IDs": numbers, "fluid": numbers, "idea": numbers}
    found = audit(table(None, **named), target="y")
    assert set(found.set_aside) == {"customer_id", "PassengerId", "IDs"}


def test_whole_numbers_without_a_name_are_the_row_numbers_of_another_program() -> None:
    shuffled = np.random.default_rng(0).permutation(3 * ROWS)[:ROWS]
    found = audit(table(None, **{"Unnamed: 0": shuffled, "column_1": shuffled}), target="y")
    assert set(found.set_aside) == {"Unnamed: 0"}  # a file without any header has columns by place, too
    blank = table(column_1=shuffled)
    noticed = (Finding(code="blank_header", message="1 column without a name got one by place: column_1"),)
    blank = Dataset(frame=blank.frame, kinds=blank.kinds, source=blank.source, findings=noticed)
    assert set(audit(blank, target="y").set_aside) == {"column_1"}
    fractions = table(None, **{"Unnamed: 0": shuffled / 7})
    assert "Unnamed: 0" in audit(fractions, target="y").features


def test_a_row_counter_is_seen_although_rows_lack_a_target() -> None:
    found = audit(table(y=[None, 1.5] * (ROWS // 2), n=list(range(1, ROWS + 1))), target="y")
    assert found.set_aside == {"n": "it numbers the rows from 1 to 60"}


def test_few_rows_are_no_ground_to_see_identifiers() -> None:
    assert "odd" in audit(table(odd=words(19)), target="y").features


def test_keep_overrules_except_where_nothing_can_be_learnt() -> None:
    dataset = table(code=words(ROWS), fixed=["a"] * ROWS)
    found = audit(dataset, target="y", keep=("code", "fixed"))
    assert "code" in found.features
    assert set(found.set_aside) == {"fixed"}


def test_drop_weight_and_group_are_no_features() -> None:
    dataset = table(w=[1.0] * (ROWS - 1) + [2.0], g=list("abc") * 20)
    found = audit(dataset, target="y", drop=("town",), weight="w", group="g")
    assert found.features == ("size",)
    assert found.set_aside == {"town": "dropped as asked", "w": "weight of the rows", "g": "group of the rows"}


def test_rows_without_target_or_weight_are_set_aside_and_counted() -> None:
    dataset = table(y=[None, None, *range(58)], w=[1.0, None, None, *[2.0] * 57])
    found = audit(dataset, target="y", weight="w")
    assert found.rows.tolist() == list(range(3, 60))
    counted = {finding.code: finding.count for finding in found.findings}
    assert counted["target_missing"] == 2
    assert counted["weight_missing"] == 1
    assert "1 row has no weight in 'w' and is set aside" in [finding.message for finding in found.findings]


@pytest.mark.parametrize("role", ["drop", "keep", "weight", "group", "time"])
def test_unknown_names_are_answered_with_close_ones(role: str) -> None:
    asked: dict[str, Any] = {role: ("Town",) if role in ("drop", "keep") else "Town"}
    with pytest.raises(UsageError, match=f"{role} names 'Town', no column of a table: did you mean 'town'"):
        audit(table(), target="y", **asked)


def test_contradicting_roles_are_refused() -> None:
    contradictions: list[dict[str, Any]] = [{"drop": ("y",)}, {"weight": "y"}, {"drop": ("size",), "keep": ("size",)}]
    for roles in contradictions:
        with pytest.raises(UsageError, match="a column can be one of the two"):
            audit(table(), target="y", **roles)
    with pytest.raises(UsageError, match="group names 'size', which weight names too; a column can be one of the two"):
        audit(table(), target="y", weight="size", group="size")
    assert audit(table(), target="y", drop=("size",), time="size").features == ("town",)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([-1.0] * 2 + [1.0] * 58, "weight must name a column of numbers from zero up, and 'w' has 2 other values"),
        ([float("inf")] + [1.0] * 59, "'w' has 1 other value"),
        ([float("nan")] + [1.0] * 59, "'w' has 1 other value"),
        ([0.0] * 60, "add up to zero"),
        (["heavy"] * 60, "weight must name a column of numbers, and 'w' is category"),
    ],
)
def test_unusable_weights_are_refused(weights: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        audit(table(w=weights), target="y", weight="w")


def test_weights_that_leave_few_rows_are_warned_of() -> None:
    def warned(*weights: float) -> list[tuple[str, float | None]]:
        found = audit(table(w=list(weights)), target="y", weight="w").findings
        return [(finding.message, finding.figure) for finding in found if finding.code == "uneven_weights"]

    ((message, figure),) = warned(1e300, *[1.0] * 59)
    assert message.startswith("the weights in 'w' are so unequal that 60 rows count as 1: ")
    assert figure == pytest.approx(1.0)
    assert warned(*[1.0] * 6, *[0.0] * 40, *[1e-3] * 14) == []  # 6.03 of 60 rows
    assert warned(*[2.0] * 60) == []


def test_weights_of_zero_may_not_leave_one_value_of_the_target_or_few_rows() -> None:
    halves = [float(row % 2) for row in range(60)]
    with pytest.raises(DataError, match="'y' is 1 in every row with a weight above zero in 'w'; at least two"):
        audit(table(y=[row % 2 for row in range(60)], w=halves), target="y", weight="w")
    with pytest.raises(DataError, match="'y' is known in 9 rows with a weight above zero in 'w'; at least 10"):
        audit(table(w=[1.0] * 9 + [0.0] * 51), target="y", weight="w")
    assert audit(table(w=halves), target="y", weight="w").rows.size == 60


def test_missing_groups_and_times_are_refused() -> None:
    dataset = table(g=[None, *["a", "b"] * 29, "a"])
    with pytest.raises(DataError, match="group must name a column without missing cells, and 'g' is missing in 1 row;"):
        audit(dataset, target="y", group="g")
    with pytest.raises(DataError) as error:
        audit(dataset, target="y", time="g", weight="town")
    assert str(error.value).splitlines() == [
        "3 columns cannot have their role:",
        "  weight must name a column of numbers, and 'town' is category",
        "  time must name a column of numbers or dates, and 'g' is category",
        "  time must name a column without missing cells, and 'g' is missing in 1 row; fill it in or leave those rows "
        "out",
    ]


@pytest.mark.parametrize("rows", [0, 3, 9])
def test_too_few_rows_are_refused(rows: int) -> None:
    with pytest.raises(DataError, match=f"a table has {rows} rows with a known 'y'; at least 10 are needed"):
        audit(table(y=[1.5, 2.5, 3.5] * (rows // 3)), target="y")
    with pytest.raises(DataError, match=f"{rows} rows with a known 'y'"):
        audit(table(y=[*range(rows), *[None] * 20]), target="y")


def test_infinite_targets_are_named_among_the_rows_set_aside(tmp_path: Path) -> None:
    cells = ["inf"] * 3 + ["-inf", ""] + [str(number / 7) for number in range(40)]
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n % 7},{cell}\n" for n, cell in enumerate(cells)))
    dataset = read(tmp_path / "t.csv")
    found = audit(dataset, target="y")
    assert dataset.kinds["y"] == "number"
    assert [finding.message for finding in found.findings if finding.code == "target_missing"] == [
        "5 of 45 rows have no finite 'y' (4 infinite) and are set aside"
    ]


def test_no_column_left_is_refused_with_the_reasons() -> None:
    with pytest.raises(DataError, match=r"no column left to learn 'y' from .*'odd': it has no value in any row"):
        audit(table(odd=[None] * ROWS), target="y", drop=("size", "town"))
    with pytest.raises(DataError, match="no column 'z' in a table"):
        audit(table(), target="z")


def test_nearly_empty_columns_are_warned_of_and_kept() -> None:
    found = audit(table(odd=[1.0, 2.0] + [None] * 58), target="y")
    assert "odd" in found.features
    (finding,) = found.findings
    assert (finding.code, finding.severity, finding.count) == ("nearly_empty", "warning", 58)


def test_repeated_rows_are_counted() -> None:
    dataset = table()
    double = Dataset(frame=pl.concat([dataset.frame, dataset.frame[:12]]), kinds=dataset.kinds, source="a table")
    (finding,) = audit(double, target="y").findings
    assert (finding.code, finding.severity, finding.count) == ("duplicate_rows", "warning", 12)
    assert finding.figure == pytest.approx(12 / 72)


def test_a_share_of_repeated_rows_that_would_read_as_none_is_left_out() -> None:
    drawn = np.random.default_rng(0).normal(size=(3000, 2))
    frame = pl.DataFrame({"a": drawn[:, 0], "y": drawn[:, 1]})
    dataset = Dataset(frame=pl.concat([frame, frame[:1]]), kinds={"a": "number", "y": "number"}, source="a table")
    told = next(one.message for one in audit(dataset, target="y").findings if one.code == "duplicate_rows")
    assert told == "1 of 3,001 rows repeats an earlier row in every column that is used"


def test_unequal_classes_are_told() -> None:
    rare = ["yes"] * 5 + ["no"] * 55
    finding, unchecked = audit(table(y=rare), target="y").findings
    assert unchecked.code == "leaks_unchecked"
    assert (finding.code, finding.count) == ("class_imbalance", 5)
    assert "'yes' has 5 of 60 rows (8.3%)" in finding.message
    assert codes(audit(table(y=["yes"] * 6 + ["no"] * 54), target="y").findings) == [("leaks_unchecked", None)]
    assert audit(table(y=[0] * 4 + [1] * 56), target="y", kind="regression").findings == ()


def test_repeated_far_extremes_are_told() -> None:
    numbers = np.random.default_rng(1).uniform(2, 9, ROWS)
    low, high, few = numbers.copy(), numbers.copy(), numbers.copy()
    low[:15], high[:15], few[:9] = -200, 999, 999
    found = audit(table(low=low, high=high, few=few, plain=numbers), target="y")
    assert codes(found.findings) == [("sentinel_value", "low"), ("sentinel_value", "high")]
    assert "'low' is -200 in 15 rows and otherwise 2" in found.findings[0].message


def test_infinite_values_are_told_and_hinder_nothing() -> None:
    numbers = np.random.default_rng(1).uniform(2, 9, ROWS)
    numbers[:15], numbers[15:18] = np.inf, -np.inf
    (finding,) = audit(table(ratio=numbers), target="y").findings
    assert (finding.code, finding.count, finding.severity) == ("infinite_values", 18, "warning")


def test_numbers_too_large_for_any_statistic_are_told() -> None:
    numbers = np.random.default_rng(1).normal(size=ROWS) * 1e307
    numbers[:3] = [-1.7e308, 1.7e308, 5.0]
    (finding,) = audit(table(huge=numbers), target="y").findings
    assert (finding.code, finding.count, finding.severity) == ("beyond_use", 59, "warning")
    assert LARGEST_USABLE == fold_statistics.LARGEST_USABLE


def test_leaks_are_passed_on() -> None:
    y = np.random.default_rng(5).normal(size=ROWS)
    found = audit(table(y=y, copy=2 * y), target="y")
    assert codes(found.findings) == [("leaks_target", "copy")]
    assert "copy" in found.features


@pytest.mark.parametrize(
    ("file", "separator", "target", "aside", "told"),
    [
        (
            "titanic.csv",
            ",",
            "Survived",
            {"PassengerId": "1 to 891", "Name": "891 different values"},
            {"duplicate_rows"},
        ),
        ("telco_churn.csv", ",", "Churn", {"customerID": "7,043 different values in 7,043 rows"}, {"duplicate_rows"}),
        (
            "bike_sharing_hour.csv.gz",
            ",",
            "cnt",
            {"instant": "1 to 17379"},
            {"leaks_target", "sums_to_target"},
        ),
        ("caravan.csv.gz", ",", "Purchase", {"rownames": "1 to 5822"}, {"class_imbalance", "duplicate_rows"}),
        ("mushrooms.csv", ",", "type", {"veil_type": "it is 'p' in every row"}, {"leaks_target"}),
        (
            "bank_additional_full.csv.gz",
            ";",
            "y",
            {},
            {"sentinel_value", "strongest_column", "duplicate_rows"},
        ),
        ("heart_cleveland.csv", ",", "target", {}, set()),
    ],
)
def test_known_tables(*, shared_data: Path, file: str, separator: str, target: str, aside: dict, told: set) -> None:
    frame = pl.read_csv(shared_data / file, separator=separator, infer_schema_length=None)
    kinds: dict[str, ColumnKind] = {
        name: "number" if frame[name].dtype.is_numeric() else "category" for name in frame.columns
    }
    found = audit(Dataset(frame=frame, kinds=kinds, source=file), target=target)
    assert set(found.set_aside) == set(aside)
    for name, reason in aside.items():
        assert reason in found.set_aside[name]
    columns = {"row_counter", "identifier_column", "constant_column"}
    assert {finding.code for finding in found.findings} - columns == told


def test_a_mark_of_missing_cells_in_the_target_is_warned_of() -> None:
    marked = [-200.0] * 12 + [row / 7 for row in range(ROWS - 12)]
    found = audit(table(gas=marked), target="gas")
    (finding,) = [one for one in found.findings if one.code == "sentinel_value"]
    assert finding.severity == "warning"
    assert "'gas' is -200 in 12 rows" in finding.message
    assert "--missing=-200" in finding.message


@pytest.mark.parametrize("mark", [-9_999_999, 12_345_678_901])
def test_a_mark_of_missing_cells_is_told_with_all_its_digits(mark: int) -> None:
    marked = [float(mark)] * 12 + [row / 7 for row in range(ROWS - 12)]
    (finding,) = [f for f in audit(table(gas=marked), target="y").findings if f.code == "sentinel_value"]
    assert f"'gas' is {mark} in 12 rows" in finding.message
    assert finding.message.endswith(f"(--missing={mark})")


def test_a_negative_mark_is_seen_beside_numbers_of_a_wide_range() -> None:
    spread = [-200.0] * 12 + [2.0 + 30 * row for row in range(ROWS - 12)]
    assert ("sentinel_value", "gas") in codes(audit(table(gas=spread), target="y").findings)
    balances = [-200.0] * 12 + [30.0 * row - 100 for row in range(ROWS - 12)]
    assert ("sentinel_value", "gas") not in codes(audit(table(gas=balances), target="y").findings)


@given(
    values=st.lists(st.sampled_from([-200.0, -1.5, 0.0, 0.25, 7.0, 999.0, 1e250, math.inf, math.nan, None]), min_size=1)
    | st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1),
    marked=st.integers(0, 14),
)
@settings(max_examples=150, deadline=None)
def test_what_is_passed_over_as_plain_has_no_finding(values: list, marked: int) -> None:
    """Wide tables are looked at closely only where something may be odd; what is not looked at must not be odd."""
    cells = pl.Series("a", [*values, *map(float, range(11)), *[-200.0] * marked], dtype=pl.Float64)
    fractional, plain = fractional_and_plain(pl.DataFrame({"b": cells.reverse(), "a": cells}), ["a", "b"])
    if fractional:
        assert not _whole(cells)
        assert fractional == {"a", "b"}
    if "a" in plain:
        assert not cells.is_infinite().any()
        assert [*_beyond_use(cells), *_sentinels(cells)] == []
