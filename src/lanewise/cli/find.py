"""``lanewise find-rate`` and ``lanewise find-batch``: the numbers to train a PyTorch model of the user's own with."""

from pathlib import Path
from typing import Any

import click

from lanewise.cli.completion import complete_files
from lanewise.cli.options import REAL, WHOLE, SectionedCommand, misread, section
from lanewise.cli.paths import check_output

data = section("Data")
search = section("Search")
output = section("Output")

LOSSES = "cross_entropy, mse, l1, huber, bce_with_logits, or a function of yours."

_source = data(
    "--data",
    "source",
    required=True,
    metavar="FILE:NAME",
    help="Gives train and valid, each a pair, a Dataset, a DataLoader or batches.",
)
_loss = data("--loss", metavar="NAME|FILE:NAME", help=LOSSES, usual="cross_entropy for whole numbers, else mse")

_step = data("--step", metavar="FILE:NAME", help="A training step of yours instead of the loss.")
_groups = data(
    "--groups", metavar="FILE:NAME", help="Groups of the module's parameters, with factors of rate and decay."
)
_workers = search(
    "--workers",
    type=WHOLE,
    metavar="N",
    help="Stacks that train side by side, in processes where that pays.",
    usual="all cores, at most 8",
)


@click.command("find-rate", cls=SectionedCommand)
@click.argument("model", shell_complete=complete_files)
@_source
@_loss
@_step
@_groups
@search("--optimizers", metavar="NAMES", default="adamw", help="Separated by commas.", usual="adamw")
@search("--rates", type=WHOLE, metavar="N", default=64, help="How many rates.", usual="64")
@search("--low", type=REAL, metavar="RATE", default=1e-6, help="The lowest rate.", usual="1e-6")
@search("--high", type=REAL, metavar="RATE", default=10.0, help="The highest rate.", usual="10")
@search("--steps", type=WHOLE, metavar="N", default=100, help="Steps of each training.", usual="100")
@search("--batch-size", type=WHOLE, metavar="N", help="Rows of a batch.", usual="16 to 128, by rows")
@_workers
@search("--device", metavar="DEVICE", default="auto", help="cpu, cuda or cuda:N.", usual="auto")
@output("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write the curves as an HTML page.")
@output("--json", "as_json", is_flag=True, help="Print one JSON document.")
@output("--quiet", is_flag=True, help="No progress on stderr.")
def find_rate(
    model: str,
    *,
    source: str,
    loss: str | None,
    step: str | None,
    groups: str | None,
    optimizers: str,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Find the learning rate for your own PyTorch model.

    MODEL is FILE:NAME, such as mymodel.py:make_model, of a function that builds the torch.nn.Module. It is trained a
    little at every rate at once. The validation rows judge. The files that are named are run as Python.
    """
    mistakes = misread()
    if report is not None:
        mistakes.of(check_output, report)
    from lanewise.cli.screen import Screen, print_document
    from lanewise.tuning.finders.rate_finder import check_rates
    from lanewise.tuning.finders.rate_finder import find_rate as run
    from lanewise.tuning.inputs.loading import learner

    settings |= {"optimizer": [name.strip() for name in optimizers.split(",")]}
    named = {"loss": loss, "step": step, "groups": groups}
    given = learner(model, source, **named, check=check_rates, mistakes=mistakes, **settings)
    with Screen(quiet=quiet) as screen:
        found = run(**given, watch=screen.pulse, **settings)
    if report is not None:
        found.report(report)
    if as_json:
        print_document(found.document)
    else:
        click.echo("\n".join(found.words))


@click.command("find-batch", cls=SectionedCommand)
@click.argument("model", shell_complete=complete_files)
@_source
@_loss
@_step
@_groups
@search("--optimizer", metavar="NAME", default="adamw", help="Which one trains.", usual="adamw")
@search("--lr", type=REAL, metavar="RATE", help="Its rate at the start size.", usual="that of the optimizer")
@search("--start-size", type=WHOLE, metavar="N", default=32, help="The batch size whose rate is known.", usual="32")
@search("--steps", type=WHOLE, metavar="N", default=200, help="Steps at the start size.", usual="200")
@search("--seconds", type=REAL, metavar="SECONDS", default=5.0, help="How long measuring takes, about.", usual="5")
@_workers
@search("--device", metavar="DEVICE", default="auto", help="cpu, cuda or cuda:N.", usual="auto")
@output("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write the curve as an HTML page.")
@output("--json", "as_json", is_flag=True, help="Print one JSON document.")
@output("--quiet", is_flag=True, help="No progress on stderr.")
def find_batch(
    model: str,
    *,
    source: str,
    loss: str | None,
    step: str | None,
    groups: str | None,
    optimizer: str,
    lr: float | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Find the batch size for your own PyTorch model, and its rate.

    MODEL is FILE:NAME, such as mymodel.py:make_model, of a function that builds the torch.nn.Module. Rows per second
    are measured at each batch size; the size where they stop growing is raced against the start size.
    """
    mistakes = misread()
    if report is not None:
        mistakes.of(check_output, report)
    from lanewise.cli.screen import Screen, print_document
    from lanewise.tuning.finders.batch_finder import check_sizes
    from lanewise.tuning.finders.batch_finder import find_batch as run
    from lanewise.tuning.inputs.loading import learner

    settings |= {"optimizer": {"optimizer": optimizer} if lr is None else {"optimizer": optimizer, "lr": lr}}
    named = {"loss": loss, "step": step, "groups": groups}
    given = learner(model, source, **named, check=check_sizes, mistakes=mistakes, **settings)
    with Screen(quiet=quiet) as screen:
        found = run(**given, watch=screen.pulse, **settings)
    if report is not None:
        found.report(report)
    if as_json:
        print_document(found.document)
    else:
        click.echo("\n".join(found.words))
