"""New rows are held against what training saw; a stored contract is read back strictly."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.contract import DataContract
from lanewise.data.conventions import Convention
from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.data.reading import ReadOptions, read, read_like
from lanewise.errors import DataError, StoreError
from lanewise.task import Task

KINDS: dict[str, ColumnKind] = {"age": "number", "town": "category", "note": "text", "day": "date", "y": "category"}
TASK = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
FEATURES = ("town", "age", "note", "day")


def table(**columns: list) -> Dataset:
    base = {
        "age": [20.0, 30.0, None, 50.0],
        "town": ["Ulm", "Ulm", "Bonn", None],
        "note": ["a b", "c", "d", "e"],
        "day": [datetime(2024, 1, day) for day in (1, 2, 3, 4)],
        "y": ["no", "yes", "no", "yes"],
    }
    chosen = {**base, **columns}
    frame = pl.DataFrame({name: values for name, values in chosen.items() if values})
    kinds: dict[str, ColumnKind] = {name: KINDS.get(name, "number") for name in frame.columns}
    return Dataset(frame=frame, kinds=kinds, source="a table")


def contract() -> DataContract:
    return DataContract.of(table(), task=TASK, features=FEATURES, rows=np.arange(4))


def test_contract_holds_kinds_ranges_levels_and_missing_rates() -> None:
    town, age, note, day = contract().columns
    assert (town.kind, town.levels, town.missing_rate) == ("category", ("Bonn", "Ulm"), 0.25)
    assert (age.kind, age.low, age.high, age.missing_rate) == ("number", 20, 50, 0.25)
    assert (note.kind, note.levels, note.low) == ("text", (), None)
    assert day.low == datetime(2024, 1, 1).timestamp() * 1e6 - datetime(1970, 1, 1).timestamp() * 1e6


def test_a_wide_table_is_asked_for_its_names_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every time a frame lists all names: once per column made thousands of columns cost seconds."""
    frame = pl.DataFrame({f"c{n}": [1.0, 2.0] for n in range(60)})
    wide = Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="a table")
    known = DataContract.of(wide, task=TASK, features=tuple(frame.columns), rows=np.arange(2))
    asked: list[int] = []
    names = frame.columns
    monkeypatch.setattr(pl.DataFrame, "columns", property(lambda _: asked.append(1) or names))
    assert known.conform(wide).rows == 2
    assert len(asked) < 5


def test_only_the_training_rows_count() -> None:
    town, age, *_ = DataContract.of(table(), task=TASK, features=FEATURES, rows=np.array([0, 1])).columns
    assert (town.levels, age.high) == (("Ulm",), 30)


def test_training_rows_themselves_raise_nothing() -> None:
    assert contract().check(table()) == ()


def test_differences_are_counted() -> None:
    new = table(age=[10.0, 51.0, 30.0, 30.0], town=["Ulm", "Kiel", "Kiel", "Bonn"], note=["a", None, None, "b"])
    found = {(finding.code, finding.column): finding for finding in contract().check(new)}
    assert set(found) == {("out_of_range", "age"), ("unseen_levels", "town"), ("missing_more", "note")}
    assert (
        found["out_of_range", "age"].message == "'age' has 2 values outside the range of the training rows (20 to 50)"
    )
    assert found["unseen_levels", "town"].message == "'town' has 2 cells with values that no training row has: 'Kiel'"
    assert (
        found["missing_more", "note"].message
        == "'note' lacks 2 of 4 cells; in the training rows it lacked 0.0% of them"
    )
    assert all(finding.severity == "warning" for finding in found.values())


def test_dates_out_of_range_are_counted() -> None:
    new = table(day=[datetime(2023, 12, 31), datetime(2024, 1, 2), None, datetime(2025, 1, 1)])
    found = {finding.code: finding.count for finding in contract().check(new)}
    assert found["out_of_range"] == 2


def test_missing_cells_within_chance_are_no_finding() -> None:
    rng = np.random.default_rng(0)
    ages = [None if missing else 30.0 for missing in rng.random(400) < 0.25]
    frame = pl.DataFrame({"age": ages})
    one = Dataset(frame=frame, kinds={"age": "number"}, source="a table")
    of = DataContract.of(table(), task=TASK, features=("age",), rows=np.arange(4))
    assert of.check(one) == ()


