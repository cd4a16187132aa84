"""The inputs of an exported model: one for each column, as the rows hold it, before any preparation.

======== =========== ================================ ==========================
kind     type        one row                          missing
======== =========== ================================ ==========================
number   double      ``[N, 1]``                       NaN
category string      ``[N, 1]``, the level            the empty string
date     int64       ``[N, 1]`` microseconds since    -2^63 (NaT of numpy)
                     1970, without time zone
text     float       ``[N, H]`` counts of hashed      zeros
                     words, of `text_counts`
======== =========== ================================ ==========================
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.deploy.onnx_dates import MISSING_DATE, encoded_date
from lanewise.deploy.onnx_graph import ML, Graph
from lanewise.features.columns import (
    FIRST_LEVEL_CODE,
    MISSING_CODE,
    OTHER_CODE,
    CategoryColumn,
    Column,
    DateColumn,
    NumberColumn,
    TextColumn,
)
from lanewise.features.hashing import count_buckets
from lanewise.features.layout import Layout

MOST_NAME_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """Names of the tensors that `lanewise.features.encoding.Encoded` has: None where there is no such column.

    ``numbers [N, Dn]`` float64, ``codes [N, Kc]`` int64, ``tokens [N, H]`` float32.
    """

    numbers: str | None
    codes: str | None
    tokens: str | None


def input_names(layout: Layout) -> dict[str, str]:
    """The input of each column: ``x_`` and its name in letters, digits and underscores, made unique.

    The prefix keeps names apart from the words that ONNX and the languages around it reserve.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in layout.columns:
        plain = "x_" + re.sub(r"[^0-9A-Za-z_]", "_", column.name)[:MOST_NAME_CHARACTERS]
        name, count = plain, 1
        while name in taken:
            count += 1
            name = f"{plain}_{count}"
        taken.add(name)
        names[column.name] = name
    return names


def input_types(layout: Layout) -> list[dict[str, Any]]:
    """Name, column, kind, type and width of each input, for the metadata of the file."""
    names = input_names(layout)
    described: list[dict[str, Any]] = []
    for column in layout.columns:
        dtype, width = _type(column)
        fields: dict[str, Any] = {"name": names[column.name], "column": column.name, "kind": column.kind}
        fields |= {"type": dtype, "width": width}
        if isinstance(column, TextColumn):
            fields |= {"buckets": column.buckets, "character_ngrams": list(column.character_ngrams)}
        described.append(fields)
    return described


def feeds(layout: Layout, dataset: Dataset) -> dict[str, np.ndarray]:
    """What an exported model is given for the rows of a table whose columns conform to the model's contract."""
    names = input_names(layout)
    return {names[column.name]: _feed(column, dataset.frame[column.name]) for column in layout.columns}


def text_counts(texts: pl.Series, fields: Mapping[str, Any]) -> np.ndarray:
    """Counts ``[N, H]`` (float32) of a text column, as an exported model reads it.

    ``texts`` is a Series of polars, missing cells null. ``fields`` is the entry of its input in the metadata
    ``lanewise`` of the file: its ``buckets`` (H) and ``character_ngrams`` say how words are hashed.

    >>> fields = {"buckets": 4, "character_ngrams": []}
    >>> text_counts(pl.Series(["yes, yes", None]), fields).sum(axis=1).tolist()
    [2.0, 0.0]
    """
    ngrams = tuple(fields["character_ngrams"])
    return count_buckets(texts, buckets=fields["buckets"], character_ngrams=ngrams).toarray().astype(np.float32)


def raw_rows(graph: Graph, layout: Layout) -> RawRows:
    """Declare the inputs, and bring them to the arrays that preparation and trees read."""
    names = input_names(layout)
    numbers: list[str] = []
    codes: list[str] = []
    tokens: list[str] = []
    for column in layout.columns:
        given = graph.input(names[column.name], *_type(column))
        if isinstance(column, NumberColumn):
            numbers.append(given)
        elif isinstance(column, DateColumn):
            numbers.extend(encoded_date(graph, given, column))
        elif isinstance(column, CategoryColumn):
            codes.append(_code(graph, given, column))
        else:
            tokens.append(given)
    joined = [graph.beside(parts) if parts else None for parts in (numbers, codes, tokens)]
    return RawRows(numbers=joined[0], codes=joined[1], tokens=joined[2])


def _type(column: Column) -> tuple[str, int]:
    if isinstance(column, TextColumn):
        return "float32", column.buckets
    return {"number": "float64", "date": "int64", "category": "str"}[column.kind], 1


def _code(graph: Graph, given: str, column: CategoryColumn) -> str:
    levels = [level for level in column.levels if level]
    places = [place for place, level in enumerate(column.levels, FIRST_LEVEL_CODE) if level]
    return graph.op(
        "LabelEncoder",
        given,
        domain=ML,
        keys_strings=["", *levels],
        values_int64s=[MISSING_CODE, *places],
        default_int64=OTHER_CODE,
    )


def _feed(column: Column, cells: pl.Series) -> np.ndarray:
    if isinstance(column, TextColumn):
        fields = {"buckets": column.buckets, "character_ngrams": column.character_ngrams}
        return text_counts(cells, fields)
    if isinstance(column, NumberColumn):
        return cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()[:, None]
    if isinstance(column, DateColumn):
        return cells.cast(pl.Datetime("us")).to_physical().fill_null(MISSING_DATE).to_numpy()[:, None]
    return cells.cast(pl.String).fill_null("").to_numpy().astype(object)[:, None]
