"""Commands about runs that there are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lanewise.cli.completion import complete_runs
from lanewise.cli.options import Whole
from lanewise.cli.paths import copy_report
from lanewise.cli.program import program
from lanewise.cli.screen import columns, print_document, print_summary, print_tuned
from lanewise.cli.wording import as_options
from lanewise.formatting.plain_text import clean

if TYPE_CHECKING:
    from lanewise.runs.run import Run


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--limit", metavar="N", default=20, show_default=True, type=Whole(1), help="How many, the newest first.")
def runs(*, as_json: bool, limit: int) -> None:
    """List the runs of this project."""
    from lanewise.reporting.runs_table import runs_table
    from lanewise.runs.store import FOLDER_NAME, RunStore

    with RunStore.open(to_read=True) as store:
        found, there, folder = store.outlines(limit=limit), store.count(), store.folder
    if as_json:
        print_document({"schema_version": 1, "total": there, "runs": [_entry(run) for run in found]})
        return
    click.echo(runs_table([_row(run) for run in found], width=columns(most=200, piped=160)), nl=False)
    more = (
        f"; the newest {len(found)} of {there:,}; all: {program()} runs --limit {there}" if there > len(found) else ""
    )
    place = _from_here(folder)
    if more or place != FOLDER_NAME:  # where everybody looks for them goes without saying
        click.echo(f"runs in {clean(place)}{more}", err=True)


def _from_here(folder: Path) -> str:
    """The folder by its way from the working directory, where it is in or above it and that is shorter."""
    shown = str(folder)
    try:
        return min(shown, os.path.relpath(folder), key=len)
    except ValueError:  # on another drive of Windows
        return shown


def _document(run: "Run") -> Mapping[str, Any]:
    """The document of a run; none for one that has no result, or whose record is damaged."""
    from lanewise.errors import StoreError

    try:
        return run.document or {}
    except StoreError as error:
        return {"winner": {"label": f"damaged: {error}"}}


def _row(run: "Run") -> dict[str, Any]:
    """A run as the table shows it: with its result, or else, in brackets, with what became of it."""
    document = _document(run)
    fate = f"{run.status}: {run.error}" if run.error else run.status
    target, winner = document.get("target") or run.target, document.get("winner") or {"label": f"({fate})"}
    own = {"run": run.id, "created": run.created, "kind": run.kind, "data": run.data}
    return {**document, **own, "target": target, "winner": winner}


def _entry(run: "Run") -> dict[str, Any]:
    document = _document(run)
    metric = (document.get("metric") or {}).get("name")
    scores = document.get("test") or document.get("validation") or {}
    return {
        "run": run.id,
        "kind": run.kind,
        "created": run.created,
        "status": run.status,
        "seconds": run.seconds,
        "data": run.data,
        "source": run.config.get("source"),
        "target": document.get("target") or run.target,
        "task": document.get("task"),
        "winner": (document.get("winner") or {}).get("label"),
        "metric": metric,
        "positive": document.get("positive"),
        "score": (scores.get(metric) or {}).get("value"),
        "error": run.error,
    }


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--json", "as_json", is_flag=True, help="Print the whole run document.")
def show(run: str, *, as_json: bool) -> None:
    """Show the result of a run, or what it has found so far.

    RUN is an id, its beginning or its last four letters, or 'last'.
    """
    from lanewise.runs.remaining import lost_model

    found = _get(run)
    lost = lost_model(found) if found.status == "done" else ""
    if found.document is None:
        _show_unfinished(found, as_json=as_json)
    elif as_json:
        print_document(found.document)
    elif found.document.get("kind") == "tune":
        print_tuned(found.document, folder=found.folder)
    else:
        print_summary(found.document, report=found.report, has_model=not lost)
    if lost:
        click.echo(f"warning: {clean(as_options(lost, {}))}", err=True)


def _show_unfinished(run: "Run", *, as_json: bool) -> None:
    """The candidates so far of a run that was stopped or is at work; others have nothing to show."""
    from lanewise.reporting.unfinished import unfinished_table
    from lanewise.runs.unfinished import unfinished

    found = unfinished(run) if run.status in ("interrupted", "running") else None
    if found is None:
        _refuse(run, "result")
    elif as_json:
        print_document(found)
    else:
        found |= {"resume": f"{program()} resume {run.id}"} if found["resume"] else {}
        click.echo(unfinished_table(found, width=columns(most=110, piped=100)), nl=False)


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Copy the report here.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report(run: str, *, output: Path | None, open_it: bool) -> None:
    """Say where the HTML report of a run is, copy it, or open it.

    RUN is an id, its beginning or its last four letters, or 'last'.
    """
    found = _get(run)
    if not found.report.exists():
        if found.status != "done" or found.document is None:
            _refuse(found, "report")
        _draw(found)
    where = found.report if output is None else copy_report(found.report, output)
    click.echo(str(where))
    if open_it:
        from lanewise.cli.browser import show_page

        show_page(where)


def _draw(run: "Run") -> None:
    """Draw the report of a run again, from its document."""
    from lanewise.reporting.report import render
    from lanewise.storage.durable import make_folders, write_atomically

    assert run.document is not None
    make_folders(run.folder)
    write_atomically(run.report, render(run.document).encode())


def _get(reference: str) -> "Run":
    from lanewise.runs.store import RunStore

    with RunStore.open(to_read=True) as store:
        return store.get(reference)


def _refuse(run: "Run", what: str) -> NoReturn:
    from lanewise.errors import UsageError

    hint = f": {run.error}" if run.error else ""
    state = f"is {run.status}"
    if run.status == "interrupted" and not run.folder.is_dir():
        from lanewise.runs.remaining import how_again

        message = f"run {run.id} is interrupted and has no {what}: its folder {run.folder} is gone; {how_again(run)}"
        raise UsageError(message)
    if run.status == "interrupted":
        hint = f"; go on with: {program()} resume {run.id}"
        state = state if run.plan.is_file() else "was stopped before its race was planned, so that nothing is trained,"
    message = f"run {run.id} {state} and has no {what}{hint}"
    raise UsageError(message)
