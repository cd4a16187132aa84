"""What is noticed of the data, in short lines for the end of a run."""

from lanewise.reporting.notes import MOST_NOTES, notes_of


def finding(code, message, **more):
    return {"code": code, "message": message, "severity": "info", **more}


def test_missing_cells_are_counted_by_column():
    columns = [
        {"name": name, "missing": missing} for name, missing in (("a", 0), ("b", 2), ("c", 1200), ("d", 1), ("e", 1))
    ]
    assert notes_of({"columns": columns}) == ["1,204 missing cells in 4 columns: c 1,200, b 2, d 1 and 1 more"]


def test_marks_of_missing_cells_stand_beside_their_number():
    message = "missing cells are written as '?' in 'root' (2,480 cells)"
    document = {"columns": [{"name": "root", "missing": 2480}], "findings": [finding("missing_marks", message)]}
    assert notes_of(document) == ["2,480 missing cells in root; written as '?' in 'root' (2,480 cells)"]


def test_examples_of_cells_are_left_to_the_report():
    message = "column 'price' is read without the sign $ of 3 cells: '$1' in row 1, '$2' in row 2"
    document = {"findings": [finding("unit_sign", message, column="price", count=3)]}
    assert notes_of(document) == ["column 'price' is read without the sign $ of 3 cells"]


def test_a_kind_is_one_line_however_many_columns_it_concerns():
    found = [
        finding("unit_sign", "...", column=name, count=count) for name, count in zip("abcd", (1, 9, 3, 2), strict=True)
    ]
    assert notes_of({"findings": found}) == ["numbers are read without their signs of units: b 9, c 3, d 2 and 1 more"]


def test_warnings_and_columns_set_aside_are_told_elsewhere():
    found = [
        {**finding("leaks_target", "a gives it away"), "severity": "warning"},
        finding("row_counter", "'id' is set aside: it numbers the rows from 1 to 9"),
        finding("task_found", "y has two values"),
    ]
    assert notes_of({"findings": found}) == []


def test_what_the_order_of_rows_means_for_the_scores_comes_first_and_the_rest_is_counted():
    found = [finding(f"code{place}", f"note {place}") for place in range(MOST_NOTES)]
    told = notes_of({"findings": [*found, finding("in_time_order", "rows are in the order of 'day'")]})
    assert told[0] == "rows are in the order of 'day'"
    assert told[-1] == "1 more note in the report"
