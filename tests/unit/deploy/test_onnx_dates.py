"""Dates taken apart inside a graph: what encoding makes of them."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lanewise.data.dataset import Dataset
from lanewise.deploy.onnx_dates import MISSING_DATE
from lanewise.deploy.onnx_graph import Graph
from lanewise.deploy.onnx_inputs import raw_rows
from lanewise.features.columns import DATE_PARTS, DateColumn
from lanewise.features.layout import Layout

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LAYOUT = Layout(columns=(DateColumn(name="when", missing=True, parts=DATE_PARTS),))
FAR = 200_000 * 365 * 86_400_000_000
"""About 200,000 years to either side: as far as polars goes."""


@cache
def session() -> Any:
    graph = Graph()
    numbers = raw_rows(graph, LAYOUT).numbers
    assert numbers is not None
    graph.output("numbers", numbers, "float64", len(LAYOUT.numbers))
    model = graph.model(name="dates", words="", metadata={})
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@given(st.lists(st.one_of(st.integers(-FAR, FAR), st.integers(-(10**16), 10**16), st.none()), min_size=1, max_size=50))
@example([None, 0, -1, 1, 951_782_400_000_000, 951_868_799_999_999, -2_203_977_600_000_000, 253_402_300_799_999_999])
@example([day * 86_400_000_000 + shift for day in (-719_468, 11_016, 11_017, -25_509) for shift in (-1, 0)])
@settings(deadline=None)
def test_parts_are_those_of_encoding(stamps: list[int | None]) -> None:
    cells = pl.Series("when", stamps, dtype=pl.Int64).cast(pl.Datetime("us"))
    table = Dataset(frame=pl.DataFrame([cells]), kinds={"when": "date"}, source="dates")
    values = np.array([[MISSING_DATE if stamp is None else stamp] for stamp in stamps], dtype=np.int64)
    (found,) = session().run(None, {"x_when": values})
    expected = LAYOUT.encode(table).numbers
    # polars divides a column of one row exactly and a longer one by way of the inverse: one unit in the last place
    np.testing.assert_allclose(found, expected, rtol=np.finfo(np.float64).eps, atol=4 * np.finfo(np.float64).eps)
    year = LAYOUT.number_names.index("when year")
    np.testing.assert_array_equal(found[:, year], expected[:, year])
