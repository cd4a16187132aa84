"""Commands about runs that there are."""

import json
from pathlib import Path

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, the newest first.")
def runs(*, as_json: bool, limit: int) -> None:
    """List the runs of this project."""
    from lanewise.reporting.terminal import runs_table
    from lanewise.runs.store import RunStore

    with RunStore.open(create=False) as store:
        rows = [_row(run) for run in store.list(limit=limit)]
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "runs": rows}, indent=2))
    else:
        click.echo(runs_table(rows))


def _row(run: object) -> dict[str, object]:
    from lanewise.runs.run import Run

    assert isinstance(run, Run)
    document = run.document or {}
    winner = document.get("winner") or {}
    return {
        "run": run.id,
        "created": run.created,
        "status": run.status,
        "seconds": run.seconds,
        "source": run.config.get("source"),
        "target": run.config.get("settings", {}).get("target"),
        "winner": winner.get("label"),
        "metric": (document.get("metric") or {}).get("name"),
        "score": ((document.get("test") or {}).get((document.get("metric") or {}).get("name", "")) or {}).get("value"),
        "error": run.error,
    }


@click.command()
@click.argument("run", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the whole run document.")
def show(run: str, *, as_json: bool) -> None:
    """Show the result of RUN (an id, its beginning, or 'last')."""
    from lanewise.errors import UsageError
    from lanewise.runs.store import RunStore

    with RunStore.open(create=False) as store:
        found = store.get(run)
    if found.document is None:
        message = f"run {found.id} is {found.status} and has no result{_why(found.error)}"
        raise UsageError(message)
    if as_json:
        click.echo(json.dumps(found.document, indent=2, ensure_ascii=False))
        return
    from lanewise.cli.screen import print_summary

    print_summary(found.document, report=found.report)


def _why(error: str | None) -> str:
    return f": {error}" if error else ""


@click.command()
@click.argument("run", default="last")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy the report here.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report(run: str, *, output: Path | None, open_it: bool) -> None:
    """Say where the HTML report of RUN is, copy it, or open it."""
    from lanewise.errors import UsageError
    from lanewise.runs.store import RunStore

    with RunStore.open(create=False) as store:
        found = store.get(run)
    if not found.report.exists():
        message = f"run {found.id} is {found.status} and has no report"
        raise UsageError(message)
    where = found.report
    if output is not None:
        from lanewise.storage.durable import write_atomically

        write_atomically(output, found.report.read_bytes())
        where = output
    click.echo(str(where))
    if open_it:
        click.launch(str(where))
