"""Commands that use a trained model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lanewise.cli.completion import complete_files, complete_runs
from lanewise.cli.paths import check_output, check_source
from lanewise.cli.program import program
from lanewise.errors import Mistakes, UsageError, UserError

if TYPE_CHECKING:
    from lanewise.data.contract import DataContract
    from lanewise.data.dataset import Dataset
    from lanewise.data.findings import Finding
    from lanewise.data.rows_in_batches import RowsInBatches
    from lanewise.data.text_in_batches import TextInBatches
    from lanewise.deploy.predictor import Predictor
    from lanewise.runs.run import Run


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("source", shell_complete=complete_files)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write.  [default: standard output]",
)
@click.option("--delimiter", metavar="SIGN", help="As for `lanewise fit`.  [default: as stated there, else found]")
@click.option("--encoding", metavar="NAME", help="As for `lanewise fit`.  [default: as stated there, else found]")
@click.option("--max-bytes", metavar="SIZE", help="As for `lanewise fit`.  [default: an eighth of the memory]")
def predict(
    run: str,
    source: str,
    *,
    output: Path | None,
    delimiter: str | None,
    encoding: str | None,
    max_bytes: str | None,
) -> None:
    """Predict the rows of a table, as CSV in the same order.

    RUN is an id, its beginning or its last four letters, or 'last'; SOURCE a file like that of `lanewise fit`,
    '-' or an example such as example:iris. The columns are prediction and, for classes, probability_<class>; for
    numbers low and high. Numbers have decimal points, whatever the marks of the table.
    """
    from lanewise.data.read_options import ReadOptions
    from lanewise.settings.text_form import parse_bytes

    if Path(run).is_file() and source != "-" and not Path(source).exists():
        message = f"the run stands before the table: {program()} predict {source} {run}"
        raise UsageError(message)
    mistakes = Mistakes(UserError, what="things")
    most = mistakes.of(parse_bytes, max_bytes) if max_bytes else None
    options = mistakes.of(ReadOptions, delimiter=delimiter, encoding=encoding, max_bytes=most)
    found = mistakes.of(finished, run)
    mistakes.of(check_source, source, options or ReadOptions())
    if output is not None:
        mistakes.of(check_output, output, reads=source)
    mistakes.tell()
    assert found is not None, "a run that cannot be used was told"
    assert options is not None, "options that cannot be used were told"
    from lanewise.data.grouped_warnings import warning_lines
    from lanewise.deploy.files import predict_file, rows_to_predict
    from lanewise.deploy.saving import load_predictor
    from lanewise.formatting.plain_text import clean
    from lanewise.runs.remaining import reading_model

    with reading_model(found):
        predictor = load_predictor(found.model, alone=True)
    if output is not None:
        findings = predict_file(predictor, source, output, options=options).findings
    else:
        rows, findings = rows_to_predict(predictor, source, options=options)
        findings = (*findings, *_print_predictions(predictor, rows))
    for line in warning_lines(findings):
        click.echo(f"warning: {clean(line)}", err=True)
    for finding in findings:
        if finding.code == "extra_columns":
            click.echo(f"info: {clean(finding.message)}", err=True)


def _print_predictions(
    predictor: "Predictor", rows: "Dataset | RowsInBatches | TextInBatches"
) -> "tuple[Finding, ...]":
    """CSV on stdout: labels as they are, but on a terminal without what could steer it."""
    from lanewise.deploy.files import write_predictions

    return write_predictions(predictor, rows, _Terminal() if sys.stdout.isatty() else sys.stdout.buffer)


class _Terminal:
    """Standard output that shows what could steer a terminal."""

    def write(self, data: bytes) -> None:
        from lanewise.formatting.plain_text import visible

        click.echo(visible(data.decode()).encode(), nl=False)  # whatever the terminal's encoding


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--sample", metavar="FILE", help="Rows to check the model on.  [default: those of the run]")
def export(run: str, output: Path, *, sample: str | None) -> None:
    """Export the model to ONNX, preprocessing included.

    RUN is an id, its beginning or its last four letters, or 'last'. OUTPUT ends in .onnx; the file is written only
    if onnxruntime predicts with it what Lanewise predicts.
    """
    mistakes = Mistakes(UserError, what="things")
    found = mistakes.of(finished, run)
    mistakes.of(_check_place, output, sample)
    mistakes.tell()
    assert found is not None, "a run that cannot be used was told"
    from lanewise.deploy.onnx_export import export_onnx
    from lanewise.deploy.saving import load_predictor
    from lanewise.runs.remaining import reading_model

    with reading_model(found):
        predictor = load_predictor(found.model, alone=True)
    check = export_onnx(predictor, output, _rows_of(found, predictor.contract, sample))
    click.echo(check.words, err=True)
    texts = [column.name for column in predictor.layout.columns if column.kind == "text"]
    if texts:
        message = (
            f"the file does not take text itself: it takes counts of the words of {', '.join(texts)}, which "
            "text_counts of lanewise.deploy.onnx_inputs makes (docs/python.md has an example)"
        )
        click.echo(message, err=True)
    click.echo(str(output))


def _check_place(output: Path, sample: str | None) -> None:
    """``UsageError`` where no file can be written, and for a name that promises another format."""
    check_output(output, reads=sample)
    if output.suffix.lower() != ".onnx":
        message = (
            f"OUTPUT must end in .onnx, the format that is written, got {output}; name {output.with_suffix('.onnx')}"
        )
        raise UsageError(message)


def _rows_of(run: "Run", contract: "DataContract", sample: str | None) -> "Dataset":
    """Rows as the model reads them: those of ``sample``, or of the table that the run learned from."""
    from lanewise.data.reading import read_like
    from lanewise.deploy.files import options_of

    kept = run.folder / "data.parquet"
    source = sample or (str(kept) if kept.exists() else str(run.config["source"]))
    options = options_of(contract)
    return read_like(source, {column.name: column.kind for column in contract.columns}, options=options)


def finished(reference: str) -> "Run":
    """The run, if it has a model; ``UsageError`` says why it has none."""
    from lanewise.errors import UnavailableError
    from lanewise.runs.remaining import lost_model
    from lanewise.runs.store import RunStore

    with RunStore.open(to_read=True) as store:
        run = store.get(reference)
    if run.status == "done":
        if lost := lost_model(run):
            raise UnavailableError(lost)
        if run.kind != "tune":
            return run
        weights = run.model / "model.safetensors"
        message = f"run {run.id} is a tune of your own model, which only your code can run; its weights: {weights}"
        raise UsageError(message)
    if run.status == "running":
        hint = "; wait for it to end"
    else:
        hint = f": {run.error}" if run.status == "failed" else f"; go on with: {program()} resume {run.id}"
    message = f"run {run.id} is {run.status} and has no model{hint}"
    raise UsageError(message)
