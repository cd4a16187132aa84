"""``lanewise fit`` and ``lanewise resume``."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from lanewise.cli.options import SectionedCommand, section, stated_once
from lanewise.cli.paths import check_output, copy_report

TASKS = ("regression", "count", "binary", "multiclass")
SEARCHES = ("halving", "grid", "random")
ENSEMBLES = ("auto", "always", "never")
DEVICES = ("auto", "cpu")

data_options = section(
    "Data",
    (
        "--target",
        {"metavar": "COLUMN", "multiple": True, "callback": stated_once, "help": "Column to predict; an example knows its own."},
    ),
    ("--task", {"type": click.Choice(TASKS), "show_default": "found from the target", "help": "What kind of target."}),
    (
        "--metric",
        {
            "metavar": "NAME",
            "show_default": "log_loss, rmse or poisson_deviance",
            "help": "What decides the race: accuracy, roc_auc, f1, mae, ...",
        },
    ),
    ("--drop", {"metavar": "COLUMNS", "help": "Columns to leave out, separated by commas."}),
    ("--test", {"metavar": "FILE", "help": "A test set of your own, instead of held-out rows."}),
    (
        "--test-fraction",
        {"type": float, "metavar": "SHARE", "show_default": "0.25 below 500 rows, then 0.2", "help": "Share of rows held out for the test."},
    ),
    ("--group", {"metavar": "COLUMN", "help": "Rows of one group are never split between training and test."}),
    ("--time", {"metavar": "COLUMN", "help": "Train on the past, judge on the future."}),
    ("--weight", {"metavar": "COLUMN", "help": "Weights of the rows."}),
    (
        "--class-weights",
        {"metavar": "WEIGHTS", "help": "'balanced', or weights of classes such as no=1,yes=5."},
    ),
    (
        "--threshold",
        {
            "metavar": "METRIC|NUMBER",
            "show_default": "f1",
            "help": "Two classes: the metric to choose the decision threshold by, or the threshold itself.",
        },
    ),
)  # fmt: skip

race_options = section(
    "Race",
    (
        "--budget",
        {
            "metavar": "TIME|STEPS",
            "show_default": "60s to 300s, by the size of the table",
            "help": "30s, 10min, or 2000steps, which depends on no clock.",
        },
    ),
    (
        "--models",
        {"metavar": "NAMES", "show_default": "lightgbm,mlp,linear,tree", "help": "Families that race, separated by commas."},
    ),
    (
        "--optimizers",
        {
            "metavar": "NAMES",
            "show_default": "those that suit each family",
            "help": "Optimizers that race: lbfgs, adamw, adam, rmsprop, nesterov, momentum, sgd, gd.",
        },
    ),
    ("--search", {"type": click.Choice(SEARCHES), "show_default": "halving", "help": "How candidates are drawn."}),
    (
        "--candidates",
        {"type": int, "metavar": "N", "show_default": "as the budget allows", "help": "Candidates of each family."},
    ),
    (
        "--folds",
        {"type": int, "metavar": "N", "show_default": "10, 5 or 3, by rows", "help": "Folds of the cross-validation."},
    ),
    (
        "--seeds",
        {"type": int, "metavar": "N", "show_default": "3, 2 or 1, by rows", "help": "Trainings of each confirmed candidate per fold."},
    ),
    ("--seed", {"type": int, "metavar": "N", "show_default": "0", "help": "Every random number follows from it."}),
    (
        "--ensemble",
        {
            "type": click.Choice(ENSEMBLES),
            "show_default": "auto",
            "help": "Average several candidates; 'auto' does where that is clearly better.",
        },
    ),
    ("--device", {"type": click.Choice(DEVICES), "show_default": "auto", "help": "Where to train."}),
    (
        "--workers",
        {"type": int, "metavar": "N", "show_default": "all cores, at most 8", "help": "Threads and processes."},
    ),
)  # fmt: skip

output_options = section(
    "Output",
    (
        "--config",
        {
            "type": click.Path(path_type=Path),
            "metavar": "FILE",
            "show_default": "lanewise.toml or pyproject.toml",
            "help": "A TOML file with any of these settings.",
        },
    ),
    (
        "--report",
        {"type": click.Path(path_type=Path, dir_okay=False), "metavar": "FILE", "help": "Copy the HTML report here."},
    ),
    ("--json", {"is_flag": True, "help": "Print the run document instead of the summary."}),
    ("--quiet", {"is_flag": True, "help": "No progress on stderr."}),
)


@click.command(cls=SectionedCommand)
@click.argument("source", required=False)
@data_options
@race_options
@output_options
def fit(
    source: str | None, *, config: Path | None, report: Path | None, json: bool, quiet: bool, **options: Any
) -> None:
    """Race models and optimizers on a table.

    SOURCE is a CSV, TSV, Parquet, Arrow, JSON lines or svmlight file, '-' for standard input, or an
    example such as example:iris (`lanewise example` lists them).

    Settings come from options, then from variables such as LANEWISE_BUDGET, then from the file.
    """
    from lanewise.cli.layers import gather

    given = gather(source=source, report=report, options=options, config=config)
    if given.report is not None:
        check_output(given.report)
    from lanewise.cli.screen import Screen
    from lanewise.experiment import fit as run_fit

    command = shlex.join(["lanewise", *sys.argv[1:]])
    with Screen(quiet=quiet) as screen:
        if given.words:
            screen.announce(given.words)
        fitted = run_fit(given.source, watcher=screen, command=command, **given.settings)
    _finish(fitted, report=given.report, as_json=json)


@click.command()
@click.argument("run", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the run document instead of the summary.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def resume(run: str, *, as_json: bool, quiet: bool) -> None:
    """Go on with a run that was stopped or killed.

    RUN is an id, the beginning of one, or 'last'. The run ends in the same bits as if nothing had happened.
    """
    from lanewise.cli.screen import Screen
    from lanewise.experiment import resume as run_resume

    with Screen(quiet=quiet) as screen:
        fitted = run_resume(run, watcher=screen)
    _finish(fitted, report=None, as_json=as_json)


def _finish(fitted: Any, *, report: Path | None, as_json: bool) -> None:
    from lanewise.cli.screen import print_document, print_summary

    where = fitted.report if report is None else copy_report(fitted.report, report)
    if as_json:
        print_document(fitted.document)
    else:
        print_summary(fitted.document, report=where)