def test_all_absent_columns_are_named() -> None:
    with pytest.raises(DataError, match="a table lacks 'town', 'note'; the model needs 4 columns"):
        contract().check(table(town=[], note=[]))


def test_columns_that_are_nearly_called_as_absent_ones_are_named() -> None:
    frame = table().frame.rename({"age": "Age", "town": "towns", "note": "zzz"})
    rows = Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "text"), source="a table")
    with pytest.raises(DataError, match=r"lacks 'town', 'age', 'note' \(it has 'towns', 'Age'\); the model needs 4"):
        contract().check(rows)


def test_of_a_table_without_a_header_it_is_asked_whether_it_has_one() -> None:
    bare = Dataset(frame=pl.DataFrame({"column_1": [1.0], "column_2": [2.0]}), kinds={}, source="bare.csv")
    told = r"needs 4 columns\. Is its header missing\? Its columns are 'column_1', 'column_2'$"
    with pytest.raises(DataError, match=told):
        contract().conform(bare)


def test_other_kinds_are_refused() -> None:
    frame = table().frame.with_columns(pl.lit("old").alias("age"))
    changed = Dataset(frame=frame, kinds={**KINDS, "age": "category"}, source="a table")
    with pytest.raises(DataError, match="'age' must be number and is category"):
        contract().check(changed)


def test_a_column_of_which_no_cell_can_be_read_is_of_another_kind() -> None:
    kinds: dict[str, ColumnKind] = {name: KINDS[name] for name in FEATURES}

    def told(ages: list[str]) -> Dataset:
        frame = pl.concat([table().frame.select(FEATURES)] * 3).head(len(ages))
        return read_like(frame.with_columns(pl.Series("age", ages)), kinds)

    with pytest.raises(DataError, match="'age' must be number, which none of its 10 cells is"):
        contract().check(told(["old"] * 10))
    with pytest.raises(DataError, match="'age' must be number, which none of its 11 cells is"):
        contract().check(told(["old"] * 11 + [""]))
    for few in (["old"] * 9, ["old"] * 9 + ["41"], ["old"]):
        assert "unreadable_cells" in {finding.code for finding in told(few).findings}
        assert contract().conform(told(few)).rows == len(few)


def test_extra_columns_are_left_out_and_the_target_may_be_absent() -> None:
    (finding,) = contract().check(table(spare=[1, 2, 3, 4]))
    assert (finding.code, finding.severity) == ("extra_columns", "info")
    assert "'spare'" in finding.message
    assert contract().check(table(y=[])) == ()


def test_conformed_table_has_the_columns_of_training() -> None:
    frame = table().frame.with_columns(pl.lit(None).cast(pl.String).alias("age"))
    given_kinds: dict[str, ColumnKind] = {**KINDS, "age": "category", "note": "category"}
    conformed = contract().conform(Dataset(frame=frame, kinds=given_kinds, source="a table"))
    assert conformed.frame.columns == list(FEATURES)
    assert dict(conformed.kinds) == {name: KINDS[name] for name in FEATURES}
    assert conformed.frame["age"].dtype == pl.Float64


def test_conforming_a_table_without_any_value_keeps_its_rows() -> None:
    of = DataContract.of(table(), task=TASK, features=("age",), rows=np.arange(4))
    for rows in (0, 3):
        frame = pl.DataFrame({"age": pl.Series([None] * rows, dtype=pl.String)})
        empty = Dataset(frame=frame, kinds={"age": "category"}, source="a table")
        assert of.conform(empty).frame["age"].to_list() == [None] * rows


def test_levels_are_capped_and_the_rest_is_counted() -> None:
    towns = [f"town {i}" for i in range(1200)] + ["town 7"] * 3
    frame = pl.DataFrame({"town": towns})
    many = Dataset(frame=frame, kinds={"town": "category"}, source="a table")
    of = DataContract.of(many, task=TASK, features=("town",), rows=np.arange(len(towns)))
    assert (len(of.columns[0].levels), of.columns[0].more_levels) == (1000, 200)
    assert "town 7" in of.columns[0].levels
    assert of.check(Dataset(frame=pl.DataFrame({"town": ["new"]}), kinds={"town": "category"}, source="b")) == ()


def test_contract_reads_back_from_its_own_text() -> None:
    assert DataContract.from_json(contract().to_json()) == contract()


