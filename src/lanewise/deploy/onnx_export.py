"""A predictor as one ONNX file, preprocessing included, checked against the predictor before it is written."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.wording import counted
from lanewise.deploy.onnx_graph import Graph, required
from lanewise.deploy.onnx_inputs import feeds, input_types, raw_rows
from lanewise.deploy.onnx_networks import stacked_response
from lanewise.deploy.onnx_preparation import PreparedRows
from lanewise.deploy.onnx_trees import tree_response
from lanewise.deploy.predictor import Predictor
from lanewise.errors import StoreError
from lanewise.storage.durable import write_atomically
from lanewise.training.fitted import member_dtype

if TYPE_CHECKING:
    import onnx

FORMAT = 1
METADATA = "lanewise"
"""Key of the metadata of the file: JSON with the task, the classes and the column of each input."""

TOLERANCES = {None: 1e-9, "torch.float64": 1e-9, "torch.float32": 1e-5}
"""Largest difference allowed, by the type that the least exact member computes in (None: trees).

Of probabilities absolute; of numbers relative to the value or to the spread of the target, whichever is larger.
"""


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """What was compared: the file and the predictor, on ``rows`` rows; ``inputs`` are the names in the file."""

    max_difference: float
    tolerance: float
    rows: int
    inputs: tuple[str, ...]
    words: str


def export_onnx(predictor: Predictor, path: Path, sample: Dataset) -> ExportCheck:
    """Write ``predictor`` as one ONNX file that reads raw columns, and prove that it predicts the same.

    The inputs are those of `lanewise.deploy.onnx_inputs`, one for each column. The outputs are ``prediction [N]``
    (a label, or a number as double), and ``probabilities [N, K]`` for classes, or ``low [N]`` and ``high [N]`` where
    the predictor has an interval. The metadata ``lanewise`` says which column each input is.

    onnxruntime predicts the rows of ``sample``, and these rows again with cells missing, with levels that nobody
    ever saw and with extreme numbers. The file is written, durably, only if its predictions are those of the
    predictor within the tolerance of its least exact member.

    Raises:
        UsageError: onnx or onnxruntime is not installed, or trees are of a kind that ONNX has not.
        DataError: ``sample`` lacks columns.
        StoreError: the predictions differ, or the file cannot be written.
    """
    runtime = required("onnxruntime")
    model = onnx_model(predictor)
    required("onnx").checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    check = _compare(predictor, session, _with_hard_rows(predictor.contract.conform(sample)))
    if not check.max_difference <= check.tolerance:  # NaN too
        message = (
            f"{path} was not written: onnxruntime's predictions differ by {check.max_difference:.3g}, more than the "
            f"allowed {check.tolerance:g}; predict with lanewise, and please report this"
        )
        raise StoreError(message)
    write_atomically(path, content, verify=True)
    return check


def onnx_model(predictor: Predictor) -> "onnx.ModelProto":
    """The graph of a predictor, not yet checked."""
    graph = Graph()
    layout = predictor.layout
    rows = raw_rows(graph, layout)
    prepared = PreparedRows(graph, predictor.preparation, rows)
    total = sum(member.weight for member in predictor.members)
    average = ""
    for member in predictor.members:
        if member.fitted.trees is not None:
            answer = tree_response(graph, member.fitted.trees, predictor.task, layout, rows)
        else:
            answer = stacked_response(graph, member.fitted, prepared)
        if len(predictor.members) > 1:
            answer = graph.op("Mul", answer, graph.constant(member.weight / total, "float64"))
        average = graph.op("Add", average, answer) if average else answer
    _give_out(graph, predictor, average)
    return graph.model(name="predictor", words=predictor.words, metadata={METADATA: _metadata(predictor, graph)})


def _give_out(graph: Graph, predictor: Predictor, average: str) -> None:
    task = predictor.task
    if task.is_classification:
        if task.kind == "binary":
            cut = graph.constant(predictor.threshold, "float64")
            chosen = graph.cast(graph.op("GreaterOrEqual", graph.column(average, 1), cut), "int64")
        else:
            chosen = graph.op("ArgMax", average, axis=1, keepdims=0)
        graph.output("prediction", graph.op("Gather", graph.texts(task.classes), chosen, axis=0), "str")
        graph.output("probabilities", average, "float64", len(task.classes))
        return
    value = graph.column(average, 0)
    graph.output("prediction", value, "float64")
    if predictor.interval is not None:
        half = graph.constant(predictor.interval.half_width, "float64")
        low = graph.op("Sub", value, half)
        graph.output(
            "low", graph.op("Max", low, graph.constant(0.0, "float64")) if task.kind == "count" else low, "float64"
        )
        graph.output("high", graph.op("Add", value, half), "float64")


def _metadata(predictor: Predictor, graph: Graph) -> str:
    task = predictor.task
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": predictor.name,
        "sha256": predictor.sha256,
        "task": task.kind,
        "target": task.target,
        "classes": list(task.classes),
        "threshold": predictor.threshold if task.kind == "binary" else None,
        "interval_level": None if predictor.interval is None else predictor.interval.level,
        "inputs": input_types(predictor.layout),
        "outputs": [output.name for output in graph.outputs],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _with_hard_rows(sample: Dataset) -> Dataset:
    """The sample, and below it again with each kind of difficulty in every cell, and in one column at a time."""
    head = sample.frame.head(64)
    columns = [pl.col(name) for name in head.columns]
    hard: list[list[pl.Expr]] = [[pl.lit(None, column.dtype).alias(column.name) for column in head.iter_columns()]]
    for number in (1e300, -1e300, 0.0, float(2**53), 1e-300):
        hard.append([_extreme(column, number) for column in head.iter_columns()])
    hard += [[*columns[:place], missing, *columns[place + 1 :]] for place, missing in enumerate(hard[0])]
    frames = [sample.frame, *(head.select(expressions) for expressions in hard)]
    return replace(sample, frame=pl.concat(frames, how="vertical_relaxed"))


def _extreme(column: pl.Series, number: float) -> pl.Expr:
    if column.dtype.is_float():
        return pl.lit(number).alias(column.name)
    if column.dtype.is_integer():
        return pl.lit(int(np.clip(number, -(2**53), 2**53)), column.dtype).alias(column.name)
    if column.dtype == pl.String:
        return pl.lit(f"level {number} that nobody ever saw").alias(column.name)
    return pl.lit(int(np.clip(number, -(2**50), 2**50))).cast(column.dtype).alias(column.name)


def _compare(predictor: Predictor, session: Any, rows: Dataset) -> ExportCheck:
    expected = np.concatenate(list(predictor.responses(rows)))
    given = feeds(predictor.layout, rows)
    inputs = tuple(item.name for item in session.get_inputs())
    answers = dict(
        zip(
            [item.name for item in session.get_outputs()],
            session.run(None, {name: given[name] for name in inputs}),
            strict=True,
        )
    )
    dtypes = [member_dtype(member.fitted) for member in predictor.members]
    tolerance = max(TOLERANCES[None if dtype is None else str(dtype)] for dtype in dtypes)
    if predictor.task.is_classification:
        found, unit = answers["probabilities"], np.ones(1)
    else:
        found = answers["prediction"][:, None]
        unit = np.maximum(np.abs(expected), _spread(predictor, expected))
    difference = _largest_difference(found, expected, unit)
    wrong = int(np.count_nonzero(answers["prediction"] != predictor.decide(found).values))
    if wrong:
        difference = max(difference, float("inf"))
    words = (
        f"onnxruntime predicts {counted(len(expected), 'row')} as lanewise does: the largest difference is "
        f"{difference:.2g}, allowed are {tolerance:g}"
    )
    return ExportCheck(max_difference=difference, tolerance=tolerance, rows=len(expected), inputs=inputs, words=words)


def _spread(predictor: Predictor, expected: np.ndarray) -> float:
    """The scale on which numbers are trained: that of the stacked members, or else the usual size of a value."""
    scales = [member.fitted.scale for member in predictor.members if member.fitted.tensors is not None]
    return max(scales) if scales else float(np.median(np.abs(expected))) or 1.0


def _largest_difference(found: np.ndarray, expected: np.ndarray, unit: np.ndarray) -> float:
    """``max |found - expected| / unit``; equal infinities do not differ, and a NaN differs from everything."""
    with np.errstate(invalid="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected) / unit)
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
