"""Warnings about new rows: one line for each kind."""

from lanewise.data.findings import Finding
from lanewise.data.grouped_warnings import warning_lines


def warned(code: str, column: str, count: int) -> Finding:
    return Finding(code=code, message=f"{code} {column}", severity="warning", column=column, count=count)


def test_kinds_keep_their_order_and_single_ones_their_words() -> None:
    found = [
        warned("unseen_levels", "town", 2),
        warned("out_of_range", "age", 3),
        warned("out_of_range", "fare", 1),
        Finding(code="extra_columns", message="left out"),
        warned("not_finite", "", 1),
    ]
    assert warning_lines(found) == (
        "unseen_levels town",
        "2 columns have 4 values outside the range of the training rows: 'age' (3), 'fare' (1)",
        "not_finite ",
    )


def test_a_kind_without_words_of_its_own_is_told_column_by_column() -> None:
    assert warning_lines([warned("mixed_types", "a", 1), warned("mixed_types", "b", 2)]) == (
        "mixed_types a",
        "mixed_types b",
    )


def test_the_others_of_many_are_counted() -> None:
    line = warning_lines([warned("missing_more", f"c{n}", n) for n in range(1, 12)])[0]
    assert (
        line
        == "11 columns lack more cells than in the training rows, 66 cells: 'c11' (11), 'c10' (10), 'c9' (9) and 8 more"
    )