def test_contract_keeps_how_columns_were_written_and_one_without_is_read_as_before() -> None:
    conventions = {"age": Convention(decimal=",", thousands=".", unit="€"), "day": Convention(dates="d/m/Y")}
    of = DataContract.of(replace(table(), conventions=conventions), task=TASK, features=FEATURES, rows=np.arange(4))
    assert of.conventions == conventions
    assert DataContract.from_json(of.to_json()) == of
    plain = contract().to_json()
    assert "convention" not in plain
    assert DataContract.from_json(plain).conventions == {}
    with pytest.raises(StoreError, match="decimal"):
        DataContract.from_json(of.to_json().replace('"decimal": ","', '"decimal": "|"'))


def test_a_column_that_is_nested_in_new_rows_is_said_to_be() -> None:
    frame = table().frame.with_columns(pl.Series("age", [[1.0], [2.0], [3.0], None]))
    with pytest.raises(DataError, match=r"kind than in training: column 'age' of type List\(Float64\) is nested"):
        contract().conform(read_like(frame, {name: KINDS[name] for name in FEATURES}))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1),
    st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1),
)
def test_any_contract_reads_back(numbers: list, words: list) -> None:
    rows = min(len(numbers), len(words))
    frame = pl.DataFrame(
        {"n": pl.Series(numbers[:rows], dtype=pl.Float64), "c": pl.Series(words[:rows], dtype=pl.String)}
    )
    dataset = Dataset(frame=frame, kinds={"n": "number", "c": "category"}, source="a table")
    of = DataContract.of(dataset, task=TASK, features=("n", "c"), rows=np.arange(rows))
    assert DataContract.from_json(of.to_json()) == of
    assert of.check(dataset) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.update(extra=1), "extra"),
        (lambda fields: fields.pop("rows"), "rows"),
        (lambda fields: fields.update(format=2), "format"),
        (lambda fields: fields.update(rows="4"), "rows"),
        (lambda fields: fields.update(kind="ranking"), "kind"),
        (lambda fields: fields["columns"][0].update(extra=1), "columns.0.extra"),
        (lambda fields: fields["columns"][1].update(low="20"), "columns.1.low"),
        (lambda fields: fields["columns"][1].update(low=float("nan")), "damaged"),
    ],
)
def test_damaged_contracts_are_refused(change, message: str) -> None:
    fields = json.loads(contract().to_json())
    change(fields)
    with pytest.raises(StoreError, match=message):
        DataContract.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "damaged"), ("[]", "damaged"), ('{"target": "a", "target": "b"}', "field 'target' is there twice")],
)
def test_text_that_is_no_contract_is_refused(text: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        DataContract.from_json(text)


def test_declared_marks_of_missing_cells_are_kept() -> None:
    own = DataContract.of(table(), task=TASK, features=FEATURES, rows=np.arange(4), missing=("-200",))
    assert DataContract.from_json(own.to_json()).missing == ("-200",)


def test_signs_and_minus_signs_are_carried_to_new_rows(tmp_path) -> None:
    rows = [f"{n},5{'-' if n % 3 else ''} EUR;{n % 4}" for n in range(1, 60)]
    (tmp_path / "a.csv").write_text("\n".join(["price;y", *rows]))
    given = read(tmp_path / "a.csv")
    task = Task(target="y", kind="regression", metric="rmse")
    contract = DataContract.of(given, task=task, features=("price",), rows=np.arange(given.rows))
    again = DataContract.from_json(contract.to_json())
    assert again == contract
    assert again.conventions["price"] == Convention(decimal=",", unit="EUR", minus="after")
    (tmp_path / "b.csv").write_text("price;y\n5,5- EUR;1\n100-;2\n7;1\n")
    options = ReadOptions(conventions=again.conventions)
    new = read_like(tmp_path / "b.csv", {"price": "number"}, options=options)
    assert new.frame["price"].to_list() == [-5.5, -100.0, 7.0]


def test_a_range_is_told_in_so_many_digits_that_a_value_beyond_it_differs() -> None:
    seen = table(age=[1234566.0, 1234566.0, 1234567.0, 1234567.0])
    known = DataContract.of(seen, task=TASK, features=FEATURES, rows=np.arange(4))
    (found,) = known.check(table(age=[1234567.0, 1234567.25, 1234567.25, 1234566.0]))
    assert found.message == "'age' has 2 values outside the range of the training rows (1234566 to 1234567)"
