"""``lanewise repeat``."""

import click

from lanewise.cli.completion import complete_runs
from lanewise.cli.options import Whole


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--lane", type=Whole(0), metavar="N", help="Only this lane of a tune, trained alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def repeat(run: str, *, lane: int | None, as_json: bool, quiet: bool) -> None:
    """Do a finished run again by its plan, and compare.

    RUN is an id, its beginning or its last four letters, or 'last'. The plan was stored, so that a budget in time is
    not measured again; what comes out is a run of its own. Lanes are counted from 0, as race.curves of
    `lanewise show --json` does. Exit code 1 where something differs.
    """
    if lane is None:
        _whole(run, as_json=as_json, quiet=quiet)
    else:
        _lane(run, lane, as_json=as_json)


def _whole(run: str, *, as_json: bool, quiet: bool) -> None:
    from lanewise.cli.screen import Screen, print_document
    from lanewise.resuming import repeat as run_repeat
    from lanewise.runs.comparing import verdict

    with Screen(quiet=quiet) as screen:
        found = run_repeat(run, watcher=screen)
    document = found.document
    if as_json:
        print_document(document)
    else:
        said = verdict(document["repeats"], lanes=len(document["race"]["curves"]), sha256=document["model_sha256"])
        click.echo(f"run {document['run']} is {said}")
    if not document["repeats"]["same"]:
        raise click.exceptions.Exit(1)


def _lane(run: str, lane: int, *, as_json: bool) -> None:
    from dataclasses import asdict

    from lanewise.cli.screen import print_document
    from lanewise.resuming import repeat_lane

    found = repeat_lane(run, lane)
    if as_json:
        print_document({"schema_version": 1, **asdict(found), "same": found.same})
    else:
        click.echo(found.words)
    if not found.same:
        raise click.exceptions.Exit(1)
