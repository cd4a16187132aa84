"""Small public tables that come with scikit-learn, so that a first run needs no file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import UsageError, suggestion

PREFIX = "example:"
"""Begins a source that is no file."""


@dataclass(frozen=True, kw_only=True)
class ExampleInfo:
    """Name of the target column, and what the table is about."""

    target: str
    words: str


EXAMPLES: Mapping[str, ExampleInfo] = MappingProxyType(
    {
        "breast-cancer": ExampleInfo(target="diagnosis", words="569 biopsies, 30 measures: benign or malignant"),
        "diabetes": ExampleInfo(target="progression", words="442 patients, 10 measures: progression after a year"),
        "digits": ExampleInfo(target="digit", words="1,797 images of 8 x 8 pixels: which digit"),
        "iris": ExampleInfo(target="species", words="150 flowers, 4 measures: which of three species"),
        "wine": ExampleInfo(target="cultivar", words="178 wines, 13 measures: which of three cultivars"),
    }
)

_BREAST_CANCER = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points", "symmetry",
    "fractal_dimension",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _File:
    """Where scikit-learn keeps a table, its columns and, but for numbers, the words of its classes."""

    name: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    delimiter: str | None = ","
    headers: int = 1
    targets: str = ""


_FILES: Mapping[str, _File] = MappingProxyType(
    {
        "breast-cancer": _File(
            name="breast_cancer.csv",
            columns=(
                *(f"mean_{measure}" for measure in _BREAST_CANCER),
                *(f"{measure}_error" for measure in _BREAST_CANCER),
                *(f"worst_{measure}" for measure in _BREAST_CANCER),
            ),
            classes=("malignant", "benign"),
        ),
        "diabetes": _File(
            name="diabetes_data_raw.csv.gz",
            columns=(
                "age", "sex", "bmi", "blood_pressure", "total_cholesterol", "ldl", "hdl", "cholesterol_ratio",
                "log_triglycerides", "glucose",
            ),
            delimiter=None,
            headers=0,
            targets="diabetes_target.csv.gz",
        ),
        "digits": _File(
            name="digits.csv.gz",
            columns=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
            classes=tuple("0123456789"),
            headers=0,
        ),
        "iris": _File(
            name="iris.csv",
            columns=("sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm"),
            classes=("setosa", "versicolor", "virginica"),
        ),
        "wine": _File(
            name="wine_data.csv",
            columns=(
                "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
                "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280_od315_of_diluted_wines",
                "proline",
            ),
            classes=("class_0", "class_1", "class_2"),
        ),
    }
)  # fmt: skip


def known_example(source: str) -> ExampleInfo:
    """What is known of the example that ``source`` names, as ``iris`` or ``example:iris``.

    Raises ``UsageError`` where there is none.
    """
    name = source.removeprefix(PREFIX)
    if name not in EXAMPLES:
        message = f"there is no example {name!r}; {suggestion(name, EXAMPLES)}"
        raise UsageError(message)
    return EXAMPLES[name]


def example(name: str) -> Dataset:
    """Table of that name, its features as numbers in their units and its classes as words.

    Raises ``UsageError`` for a name that is not in ``EXAMPLES``.

    >>> example("iris").frame.columns
    ['sepal_length_cm', 'sepal_width_cm', 'petal_length_cm', 'petal_width_cm', 'species']
    """
    known_example(name)
    features, (values, labels) = _FILES[name].columns, _load(name)
    frame = pl.DataFrame(values.astype(np.float64), schema=features, orient="row")
    target = pl.Series(EXAMPLES[name].target, labels)
    kinds: dict[str, ColumnKind] = dict.fromkeys(features, "number")
    kinds[target.name] = "number" if target.dtype.is_numeric() else "category"
    return Dataset(frame=frame.with_columns(target), kinds=kinds, source=f"the example {name}")


def write_csv(name: str, stream: TextIO) -> None:
    """Write the table of that name as CSV text, header first; raises ``UsageError`` for an unknown name."""
    stream.write(example(name).frame.write_csv())


def _load(name: str) -> tuple[np.ndarray, list[str] | np.ndarray]:
    """The values of the features ``[N, D]`` and the target ``[N]``, as words or numbers."""
    table = _FILES[name]
    values, target = _read(table) or _asked_for(name)
    return values, [table.classes[int(code)] for code in target] if table.classes else target


def _read(table: _File) -> tuple[np.ndarray, np.ndarray] | None:
    """Values and target from the files themselves; None where they are not as they are known.

    To import what reads them in scikit-learn takes two seconds.
    """
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "datasets" / "data"
    try:
        values = np.loadtxt(folder / table.name, delimiter=table.delimiter, skiprows=table.headers, ndmin=2)
        if table.targets:
            values = np.column_stack([values, np.loadtxt(folder / table.targets)])
    except (OSError, ValueError):
        return None
    return (values[:, :-1], values[:, -1]) if values.shape[1] == len(table.columns) + 1 else None


def _asked_for(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and target as scikit-learn itself reads them."""
    # The type of its tables depends on an option, and to work that out takes a type checker ten seconds.
    datasets: Any = import_module("sklearn.datasets")
    loaders: dict[str, Callable[[], Any]] = {
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": partial(datasets.load_diabetes, scaled=False),
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
    }
    bunch = loaders[name]()
    return bunch.data, bunch.target
