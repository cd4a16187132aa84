"""The tables that come with scikit-learn, with readable names."""

import io
import re
import subprocess
import sys

import polars as pl
import pytest

from lanewise.data.examples import EXAMPLES, example, write_csv
from lanewise.data.target import resolve_task
from lanewise.errors import UsageError


@pytest.mark.parametrize(
    ("name", "shape", "kind", "labels"),
    [
        ("breast-cancer", (569, 31), "binary", ("benign", "malignant")),
        ("diabetes", (442, 11), "regression", ()),
        ("digits", (1797, 65), "multiclass", tuple("0123456789")),
        ("iris", (150, 5), "multiclass", ("setosa", "versicolor", "virginica")),
        ("wine", (178, 14), "multiclass", ("class_0", "class_1", "class_2")),
    ],
)
def test_examples_are_ready_for_training(name: str, shape: tuple, kind: str, labels: tuple) -> None:
    dataset = example(name)
    assert dataset.frame.shape == shape
    assert list(dataset.kinds) == dataset.frame.columns
    assert all(re.fullmatch(r"[a-z0-9_]+", column) for column in dataset.frame.columns)
    assert dataset.frame.null_count().sum_horizontal().item() == 0
    assert str(shape[0]) in EXAMPLES[name].words.replace(",", "")
    task, _ = resolve_task(dataset, EXAMPLES[name].target)
    assert (task.kind, task.classes) == (kind, labels)


def test_known_cells() -> None:
    first = example("breast-cancer").frame.row(0, named=True)
    assert (first["mean_radius"], first["diagnosis"]) == (17.99, "malignant")
    first = example("diabetes").frame.row(0, named=True)
    assert (first["age"], first["blood_pressure"], first["progression"]) == (59.0, 101.0, 151.0)


def test_written_table_reads_back() -> None:
    stream = io.StringIO()
    write_csv("iris", stream)
    back = pl.read_csv(io.BytesIO(stream.getvalue().encode()))
    assert back.equals(example("iris").frame)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no example 'boston'; there are breast-cancer, diabetes, digits, iris, wine"):
        example("boston")


def test_the_list_of_examples_loads_without_scikit_learn() -> None:
    code = "import sys, lanewise.data.examples; print('sklearn' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
