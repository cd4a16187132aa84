"""``lanewise fit`` and ``lanewise resume``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.completion import complete_runs, complete_tables
from lanewise.cli.options import Listed, SectionedCommand, all_names, section, stated_once
from lanewise.cli.paths import check_output, check_source, copy_report
from lanewise.cli.wording import ELSEWHERE
from lanewise.distributed.place import leads
from lanewise.errors import AlreadyDone, Mistakes, UserError, unrecorded
from lanewise.settings.names import OPTIMIZERS

if TYPE_CHECKING:
    from lanewise.cli.layers import Given

TASKS = ("regression", "count", "binary", "multiclass")
SEARCHES = ("halving", "grid", "random")
PAYLOADS = ("full", "bfloat16")
POLICIES = ("halving", "hyperband", "racing", "never")
ENSEMBLES = ("auto", "always", "never")
METRICS = (
    "Numbers: rmse, mae, median_ae, r2, mape; counts: these and poisson_deviance; classes: log_loss, brier, ece, "
    "roc_auc, pr_auc, accuracy, balanced_accuracy, f1_macro, f1_weighted, precision_macro, recall_macro; "
    "two classes: these and precision, recall, f1"
)
LOSSES = "Numbers: squared, huber; counts: poisson; classes: logistic or, from three on, softmax; hinge, squared_hinge"
SCHEDULES = (
    "linear, cosine, constant, exponential, step, polynomial, inverse_square_root, one_cycle, warm_restarts, "
    "stable_decay, plateau"
)
SCALINGS = ("auto", "standard", "robust", "quantile")
STREAMS = ("auto", "always", "never")

data = section("Data")
race = section("Race")
output = section("Output")


@click.command(cls=SectionedCommand)
@click.argument("source", required=False, shell_complete=complete_tables)
@data(
    "--target", metavar="COLUMN", multiple=True, callback=stated_once, help="Column to predict; examples know theirs."
)
@data("--task", type=Listed(TASKS), metavar="KIND", help=f"{', '.join(TASKS)}.", usual="found")
@data(
    "--metric",
    metavar="NAME",
    help=f"What decides the race. {METRICS}.",
    usual="log_loss, rmse or poisson_deviance",
)
@data(
    "--drop",
    metavar="COLUMNS",
    multiple=True,
    callback=all_names,
    help="Columns to leave out, separated by commas; a name with a comma in double quotes. May be repeated.",
)
@data(
    "--missing",
    metavar="MARKS",
    multiple=True,
    callback=all_names,
    help="What stands for a missing cell beside empty, NA, ? and the like, separated by commas; one with a comma in "
    "double quotes. May be repeated.",
)
@data("--delimiter", metavar="SIGN", help="What separates the cells of text: a sign, or tab.", usual="found")
@data("--encoding", metavar="NAME", help="Encoding of text, such as utf-8, cp1252 or latin-1.", usual="found")
@data(
    "--max-bytes",
    metavar="SIZE",
    help="Most bytes to read of a table, unpacked: 500MB, 2GB.",
    usual="an eighth of the memory",
)
@data(
    "--stream",
    type=Listed(STREAMS),
    help="Stream the rows of Parquet and Arrow files from disk.",
    usual="auto, where the memory asks for it",
)
@data(
    "--test", metavar="FILE", shell_complete=complete_tables, help="A test set of your own, instead of held-out rows."
)
@data(
    "--test-fraction",
    metavar="SHARE",
    help="Share of rows held out for the test.",
    usual="0.25 below 500 rows, then 0.2",
)
@data("--scaling", type=Listed(SCALINGS), help="How numbers are scaled for linear models and networks.", usual="auto")
@data("--group", metavar="COLUMN", help="Rows of one group stay together in every split.")
@data("--time", metavar="COLUMN", help="Train on the past, judge on the future.")
@data("--weight", metavar="COLUMN", help="Weights of the rows.")
@data("--class-weights", metavar="WEIGHTS", help="'balanced', or weights such as no=1,yes=5.")
@data(
    "--positive",
    metavar="CLASS",
    help="Two classes: the one that precision, recall, F1, PR AUC and the threshold are of.",
    usual="the second in sorted order",
)
@data(
    "--threshold",
    metavar="METRIC|NUMBER",
    help="Two classes: the metric to choose the decision threshold by, or the threshold itself.",
    usual="that of the race; 0.5 where it judges probabilities",
)
@race(
    "--budget",
    metavar="TIME|STEPS",
    help="30s, 10min, 1h30min; or 2000steps, which depends on no clock.",
    usual="60s to 300s, by the size of the table",
)
@race(
    "--models",
    metavar="NAMES",
    help="Families that race, separated by commas: lightgbm, mlp, linear, forest, tree.",
    usual="lightgbm,mlp,linear,forest,tree",
)
@race(
    "--optimizers",
    metavar="NAMES",
    help=f"Optimizers that race: {', '.join(OPTIMIZERS)}.",
    usual="those that suit each family",
)
@race(
    "--losses",
    metavar="NAMES",
    help=f"Losses of linear models and networks that race. {LOSSES}.",
    usual="those that suit the target",
)
@race("--schedules", metavar="NAMES", help=f"Schedules of learning rates that race: {SCHEDULES}.", usual="a mix")
@race("--widths", metavar="UNITS", help="Units of the hidden layers of networks: 64,256.", usual="several")
@race("--depths", metavar="LAYERS", help="Hidden layers of networks: 1,2.", usual="several")
@race("--activations", metavar="NAMES", help="Of networks: relu, silu, gelu, tanh.", usual="several")
@race("--search", type=Listed(SEARCHES), help="How candidates are drawn.", usual="halving")
@race("--policy", type=Listed(POLICIES), help="How losers are dropped on the way.", usual="halving")
@race("--candidates", metavar="N", help="Candidates of each family.", usual="as the budget allows")
@race("--folds", metavar="N", help="Folds of the cross-validation.", usual="10, 5 or 3, by rows")
@race("--seeds", metavar="N", help="Trainings of a candidate per fold.", usual="3, 2 or 1, by rows")
@race("--seed", metavar="N", help="Every random number follows from it.", usual="0")
@race(
    "--ensemble",
    type=Listed(ENSEMBLES),
    help="Average several candidates; 'auto' does where that is clearly better.",
    usual="auto",
)
@race(
    "--device",
    metavar="DEVICE",
    help="Where networks train: cpu, cuda or cuda:N.",
    usual="auto, which is cpu",
)
@race(
    "--workers", metavar="N", help="Trainings side by side, in processes where that pays.", usual="all cores, at most 8"
)
@race(
    "--mesh",
    metavar="AXES",
    help="Under torchrun: lane=2,data=2 gives lanes to 2 groups of ranks, which share the rows of each batch; auto "
    "measures for a few seconds whether ranks gain by that.",
    usual="all ranks along lane",
)
@race(
    "--payload",
    type=Listed(PAYLOADS),
    help="What gradients travel as between ranks that share batches; bfloat16 is half as many bytes.",
    usual="full",
)
@output(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with any of these settings.",
    usual="lanewise.toml, or [tool.lanewise] of pyproject.toml",
)
@output("--report", type=click.Path(path_type=Path), metavar="FILE", help="Copy the HTML report here.")
@output("--json", is_flag=True, help="Print the run document instead of the summary.")
@output("--quiet", is_flag=True, help="No progress on stderr.")
def fit(
    source: str | None, *, config: Path | None, report: Path | None, json: bool, quiet: bool, **options: Any
) -> None:
    """Race models and optimizers on a table.

    SOURCE is a CSV, TSV, Parquet, Arrow, JSON lines or svmlight file, a folder of Parquet or Arrow
    files or a pattern for such, as 'parts/*.parquet', '-' for standard input, or an example such as
    example:iris (`lanewise example` lists them).

    Settings come from options, then from variables such as LANEWISE_BUDGET, then from the file.
    """
    from lanewise.cli.layers import gather
    from lanewise.data.read_options import ReadOptions

    mistakes = Mistakes(UserError)
    given = mistakes.of(gather, source=source, report=report, options=options, config=config)
    if given is not None:
        click.get_current_context().meta[ELSEWHERE] = given.elsewhere
        _look(given, mistakes)
    else:
        mistakes.of(check_source, options.get("test"), ReadOptions())
        if report is not None:
            mistakes.of(check_output, report)
    mistakes.tell()
    assert given is not None, "what could not be gathered was told"
    from lanewise.cli.screen import Screen
    from lanewise.fitting.wanted_workers import prepare_workers

    with unrecorded():  # loading takes seconds
        prepare_workers(given.wanted, loads=True)
        from lanewise.fitting.experiment import fit as run_fit

    command = shlex.join(["lanewise", *sys.argv[1:], *given.more])
    with Screen(quiet=quiet or not leads()) as screen:
        if given.words:
            screen.announce(given.words)
        started = click.get_current_context().find_object(float)
        fitted = run_fit(given.source, watcher=screen, command=command, started=started, **given.settings)
    if leads():
        _finish(fitted, report=given.report, as_json=json)


def _look(given: "Given", mistakes: Mistakes) -> None:
    """Gather what can be told of the tables and of the report at once."""
    from lanewise.data.read_options import read_options
    from lanewise.training.torch_build import check_build

    wanted, options = given.wanted, read_options(given.wanted)
    roles = {"weight": wanted.weight, "group": wanted.group, "time": wanted.time}
    columns = {"target": wanted.target, "drop": wanted.drop, "roles": roles, "kind": wanted.task}
    mistakes.of(check_source, given.source, options, **columns)
    readable = not mistakes
    mistakes.of(check_build, wanted.device)
    mistakes.of(check_source, wanted.test, options)
    if given.report is not None:
        for table in (given.source, wanted.test):
            mistakes.of(check_output, given.report, reads=table)
    if mistakes and readable:  # else the fit tells all that does not fit the target at once
        mistakes.of(check_source, given.source, options, **columns, metric=wanted.metric)


@click.command()
@click.argument("run", required=False, shell_complete=complete_runs)
@click.option("--json", "as_json", is_flag=True, help="Print the run document instead of the summary.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def resume(run: str | None, *, as_json: bool, quiet: bool) -> None:
    """Go on with a run that was stopped or killed.

    RUN is an id, its beginning or its last four letters, or 'last'; without it the newest run that was left
    unfinished. It ends in the same bits as if nothing had happened. Of a run that is done it says so, with exit code 0;
    --json then prints its document.
    """
    from lanewise.cli.screen import Screen
    from lanewise.resuming import resume as run_resume

    with Screen(quiet=quiet or not leads()) as screen:
        started = click.get_current_context().find_object(float)
        try:
            found = run_resume(run, watcher=screen, started=started)
        except AlreadyDone as done:
            if leads():
                _tell_done(done, as_json=as_json)
            return
    if leads():
        finish_any(found, as_json=as_json)


def _tell_done(done: AlreadyDone, *, as_json: bool) -> None:
    from lanewise.cli.program import program
    from lanewise.cli.screen import print_document
    from lanewise.runs.store import RunStore

    if as_json:
        with RunStore.open(to_read=True) as store:
            print_document(store.get(done.run).document or {})
    else:
        click.echo(f"{done}; see it with: {program()} show {done.run}")


def finish_any(found: Any, *, as_json: bool) -> None:
    """Print the result of a run, whatever made it."""
    if found.document.get("kind") == "tune":
        from lanewise.cli.tune import finish

        finish(found, as_json=as_json)
    else:
        _finish(found, report=None, as_json=as_json)


def _finish(fitted: Any, *, report: Path | None, as_json: bool) -> None:
    from lanewise.cli.screen import print_document, print_summary

    where = fitted.report if report is None else copy_report(fitted.report, report)
    if as_json:
        print_document(fitted.document)
    else:
        print_summary(fitted.document, report=where)
