"""Whether an exported model predicts what its predictor predicts, found out by running it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.wording import counted
from lanewise.deploy.onnx_graph import required
from lanewise.deploy.onnx_inputs import feeds
from lanewise.deploy.predictor import Predictor
from lanewise.errors import DataError, StoreError
from lanewise.training.fitted import member_dtype

TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
"""Largest difference allowed, by the type that the least exact member computes in; trees are float64.

Of probabilities absolute; of numbers relative to the value, or to the spread of the target where that is larger.
"""

NOISE_FACTOR = 4.0
"""Far from the training rows float32 itself is less exact: the file may be this many times as far from exact
arithmetic as the predictor is."""

MOST_ROWS = 10_000
"""Rows of a larger sample are taken at even steps."""

BLOCK_CELLS = 4_000_000
HARD_NUMBERS = (1e300, -1e300, 0.0, float(2**53), 1e-300)
HARD_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """What was compared: the file and the predictor, on ``rows`` rows; ``inputs`` are the names in the file.

    ``max_difference`` is in the units of `TOLERANCES`, and at most ``tolerance``.
    """

    max_difference: float
    tolerance: float
    rows: int
    inputs: tuple[str, ...]
    words: str


def check_export(predictor: Predictor, content: bytes, sample: Dataset) -> ExportCheck:
    """Let onnxruntime predict ``sample`` with a model, and rows made of it: missing cells, new levels, huge numbers.

    Raises ``StoreError`` where its predictions are not those of ``predictor``, ``DataError`` where ``sample`` lacks
    columns or rows.
    """
    session = _session(content)
    usual = predictor.contract.conform(sample)
    usual = replace(usual, frame=usual.frame.gather_every(-(-usual.rows // MOST_ROWS) or 1))
    if not usual.rows:
        message = f"{sample.source} has no rows to check the export on; give some of the training rows"
        raise DataError(message)
    hard = hard_rows(usual)
    parts = [_compare(predictor, session, rows) for rows in (usual, hard)]
    unit = "probabilities" if predictor.task.is_classification else "predictions, relative to their size,"
    for difference, tolerance in parts:
        if not difference <= tolerance:  # a NaN is no pass
            message = (
                f"the model was not exported: onnxruntime's {unit} differ by {difference:.3g}, and at most "
                f"{tolerance:.3g} is rounding; predict with lanewise instead, and please report this"
            )
            raise StoreError(message)
    difference, tolerance = (max(values) for values in zip(*parts, strict=True))
    return ExportCheck(
        max_difference=difference,
        tolerance=tolerance,
        rows=usual.rows + hard.rows,
        inputs=tuple(item.name for item in session.get_inputs()),
        words=f"onnxruntime predicts {counted(usual.rows, 'row')} of the data as lanewise does, and {hard.rows:,} made "
        f"of them to be hard (missing cells, new levels, huge numbers): {unit} differ by at most {difference:.2g}, and "
        f"up to {tolerance:.2g} is taken for rounding",
    )


def hard_rows(usual: Dataset) -> Dataset:
    """Rows of the sample with all cells missing, all levels new, all numbers huge, and columns missing in turn."""
    frame = usual.frame.head(HARD_ROWS)
    nothing = [pl.lit(None, column.dtype).alias(column.name) for column in frame.iter_columns()]
    changes = [nothing, *([_extreme(column, number) for column in frame.iter_columns()] for number in HARD_NUMBERS)]
    parts = [frame.head(8).with_columns(change) for change in changes]
    turns = min(frame.width, HARD_ROWS)
    for turn in range(turns):
        parts.append(frame.slice(turn % frame.height, 1).with_columns(nothing[turn::turns]))
    return replace(usual, frame=pl.concat(parts, how="vertical"))


def _extreme(column: pl.Series, number: float) -> pl.Expr:
    if column.dtype.is_float():
        cell = pl.lit(number, column.dtype)
    elif column.dtype.is_integer():
        cell = pl.lit(int(np.clip(number, -(2**53), 2**53)), column.dtype)
    elif column.dtype == pl.String:
        cell = pl.lit(f"{number} is a level that nobody ever saw")
    else:
        cell = pl.lit(int(np.clip(number, -(2**50), 2**50)), pl.Int64).cast(column.dtype)
    return cell.alias(column.name)


def _session(content: bytes) -> Any:
    runtime = required("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _compare(predictor: Predictor, session: Any, rows: Dataset) -> tuple[float, float]:
    """The largest difference, and the largest that is allowed on these rows."""
    expected = np.concatenate(list(predictor.responses(rows)))
    answers = [session.run(None, given) for given in _blocks(predictor, session, rows)]
    names = [item.name for item in session.get_outputs()]
    answer = {name: np.concatenate(parts) for name, parts in zip(names, zip(*answers, strict=True), strict=True)}
    classes = predictor.task.is_classification
    found = answer["probabilities"] if classes else answer["prediction"][:, None]
    unit = np.ones_like(expected) if classes else np.maximum(np.abs(expected), _spread(predictor, expected))
    difference = _largest(found, expected, unit)
    decided = predictor.decide(found)
    told = {"prediction": decided.values, "low": decided.low, "high": decided.high}
    if any(values is not None and not _same(answer[name], values) for name, values in told.items()):
        difference = np.inf
    if not _single_precision(predictor):
        return difference, TOLERANCES["float64"]
    exact = np.concatenate(list(_in_double(predictor).responses(rows)))
    noise = _largest(expected, exact, unit)
    return difference, max(TOLERANCES["float32"], NOISE_FACTOR * noise)


def _blocks(predictor: Predictor, session: Any, rows: Dataset) -> Iterator[dict[str, np.ndarray]]:
    layout = predictor.layout
    size = max(1, BLOCK_CELLS // (len(layout.columns) + layout.dense_width))
    inputs = [item.name for item in session.get_inputs()]
    for start in range(0, rows.rows, size):
        given = feeds(layout, replace(rows, frame=rows.frame.slice(start, size)))
        yield {name: given[name] for name in inputs}


def _same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether labels or numbers are equal; a NaN is equal to a NaN."""
    return bool(np.all((found == expected) | ((found != found) & (expected != expected))))  # noqa: PLR0124 text has no isnan


def _single_precision(predictor: Predictor) -> bool:
    """Whether a member computes in float32, or has an activation that onnxruntime computes in float32 only."""
    fitted = [member.fitted for member in predictor.members]
    return any(
        str(member_dtype(member)) == "torch.float32" or member.candidate.text("activation") == "gelu"
        for member in fitted
    )


def _in_double(predictor: Predictor) -> Predictor:
    """The same predictor, computing in float64."""
    members = []
    for member in predictor.members:
        tensors = member.fitted.tensors
        wide = None if tensors is None else {name: tensor.double() for name, tensor in tensors.items()}
        members.append(replace(member, fitted=replace(member.fitted, tensors=wide)))
    return replace(predictor, members=tuple(members))


def _spread(predictor: Predictor, expected: np.ndarray) -> float:
    """The scale on which numbers are trained: that of the stacked members, or else the usual size of a value."""
    scales = [member.fitted.scale for member in predictor.members if member.fitted.tensors is not None]
    return max(scales) if scales else float(np.median(np.abs(expected))) or 1.0


def _largest(found: np.ndarray, expected: np.ndarray, unit: np.ndarray) -> float:
    """``max |found - expected| / unit``; equal infinities do not differ, and a NaN differs from everything."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected) / unit)
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
