"""Classes that may be one class, or none."""

import polars as pl
import pytest

from lanewise.data.auditing import audit
from lanewise.data.class_spellings import class_spellings
from lanewise.data.dataset import Dataset


def told(*cells: str | None) -> list[tuple[str, str, int | None]]:
    return [(one.code, one.message, one.count) for one in class_spellings(pl.Series("y", cells))]


def test_classes_that_differ_in_capitals_or_blanks_are_told_with_their_rows() -> None:
    ((code, message, count),) = told("yes", "no", "Yes", "yes", " yes", "YES", "No", None, "maybe")
    assert (code, count) == ("classes_alike", 6)
    assert message == (
        "classes of 'y' differ only in capitals or blanks: 'yes' (2 rows) and ' yes' (1 row) and 'YES' (1 row) and "
        "'Yes' (1 row); 'No' (1 row) and 'no' (1 row); write them alike"
    )


@pytest.mark.parametrize("cells", [("yes", "no"), ("a", "b", "b."), ("1", "1.0"), ("Straße", "strasse")])
def test_classes_that_differ_otherwise_are_not(cells: tuple[str, ...]) -> None:
    assert told(*cells) == []


def test_of_many_pairs_the_first_are_named() -> None:
    letters = "abcdefgh"
    ((_, message, count),) = told(*letters, *letters.upper())
    assert count == 16
    assert message.count(" and ") == 6
    assert "and 3 more; write them alike" in message


def test_a_dash_is_told_unless_it_stands_against_a_plus() -> None:
    assert told("yes", "no", "-", "-", "yes", "no") == [
        ("class_of_dashes", "'-' is a class of 'y' (2 rows); if it stands for a missing value, say so (--missing=-)", 2)
    ]
    assert told("+", "-", "+", "-") == []


def test_an_audit_tells_them_of_classes_alone() -> None:
    cells = ["yes", "Yes", "no", "-"] * 10
    frame = pl.DataFrame({"x": list(range(40)), "words": cells, "y": cells})
    dataset = Dataset(frame=frame, kinds={"x": "number", "words": "category", "y": "category"}, source="a table")
    found = audit(dataset, target="y", keep=("x",), leaks=False).findings
    own = {one.code: (one.severity, one.column) for one in found if one.code.startswith("class")}
    assert own == {"classes_alike": ("warning", "y"), "class_of_dashes": ("warning", "y")}
    numbers = Dataset(frame=frame.with_columns(y=pl.col("x") % 7), kinds={**dataset.kinds, "y": "number"}, source="t")
    codes = {one.code for one in audit(numbers, target="y", kind="regression", keep=("x",), leaks=False).findings}
    assert not codes & {"classes_alike", "class_of_dashes"}
