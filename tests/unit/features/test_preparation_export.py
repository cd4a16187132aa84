"""Export: the preparation of one fold as a program and as ONNX, for any number of rows."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import raw_rows

ROWS = 150
KINDS: dict[str, ColumnKind] = {
    "light": "number", "heavy": "number", "gaps": "number", "few": "category", "many": "category", "when": "date",
    "text": "text",
}  # fmt: skip
NAMES = ["x_num", "x_cat", "x_text"]
# torch.onnx itself uses what torch deprecates; it says that inputs share the batch axis, and that it leaves out the
# numbers of a model that reads none.
pytestmark = [
    pytest.mark.filterwarnings("ignore:# ONNX model has different number of inputs:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name. .* will not be used:UserWarning"),
]


def dataset() -> Dataset:
    draw = np.random.default_rng(0)
    columns = {
        "light": draw.normal(size=ROWS),
        "heavy": np.exp(2 * draw.normal(size=ROWS)),
        "gaps": [None if i % 7 == 0 else float(i) for i in range(ROWS)],
        "few": [["x", "y", None, "z"][i % 4] for i in range(ROWS)],
        "many": [f"level {i % 50}" for i in range(ROWS)],
        "when": pl.Series(draw.integers(-(10**15), 10**15, ROWS)).cast(pl.Datetime("us")),
        "text": [f"some text {i % 13} é" for i in range(ROWS)],
    }
    return Dataset(frame=pl.DataFrame(columns), kinds=KINDS, source="table.csv")


def prepared(columns: list[str]) -> tuple[Preparation, tuple[Any, ...], tuple[Any, ...], Any]:
    data = dataset()
    layout = Layout.fit(data, columns, np.arange(100), settings=LayoutSettings(text_buckets=32))
    encoded = layout.encode(data)
    preparation = Preparation.fit(layout, encoded, [np.arange(70)], settings=PreparationSettings()).eval()
    example, every = (
        tuple(tensor for tensor in raw_rows(encoded, np.arange(rows)) if tensor is not None) for rows in (5, ROWS)
    )
    shapes = tuple({1: torch.export.Dim("batch")} for _ in example)
    return preparation, example, every, shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exported_program_is_bitwise_the_module(dtype: torch.dtype) -> None:
    preparation, example, every, shapes = prepared(list(KINDS))
    preparation.dtype = dtype
    program = torch.export.export(preparation, example, dynamic_shapes=shapes)
    for found, expected in zip(program.module()(*every), preparation(*every), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("columns", [list(KINDS), ["few"]], ids="-".join)
def test_onnx_agrees(columns: list[str]) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    preparation, example, every, shapes = prepared(columns)
    program = torch.onnx.export(
        preparation,
        example,
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=NAMES[: len(example)],
        output_names=["dense", "levels"],
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = dict(zip(NAMES, every, strict=False))
    for rows in (ROWS, 1):
        inputs = {i.name: given[i.name][:, :rows].numpy() for i in session.get_inputs()}
        dense, levels = session.run(None, inputs)
        expected, expected_levels = preparation(*(tensor[:, :rows] for tensor in every))
        np.testing.assert_allclose(dense, expected.numpy(), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(levels, expected_levels.numpy())
