"""The kind of task that a target sets, where nobody states it."""

from pathlib import Path

import polars as pl
import pytest

from lanewise.data.kinds import ColumnKind
from lanewise.data.task_guessing import guess_kind
from lanewise.task import TaskKind


def kind_of(values: list, kind: ColumnKind = "number", name: str = "y") -> TaskKind:
    dtype = pl.Float64 if kind == "number" else pl.String
    return guess_kind(pl.Series(name, values, dtype=dtype, strict=False), kind).kind


@pytest.mark.parametrize(
    ("values", "column_kind", "name", "expected"),
    [
        (["yes", "no", "no"], "category", "y", "binary"),
        (["a", "b", "c", "a"], "category", "y", "multiclass"),
        ([0, 1, 1, 0], "number", "y", "binary"),
        ([2.5, 7.5, 2.5], "number", "y", "binary"),
        ([1.0, 1.5, 2.0], "number", "y", "regression"),
        ([1, 5, 9, 200], "number", "cnt", "count"),
        ([1, 5, 9, 200], "number", "n_visits", "count"),
        ([1, 5, 9, 200], "number", "numVisits", "count"),
        ([1, 5, 9, 200], "number", "country", "regression"),
        ([-1, 5, 9, 200], "number", "count", "regression"),
        ([0, 1, 2] * 10, "number", "y", "multiclass"),
        ([1, 2, 3] * 10, "number", "y", "multiclass"),
        ([-1, 0, 1] * 10, "number", "y", "multiclass"),
        ([0, 1, 2] * 9, "number", "y", "regression"),
        ([3, 4, 5] * 10, "number", "y", "regression"),
        ([0, 1, 3] * 10, "number", "y", "regression"),
        (list(range(1, 12)) * 10, "number", "y", "regression"),
        ([0] * 50 + [1] * 20 + [2] * 5 + [7], "number", "y", "count"),
    ],
)
def test_kind_is_found_by_the_documented_rules(
    values: list, column_kind: ColumnKind, name: str, expected: TaskKind
) -> None:
    assert kind_of(values, column_kind, name) == expected


@pytest.mark.parametrize(
    ("file", "separator", "target", "expected"),
    [
        ("titanic.csv", ",", "Survived", "binary"),
        ("telco_churn.csv", ",", "Churn", "binary"),
        ("bike_sharing_hour.csv.gz", ",", "cnt", "count"),
        ("wine_quality_red.csv", ";", "quality", "regression"),
        ("car_evaluation.csv", ",", "class", "multiclass"),
        ("abalone.csv", ",", "Rings", "regression"),
        ("heart_cleveland.csv", ",", "target", "multiclass"),
        ("diamonds.csv.gz", ",", "price", "regression"),
        ("covtype_sample_10k.csv.gz", ",", "Cover_Type", "multiclass"),
    ],
)
def test_kind_of_known_tables(shared_data: Path, file: str, separator: str, target: str, expected: TaskKind) -> None:
    column = pl.read_csv(shared_data / file, separator=separator, columns=[target], infer_schema_length=None)[target]
    assert guess_kind(column, "number" if column.dtype.is_numeric() else "category").kind == expected
