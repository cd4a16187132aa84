"""``lanewise tune``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lanewise.cli.completion import complete_files
from lanewise.cli.options import WHOLE, Listed, SectionedCommand, misread, section
from lanewise.cli.paths import check_output, copy_report
from lanewise.distributed.place import leads

if TYPE_CHECKING:
    from lanewise.tuning import TuneResult

PAYLOADS = ("full", "bfloat16")
METRICS = (
    "Classes: roc_auc, pr_auc, accuracy, balanced_accuracy, f1_macro, f1_weighted, precision_macro, recall_macro, "
    "log_loss, brier, ece; two classes: these and precision, recall, f1; numbers: r2, rmse, mae, median_ae, mape"
)
POLICIES = ("halving", "hyperband", "racing", "population", "genetic", "never")
PRECISIONS = ("float32", "bfloat16", "float16", "auto")
SEARCHES = ("sobol", "random", "grid", "bayesian")

data = section("Data")
race = section("Race")
output = section("Output")


@click.command(cls=SectionedCommand)
@click.argument("model", shell_complete=complete_files)
@data(
    "--data",
    "source",
    required=True,
    metavar="FILE:NAME|TABLE",
    help="What gives ((X, y), (X_valid, y_valid)), two data sets or loaders; or with --target a table: Parquet, Arrow.",
    shell_complete=complete_files,
)
@data("--target", metavar="COLUMN", help="The column of a table to be learned.")
@data("--inputs", metavar="COLUMNS", help="Columns of a table that the module gets.", usual="all others")
@data("--valid", metavar="SHARE|TABLE", help="Rows of a table that judge.", usual="0.2, without --folds")
@data(
    "--loss",
    metavar="NAME|FILE:NAME",
    help="cross_entropy, mse, l1, huber, bce_with_logits, or a function of yours.",
    usual="cross_entropy for whole numbers, else mse",
)
@data("--step", metavar="FILE:NAME", help="A training step of yours instead of the loss.")
@data("--groups", metavar="FILE:NAME", help="Groups of the module's parameters, with factors of rate and decay.")
@data("--folds", type=WHOLE, metavar="N", help="Judge by so many folds of the training rows; there is no valid then.")
@data("--metric", metavar="NAME", help=f"What decides instead of the loss. {METRICS}.")
@race("--budget", metavar="TIME|STEPS", default="60s", help="60s for all, or 300steps for each.", usual="60s")
@race(
    "--candidates",
    metavar="N|FILE:NAME",
    help="How many to draw, or a list of settings.",
    usual="16, or what the budget has room for",
)
@race("--space", metavar="FILE:NAME", help="What to draw candidates from.", usual="four optimizers over their ranges")
@race("--search", type=Listed(SEARCHES), default="sobol", help="How candidates are drawn.", usual="sobol")
@race(
    "--policy",
    type=Listed(POLICIES),
    default="halving",
    help="How candidates that are behind are dropped.",
    usual="halving",
)
@race(
    "--early-stopping",
    is_flag=True,
    help="Judge each candidate where it was best, and stop the winner there; with --folds it is always so.",
)
@race("--seeds", type=WHOLE, default=1, metavar="N", help="Trainings of each confirmed candidate.", usual="1")
@race("--batch-size", type=WHOLE, metavar="N", help="Rows of a batch.", usual="16 to 128, by rows")
@race("--seed", type=WHOLE, default=0, metavar="N", help="Seed by which candidates are drawn.", usual="0")
@race(
    "--device",
    default="auto",
    metavar="DEVICE",
    help="cpu, cuda or cuda:N.",
    usual="auto, which is cpu",
)
@race(
    "--workers",
    type=WHOLE,
    metavar="N",
    help="Stacks that train side by side, in processes where that pays.",
    usual="all cores, at most 8",
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
    default="full",
    help="What gradients travel as between ranks that share batches; bfloat16 is half as many bytes.",
    usual="full",
)
@race(
    "--precision",
    type=Listed(PRECISIONS),
    default="float32",
    help="Precision of products in training; auto is bfloat16 where that is measured to be faster.",
    usual="float32",
)
@race(
    "--full-length",
    type=WHOLE,
    metavar="STEPS",
    help="Steps that you will train for; warns where the race is far shorter.",
)
@output("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Write the winner's weights (safetensors).")
@output("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write the HTML report.")
@output("--json", "as_json", is_flag=True, help="Print the run document instead of the summary.")
@output("--quiet", is_flag=True, help="No progress on stderr.")
def tune(
    model: str,
    *,
    source: str,
    loss: str | None,
    step: str | None,
    candidates: str | None,
    space: str | None,
    weights: Path | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Race optimizers for your own PyTorch model.

    MODEL is FILE:NAME, such as mymodel.py:make_model, of a function that builds the torch.nn.Module. The
    files that are named are run as Python. The race is a run like a fit: see `lanewise show`, `resume`, `repeat`.
    """
    mistakes = misread()
    for path in (weights, report):
        if path is not None:
            mistakes.of(check_output, path)
    from lanewise.cli.screen import Screen
    from lanewise.tuning.from_files import check_files_named, tune_files

    settings |= {"model": model, "data": source, "loss": loss, "step": step, "candidates": candidates, "space": space}
    if mistakes:  # else what is off is told before the race
        mistakes.of(check_files_named, settings)
    mistakes.tell()
    with Screen(quiet=quiet or not leads()) as screen:
        found = tune_files(
            command=shlex.join(["lanewise", *sys.argv[1:]]),
            watch=screen.pulse,
            tell=screen.announce,
            started=click.get_current_context().find_object(float),
            **settings,
        )
        if why := found.document["hardware"].get("mesh_why"):
            screen.announce(why)
    if leads():
        finish(found, weights=weights, report=report, as_json=as_json)


def finish(found: "TuneResult", *, weights: Path | None = None, report: Path | None = None, as_json: bool) -> None:
    """Write what was asked for, and print the result."""
    from lanewise.cli.screen import print_document, print_tuned

    assert found.folder is not None
    if weights is not None:
        found.save(weights)
    if report is not None:
        report = copy_report(found.folder / "report.html", report)
    if as_json:
        print_document(found.document)
    else:
        print_tuned(found.document, folder=found.folder, weights=weights, report=report)
