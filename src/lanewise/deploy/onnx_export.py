"""A predictor as one ONNX file, preprocessing included, checked against the predictor before it is written."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanewise.data.dataset import Dataset
from lanewise.deploy.onnx_check import ExportCheck, check_export
from lanewise.deploy.onnx_graph import Graph, required
from lanewise.deploy.onnx_inputs import input_types, raw_rows
from lanewise.deploy.onnx_networks import stacked_response
from lanewise.deploy.onnx_preparation import PreparedRows
from lanewise.deploy.onnx_trees import tree_response
from lanewise.deploy.predictor import Interval, Predictor
from lanewise.storage.durable import write_atomically

if TYPE_CHECKING:
    import onnx

FORMAT = 1
METADATA = "lanewise"
"""Key of the metadata of the file: JSON with the task, the classes and the column of each input."""


def export_onnx(predictor: Predictor, path: Path, sample: Dataset) -> ExportCheck:
    """Write ``predictor`` as one ONNX file that reads raw columns, and prove that it predicts the same.

    The inputs are those of `lanewise.deploy.onnx_inputs`, one for each column. The outputs are ``prediction [N]``
    (a label, or a number as double), and ``probabilities [N, K]`` for classes, or ``low [N]`` and ``high [N]`` where
    the predictor has an interval. The metadata ``lanewise`` says which column each input is.

    The file is written, durably, only if it passed `lanewise.deploy.onnx_check.check_export` on the rows of
    ``sample``, and on harder ones made of them.

    Raises:
        UsageError: onnx or onnxruntime is not installed, or trees are of a kind that ONNX has not.
        DataError: ``sample`` lacks columns.
        StoreError: the predictions differ, or the file cannot be written.
    """
    required("onnxruntime")
    model = onnx_model(predictor)
    required("onnx").checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    check = check_export(predictor, content, sample)
    write_atomically(path, content, verify=True, private=False)
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
        half = _half_width(graph, predictor.interval, value)
        low = graph.op("Sub", value, half)
        if predictor.interval.floor is not None:
            floor = graph.op("Min", value, graph.constant(predictor.interval.floor, "float64"))
            low = graph.op("Max", low, floor)
        if task.kind == "count":
            low = graph.op("Max", low, graph.constant(0.0, "float64"))
        graph.output("low", low, "float64")
        graph.output("high", graph.op("Add", value, half), "float64")


def _half_width(graph: Graph, interval: Interval, value: str) -> str:
    """One width, or that of the bin ``[N]`` of the prediction ``value [N]``."""
    if not interval.follows:
        return graph.constant(interval.half_width, "float64")
    column = graph.op("Unsqueeze", value, graph.constant([1], "int64"))
    reached = graph.op("GreaterOrEqual", column, graph.constant(interval.edges, "float64"))
    place = graph.op("ReduceSum", graph.cast(reached, "int64"), graph.constant([1], "int64"), keepdims=0)
    return graph.op("Gather", graph.constant(interval.half_widths, "float64"), place, axis=0)


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
