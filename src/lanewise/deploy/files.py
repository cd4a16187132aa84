"""Predictions as CSV: one line for each row, in the order of the rows, and nothing else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.read_options import ReadOptions
from lanewise.data.reading import read_like
from lanewise.data.row_by_row import checked_rows
from lanewise.data.rows_in_batches import RowsInBatches, rows_in_batches
from lanewise.data.text_in_batches import TextInBatches, text_in_batches
from lanewise.deploy.predictor import Prediction, Predictor, count_overflows, overflow_findings
from lanewise.storage.durable import write_atomically


@dataclass(frozen=True, kw_only=True)
class Written:
    """How many rows were predicted, and what was unusual about them."""

    rows: int
    findings: tuple[Finding, ...]


class Output(Protocol):
    """Where lines are written to: an open binary file."""

    def write(self, data: bytes, /) -> object: ...


def predict_file(predictor: Predictor, source: object, out: Path, *, options: ReadOptions | None = None) -> Written:
    """Predict every row of ``source`` (as `lanewise.data.reading.read` takes it) and write CSV durably to ``out``.

    The columns are ``prediction``, and ``probability_<class>`` for classes or, where the model has an interval,
    ``low`` and ``high`` for numbers; numbers are written so that they read back exactly. Row i of the file belongs
    to row i of the table. A row of nothing but empty cells keeps its place and is predicted with every cell missing; a
    line without any character is no row, as for pandas and R; findings count both. Predictions are made and written in
    blocks. So are rows read: of Parquet and Arrow files that are too many for the memory, and of long delimited texts;
    other tables are read whole, within the reader's bound on memory.

    Raises ``DataError`` where a column is absent, or where rows have too few or too many fields: their predictions
    would be missing and all later lines would belong to other rows.
    """
    rows, findings = rows_to_predict(predictor, source, options=options)
    late: list[Finding] = []
    write_atomically(out, lambda file: late.extend(write_predictions(predictor, rows, file)), private=False)
    return Written(rows=rows.rows, findings=(*findings, *late))


def rows_to_predict(
    predictor: Predictor, source: object, *, options: ReadOptions | None = None
) -> tuple[Dataset | RowsInBatches | TextInBatches, tuple[Finding, ...]]:
    """The rows of ``source``, in memory or to be read in batches, and what is unusual about them.

    Raises ``DataError`` as `predict_file`.
    """
    contract = predictor.contract
    for read in (rows_in_batches, text_in_batches):
        batches = read(source, contract, options=options_of(contract, options))
        if batches is not None:
            return batches, batches.findings
    dataset = read_rows(contract, source, options=options)
    return dataset, predictor.check(dataset)


def read_rows(contract: DataContract, source: object, *, options: ReadOptions | None = None) -> Dataset:
    """The rows of ``source`` as a model of that contract reads them; ``DataError`` where any was set aside."""
    options = replace(options_of(contract, options), keep_empty=True)
    dataset = read_like(source, {column.name: column.kind for column in contract.columns}, options=options)
    return replace(dataset, findings=checked_rows(dataset.findings, source=dataset.source, rows=dataset.rows))


def options_of(contract: DataContract, options: ReadOptions | None = None) -> ReadOptions:
    """How rows for a model of that contract are read: as ``options`` say, then as the table of training was."""
    options = options or ReadOptions()
    return replace(
        options,
        missing=(*options.missing, *contract.missing),
        conventions=contract.conventions | dict(options.conventions),
        delimiter=options.delimiter or contract.delimiter,
        encoding=options.encoding or contract.encoding,
    )


def write_predictions(
    predictor: Predictor, rows: Dataset | RowsInBatches | TextInBatches, file: Output
) -> tuple[Finding, ...]:
    """Write predictions as CSV to an open binary file, block by block; findings about the predictions themselves."""
    overflows = 0
    blocks = [rows] if isinstance(rows, Dataset) else rows.blocks(predictor.block_rows)
    responses = (response for block in blocks for response in predictor.responses(block))
    for place, response in enumerate(responses):
        frame = prediction_frame(predictor, predictor.decide(response))
        file.write(frame.write_csv(include_header=place == 0).encode())
        overflows += count_overflows(response)
    return overflow_findings(overflows)


def prediction_frame(predictor: Predictor, prediction: Prediction) -> pl.DataFrame:
    """Predictions as a table of the columns ``predictor.columns``."""
    columns = [pl.Series(prediction.values.tolist() if predictor.task.is_classification else prediction.values)]
    if prediction.probabilities is not None:
        columns += [pl.Series(column) for column in prediction.probabilities.T]
    columns += [pl.Series(bound) for bound in (prediction.low, prediction.high) if bound is not None]
    return pl.DataFrame([column.alias(name) for name, column in zip(predictor.columns, columns, strict=True)])
