"""``lanewise fit`` and ``lanewise resume``."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(command: Command) -> Command:
    """Options about the data."""
    for option in (
        click.option("--threshold", metavar="METRIC|NUMBER", help="Binary: the metric the decision threshold is for."),
        click.option("--class-weights", metavar="balanced", help="Weigh the classes equally."),
        click.option("--weight", metavar="COL", help="Column of row weights."),
        click.option("--time", metavar="COL", help="Column of times: train on the past, judge on the future."),
        click.option("--group", metavar="COL", help="Column of groups that are never split."),
        click.option("--drop", metavar="COLS", help="Columns to leave out, separated by commas."),
        click.option("--test-fraction", type=float, metavar="X", help="Share of rows held out for the test."),
        click.option("--test", metavar="FILE", help="A test set of your own, instead of held-out rows."),
        click.option("--metric", metavar="NAME", help="What decides the race."),
        click.option("--task", metavar="KIND", help="regression, count, binary or multiclass; found if not stated."),
        click.option("--target", metavar="COL", help="Column to predict; an example knows its own."),
    ):
        command = option(command)
    return command


def race_options(command: Command) -> Command:
    """Options about the race."""
    for option in (
        click.option("--workers", type=int, metavar="N", help="Threads and processes; all cores if not stated."),
        click.option("--device", metavar="auto|cpu", help="Where to train."),
        click.option("--seed", type=int, metavar="N", help="Every random number follows from it.  [default: 0]"),
        click.option("--seeds", type=int, metavar="N", help="Seeds per confirmed candidate."),
        click.option("--folds", type=int, metavar="N", help="Folds of cross-validation."),
        click.option("--ensemble", metavar="auto|always|never", help="Average several candidates where it helps."),
        click.option("--candidates", type=int, metavar="N", help="Candidates of each family."),
        click.option("--search", metavar="halving|grid|random", help="How the candidates are drawn."),
        click.option("--optimizers", metavar="NAMES", help="Optimizers to race, separated by commas."),
        click.option("--models", metavar="NAMES", help="Families to race: lightgbm,mlp,linear,tree."),
        click.option("--budget", metavar="TIME|STEPS", help="30s, 10min or 2000steps."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source")
@race_options
@data_options
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with any of these settings.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the HTML report here too.")
@click.option("--json", "as_json", is_flag=True, help="Print the run document instead of the summary.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def fit(source: str, *, config: Path | None, report: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Race models and optimizers on SOURCE and keep the one that wins.

    SOURCE is a CSV, TSV, Parquet, Arrow, JSON lines or svmlight file, '-' for standard input, or an
    example: example:breast-cancer, example:digits, example:diabetes, example:wine, example:iris.
    """
    from lanewise.cli.screen import Screen
    from lanewise.experiment import fit as run_fit
    from lanewise.settings import read_toml

    settings = read_toml(config) if config else {}
    settings |= {name: value for name, value in options.items() if value is not None}
    command = shlex.join(["lanewise", *sys.argv[1:]])
    with Screen(quiet=quiet) as screen:
        fitted = run_fit(source, watcher=screen, command=command, **settings)
    _finish(fitted, report=report, as_json=as_json)


@click.command()
@click.argument("run", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the run document instead of the summary.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def resume(run: str, *, as_json: bool, quiet: bool) -> None:
    """Go on with RUN after it was stopped or killed; it ends in the same bits."""
    from lanewise.cli.screen import Screen
    from lanewise.experiment import resume as run_resume

    with Screen(quiet=quiet) as screen:
        fitted = run_resume(run, watcher=screen)
    _finish(fitted, report=None, as_json=as_json)


def _finish(fitted: Any, *, report: Path | None, as_json: bool) -> None:
    from lanewise.cli.screen import print_summary

    where = fitted.report
    if report is not None:
        from lanewise.storage.durable import write_atomically

        write_atomically(report, fitted.report.read_bytes())
        where = report
    if as_json:
        click.echo(json.dumps(fitted.document, indent=2, ensure_ascii=False))
    else:
        print_summary(fitted.document, report=where)
