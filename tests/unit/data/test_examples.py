"""The tables that come with scikit-learn, with readable names."""

import io
import re
import subprocess
import sys
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import datasets

from lanewise.data import examples
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


@pytest.mark.parametrize("name", EXAMPLES)
def test_they_are_what_scikit_learn_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its files, without its two seconds of loading, or, where these are not there, through it."""
    monkeypatch.setattr(examples, "_asked_for", lambda name: pytest.fail("scikit-learn was loaded"))
    directly = example(name).frame
    monkeypatch.undo()
    loaders: dict[str, Any] = {
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": partial(datasets.load_diabetes, scaled=False),
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
    }
    theirs = loaders[name]()
    assert np.array_equal(directly[:, :-1].to_numpy(), theirs.data)
    labels = theirs.target if name == "diabetes" else [str(theirs.target_names[code]) for code in theirs.target]
    assert directly[:, -1].to_list() == list(labels)
    plain = {"bp": "blood_pressure", "s1": "total_cholesterol", "s2": "ldl", "s3": "hdl", "s4": "cholesterol_ratio"}
    plain |= {"s5": "log_triglycerides", "s6": "glucose"}
    bare = [str(column).translate(str.maketrans(" /", "__", "()")) for column in theirs.feature_names]
    assert directly.columns[:-1] == [plain.get(column, column) for column in bare]
    monkeypatch.setattr(examples, "_read", lambda table: None)
    assert example(name).frame.equals(directly)


@pytest.mark.parametrize("lost", ["no scikit-learn", "another folder", "another column"])
def test_files_that_are_not_as_they_are_known_are_not_read(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets" / "data").mkdir(parents=True)
    if lost == "another column":
        (tmp_path / "datasets" / "data" / "iris.csv").write_text("1,5,a,b\n1.0,2.0,3.0,4.0,5.0,0\n")
    spec = ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(examples, "find_spec", lambda name: None if lost == "no scikit-learn" else spec)
    assert examples._read(examples._FILES["iris"]) is None


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


def test_examples_are_read_without_loading_scikit_learn() -> None:
    code = (
        "import sys; from lanewise.data.examples import EXAMPLES, example; print([example(n).rows for n in EXAMPLES]); "
        "print('sklearn' in sys.modules or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[569, 442, 1797, 150, 178]", "False"]
