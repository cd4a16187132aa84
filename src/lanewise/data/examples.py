"""Small public tables that come with scikit-learn, so that a first run needs no file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np
import polars as pl

from lanewise.data.dataset import ColumnKind, Dataset
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

_DIABETES_COLUMNS = {
    "bp": "blood_pressure",
    "s1": "total_cholesterol",
    "s2": "ldl",
    "s3": "hdl",
    "s4": "cholesterol_ratio",
    "s5": "log_triglycerides",
    "s6": "glucose",
}


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
    features, values, labels = _load(name)
    frame = pl.DataFrame(values.astype(np.float64), schema=features, orient="row")
    target = pl.Series(EXAMPLES[name].target, labels)
    kinds: dict[str, ColumnKind] = dict.fromkeys(features, "number")
    kinds[target.name] = "number" if target.dtype.is_numeric() else "category"
    return Dataset(frame=frame.with_columns(target), kinds=kinds, source=f"the example {name}")


def write_csv(name: str, stream: TextIO) -> None:
    """Write the table of that name as CSV text, header first; raises ``UsageError`` for an unknown name."""
    stream.write(example(name).frame.write_csv())


def _load(name: str) -> tuple[list[str], np.ndarray, list[str] | np.ndarray]:
    """Feature names, their values ``[N, D]`` and the target ``[N]`` as words or numbers."""
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
    features = [_friendly(str(column)) for column in bunch.feature_names]
    if name == "diabetes":
        return features, bunch.data, bunch.target
    return features, bunch.data, [str(bunch.target_names[code]) for code in bunch.target]


def _friendly(column: str) -> str:
    """Column name without blanks, brackets or codes.

    >>> _friendly("sepal length (cm)"), _friendly("od280/od315_of_diluted_wines")
    ('sepal_length_cm', 'od280_od315_of_diluted_wines')
    """
    bare = column.translate(str.maketrans(" /", "__", "()"))
    return _DIABETES_COLUMNS.get(bare, bare)
