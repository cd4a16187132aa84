"""Columns that nearly tell the target are reported with a figure measured on rows held out."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.leakage import leakage
from lanewise.task import TaskKind

ROWS = 600


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=ROWS)


def leaks(y: np.ndarray | list, kind: TaskKind, **columns: np.ndarray | list) -> tuple[Finding, ...]:
    frame = pl.DataFrame({**columns, "y": y}, strict=False)
    kinds: dict[str, ColumnKind] = {
        name: "number" if frame[name].dtype.is_numeric() else "category" for name in frame.columns
    }
    dataset = Dataset(frame=frame, kinds=kinds, source="a table")
    return leakage(dataset, target="y", kind=kind, features=tuple(columns), rows=np.arange(frame.height))


def test_a_copy_of_a_number_is_a_leak_whatever_its_tail() -> None:
    for y in (noise(0), np.exp(2 * noise(0)), np.cumsum(noise(0))):
        (finding,) = leaks(y, "regression", copy=3 * y + 1, other=noise(1))
        assert (finding.code, finding.severity, finding.column) == ("leaks_target", "warning", "copy")
        assert finding.figure == pytest.approx(1, abs=1e-6)


def test_a_monotone_copy_is_a_leak() -> None:
    y = np.exp(2 * noise(0))
    assert [finding.column for finding in leaks(y, "regression", copy=np.log(y), other=noise(1))] == ["copy"]


def test_a_curved_copy_is_a_leak() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, ROWS)
    assert [finding.column for finding in leaks(x**2, "regression", copy=x, other=noise(1))] == ["copy"]


def test_noise_is_no_leak() -> None:
    assert leaks(noise(0), "regression", a=noise(1), b=noise(2)) == ()
    assert leaks((noise(0) > 0).astype(int), "binary", a=noise(1), b=noise(2)) == ()
    assert leaks(np.arange(ROWS) % 5, "multiclass", a=noise(1), b=noise(2)) == ()


def test_high_cardinality_text_is_not_taken_for_a_leak() -> None:
    names = [f"name {row}" for row in range(ROWS)]
    assert leaks((noise(0) > 0).astype(int), "binary", name=names) == ()
    assert leaks(noise(0), "regression", name=names) == ()


def test_codes_of_a_class_are_leaks() -> None:
    y = np.arange(ROWS) % 4
    words = [["north", "east", "south", "west"][label] for label in y]
    findings = leaks(words, "multiclass", code=y * 10, word=words, other=noise(0))
    assert [(finding.code, finding.column, finding.figure) for finding in findings] == [
        ("leaks_target", "code", 1.0),
        ("leaks_target", "word", 1.0),
    ]


def test_missingness_that_tells_the_class_is_a_leak() -> None:
    y = np.random.default_rng(0).integers(0, 2, ROWS)
    column = [None if label else value for label, value in zip(y, noise(1).tolist(), strict=True)]
    (finding,) = leaks(y, "binary", paid_back=column)
    assert (finding.column, finding.figure) == ("paid_back", 1.0)


def test_area_under_the_curve_is_that_of_scikit_learn() -> None:
    levels = np.random.default_rng(0).integers(0, 6, ROWS)
    y = (np.random.default_rng(1).random(ROWS) < levels / 6).astype(np.int64)
    (finding,) = leaks(y, "binary", level=[f"level {level}" for level in levels])
    order = np.random.default_rng(0).permutation(np.arange(ROWS))
    learn, judge = order[: ROWS // 2], order[ROWS // 2 :]
    rates = np.array([y[learn][levels[learn] == level].mean() for level in range(6)])
    assert finding.code == "strongest_column"
    assert finding.figure == pytest.approx(roc_auc_score(y[judge], rates[levels[judge]]), abs=1e-12)


def test_sums_and_differences_are_found() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 300, ROWS), rng.integers(0, 300, ROWS)
    for y, words in ((a + b, "'a' + 'b' is 'y'"), (a - b, "'a' - 'b' is 'y'")):
        (finding,) = leaks(y, "count", a=a, b=b, c=noise(0))
        assert finding.code == "sums_to_target"
        assert words in finding.message


def test_what_is_not_checked_for_want_of_rows_is_said() -> None:
    y = np.arange(39)
    (finding,) = leaks(y, "regression", copy=y)
    assert (finding.code, finding.severity) == ("leaks_unchecked", "info")
    assert "39 rows, and 40 are needed" in finding.message
    rare = (np.arange(ROWS) < 7).astype(int)
    (finding,) = leaks(rare, "binary", copy=rare)
    assert (finding.code, finding.severity) == ("leaks_unchecked", "info")
    assert "the smaller class has 7 rows, and 8 are needed" in finding.message


def test_a_class_of_few_rows_is_told_by_a_missing_cell_or_a_value() -> None:
    rare = np.arange(ROWS) < 17
    closed = [f"2023-01-{row + 1:02}" if row < 17 else None for row in range(ROWS)]
    state = ["closed" if row < 17 else ("open", "new")[row % 2] for row in range(ROWS)]
    still = [None if row < 17 or row == 400 else "paying" for row in range(ROWS)]
    *found, unchecked = leaks(rare, "binary", closed=closed, state=state, still=still, copy=rare * 1, other=noise(0))
    assert [(one.code, one.severity, one.column) for one in found] == [
        ("leaks_target", "warning", name) for name in ("closed", "state", "still", "copy")
    ]
    assert "it is filled in 17 of 17 rows of the smaller class and in 0 of the 583 others" in found[0].message
    assert "it is 'closed' in 17 of 17" in found[1].message
    assert "it is missing in 17 of 17 rows of the smaller class and in 1 of the 583 others" in found[2].message
    assert found[2].figure == pytest.approx((1 + 582 / 583) / 2)
    assert (unchecked.code, unchecked.severity) == ("leaks_unchecked", "info")


def test_chance_and_weak_signs_do_not_tell_a_class_of_few_rows() -> None:
    rng = np.random.default_rng(0)
    rare = np.arange(ROWS) < 17
    columns = {f"c{place}": rng.choice(["a", "b", None], ROWS, p=[0.05, 0.05, 0.9]).tolist() for place in range(50)}
    half_filled = [1.0 if row < 8 else None for row in range(ROWS)]
    names = [f"name {row}" for row in range(ROWS)]
    (finding,) = leaks(rare, "binary", **columns, half_filled=half_filled, names=names)
    assert finding.code == "leaks_unchecked"


def test_a_figure_of_ranks_is_called_so() -> None:
    y = np.exp(3 * noise(0))
    (finding,) = leaks(y, "regression", order=np.sqrt(noise(0) + 5), other=noise(1))
    assert "(squared rank correlation 1.000 on rows held out)" in finding.message
    (finding,) = leaks(noise(0), "regression", near=noise(0) + 0.1 * noise(1))
    figure = f"{finding.figure:.3f}"
    assert figure < "1.000"
    assert f"(R² {figure} on rows held out)" in finding.message


@pytest.mark.parametrize(
    ("file", "separator", "target", "kind", "leaking", "figure"),
    [
        ("bike_sharing_hour.csv.gz", ",", "cnt", "count", ["registered", "casual"], 0.95),
        ("mushrooms.csv", ",", "type", "binary", ["odor"], 0.987),
        ("energy_efficiency.csv", ",", "Y1", "regression", ["Y2"], 0.95),
        ("abalone.csv", ",", "Rings", "regression", [], None),
        ("bank_additional_full.csv.gz", ";", "y", "binary", ["duration"], 0.815),
    ],
)
def test_known_tables(
    *, shared_data: Path, file: str, separator: str, target: str, kind: TaskKind, leaking: list, figure: float | None
) -> None:
    frame = pl.read_csv(shared_data / file, separator=separator, infer_schema_length=None)
    features = tuple(name for name in frame.columns if name not in (target, "instant"))
    kinds: dict[str, ColumnKind] = {
        name: "number" if frame[name].dtype.is_numeric() else "category" for name in frame.columns
    }
    dataset = Dataset(frame=frame, kinds=kinds, source=file)
    findings = leakage(dataset, target=target, kind=kind, features=features, rows=np.arange(frame.height))
    assert [finding.column for finding in findings] == leaking
    if figure is not None:
        assert findings[0].figure == pytest.approx(figure, abs=0.01)


def test_a_target_that_rounding_hides_beside_the_columns_is_no_difference_of_them() -> None:
    assert not leaks(noise(0) * 1e-30, "regression", x=noise(1), q=noise(2))


def test_a_rare_class_of_a_large_table_is_not_lost_in_the_sample() -> None:
    rows, draw = 60_000, np.random.default_rng(3)
    y = np.zeros(rows, dtype=int)
    y[draw.permutation(rows)[:15]] = 1
    closed = [float(row % 7) if rare else None for row, rare in enumerate(y)]
    findings = leaks(y, "binary", closed=closed, other=draw.normal(size=rows))
    assert [(one.code, one.column) for one in findings] == [("leaks_target", "closed"), ("leaks_unchecked", None)]
    assert "it is filled in 15 of 15 rows of the smaller class and in 0 of the 19985 others" in findings[0].message


def test_a_rare_class_among_several_is_looked_at_by_itself() -> None:
    y = np.arange(ROWS) % 5
    y[::20] = 7
    paid = [float(row) if label == 7 else None for row, label in enumerate(y)]
    findings = leaks(y, "multiclass", paid=paid, other=noise(0))
    assert [(one.code, one.column) for one in findings] == [("leaks_target", "paid")]
    assert "'paid' alone nearly tells 'y' (it is filled in 30 of 30 rows of class 7 and in 0 of" in findings[0].message
    often = [1.0 if label == 2 else None for label in y]  # a class that is not rare is for its accuracy to tell
    assert leaks(y, "multiclass", often=often, coarse=np.round(noise(0)), other=noise(2)) == ()


def test_numbers_near_the_largest_are_told_apart_without_overflow() -> None:
    y = noise(0)
    (finding,) = leaks(y, "regression", copy=np.clip(y, -1.7, 1.7) * 1e308, other=noise(1) * 1e307)
    assert (finding.code, finding.column) == ("leaks_target", "copy")


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_columns_looked_at_together_are_found_as_each_alone(kind: TaskKind) -> None:
    cause = noise(0)
    y = {"regression": np.exp(cause), "binary": (cause > 0).astype(int), "multiclass": np.digitize(cause, [-0.5, 0.6])}
    draw = np.random.default_rng(7)
    columns: dict[str, np.ndarray | list] = {f"noise {place}": draw.normal(size=ROWS) for place in range(30)}
    columns |= {f"near {size}": cause + size * draw.normal(size=ROWS) for size in (0.0, 0.01, 0.05, 0.5)}
    columns["holes"] = [None if draw.random() < 0.05 else value for value in cause.tolist()]
    columns["words"] = [f"level {int(10 * value)}" for value in cause]
    columns["huge"] = cause * 1e170
    alone = [finding for name in columns for finding in leaks(y[kind], kind, **{name: columns[name]})]
    told = [finding for finding in alone if finding.code == "leaks_target"]
    strongest = [max(alone, key=lambda finding: finding.figure or 0.0)] if not told else []
    assert list(leaks(y[kind], kind, **columns)) == told + strongest
