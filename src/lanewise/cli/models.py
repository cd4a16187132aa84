"""Commands that use a trained model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lanewise.runs.run import Run


@click.command()
@click.argument("run")
@click.argument("source")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout.")
def predict(run: str, source: str, *, output: Path | None) -> None:
    """Predict the rows of SOURCE with the model of RUN; writes CSV in the same order."""
    from lanewise.deploy.files import predict_file, read_rows, write_predictions
    from lanewise.deploy.saving import load_predictor
    from lanewise.runs.store import RunStore

    with RunStore.open(create=False) as store:
        found = finished(store.get(run))
    predictor = load_predictor(found.model)
    if output is not None:
        findings = predict_file(predictor, source, output).findings
    else:
        dataset = read_rows(predictor.contract, source)
        findings = (*predictor.check(dataset), *write_predictions(predictor, dataset, sys.stdout.buffer))
    for finding in findings:
        if finding.severity == "warning":
            click.echo(f"warning: {finding.message}", err=True)


@click.command()
@click.argument("run")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
def export(run: str, output: Path) -> None:
    """Export the model of RUN to ONNX, preprocessing included, and check it on the spot."""
    from lanewise.deploy.exporting import export_run
    from lanewise.runs.store import RunStore

    with RunStore.open(create=False) as store:
        found = finished(store.get(run))
    check = export_run(found, output)
    click.echo(check.words, err=True)
    click.echo(str(output))


def finished(run: "Run") -> "Run":
    """The run, if it has a model."""
    from lanewise.errors import UsageError

    if run.status != "done":
        hint = f": {run.error}" if run.error else f"; go on with: lanewise resume {run.id}"
        message = f"run {run.id} is {run.status} and has no model{hint}"
        raise UsageError(message)
    return run
