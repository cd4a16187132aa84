"""Commands for functions: ``lanewise minimize`` and ``lanewise compare``."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

import click

from lanewise.cli.completion import complete_functions, complete_methods
from lanewise.cli.functions import METHODS, check_problem, path_of, read_bounds, read_target, start_of, told
from lanewise.cli.options import REAL, WHOLE, SectionedCommand, misread, section
from lanewise.cli.paths import check_output

NOT_DONE = 1
COMPARED = ("gd", "momentum", "adam", "newton", "bfgs", "genetic")
problem = section("Problem")
search = section("Search")
output = section("Output")


@click.command(cls=SectionedCommand)
@click.argument("function", shell_complete=complete_functions)
@problem("--x0", metavar="NUMBERS", help="Where to start: 1,2,3.", usual="known for test functions")
@problem(
    "--bounds",
    metavar="LOW,HIGH",
    multiple=True,
    help="Bounds of all variables, or given once for each; inf is none.",
    usual="none",
)
@problem("--maximize", is_flag=True, help="Look for the highest value.")
@problem("--residuals", is_flag=True, help="FUNCTION returns residuals; the sum of their squares is minimized.")
@problem("--condition", type=REAL, metavar="K", help="Condition number of quadratic.", usual="10")
@search(
    "--method",
    metavar="NAME",
    default="auto",
    shell_complete=complete_methods,
    help=f"auto, {', '.join(METHODS)}.",
    usual="auto",
)
@search("--starts", type=WHOLE, metavar="N", default=1, help="Starts, all at once; the first is x0.", usual="1")
@search("--tolerance", type=REAL, metavar="SIZE", help="Largest gradient entry to end at.", usual="1e-8 or 1e-6")
@search(
    "--evaluations",
    type=WHOLE,
    metavar="N",
    help="Evaluations of a start; unless stated, a gradient by differences is one.",
    usual="10000",
)
@search("--seed", type=WHOLE, metavar="N", default=0, help="Every random number follows from it.", usual="0")
@output("--json", "as_json", is_flag=True, help="Print one JSON document.")
def minimize(
    function: str,
    *,
    x0: str | None,
    bounds: tuple[str, ...],
    maximize: bool,
    residuals: bool,
    condition: float | None,
    method: str,
    starts: int,
    tolerance: float | None,
    evaluations: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Minimize a function.

    FUNCTION is file.py:name, a function of a vector (PyTorch or plain Python) that returns a number; or a test
    function: rosenbrock, himmelblau, rastrigin, beale, ackley, booth, quadratic. It ends with exit code 1 where
    no optimum was found.
    """
    from lanewise.solvers.stating import refuse, wrong_numbers

    mistakes = misread()
    mistakes.of(check_problem, function, x0=x0, bounds=bounds, condition=condition, command="minimize")
    stated = wrong_numbers(starts=starts, max_evaluations=evaluations, tolerance=tolerance, seed=seed)
    mistakes.of(refuse, (*stated, *_unknown([] if method == "auto" else [method])))
    mistakes.tell()
    from lanewise.cli.screen import print_document
    from lanewise.reporting.solving import document, summary
    from lanewise.solvers.minimizing import minimize as run

    with _own_output(quiet=as_json):
        called, known = read_target(function, condition=condition)
    start = start_of(x0, known)
    if known is not None:
        known.check(len(start))
    begun = time.perf_counter()
    with told(path_of(function)), _own_output(quiet=as_json):
        found = run(
            called,
            start,
            method=method,
            bounds=read_bounds(bounds, len(start)),
            starts=starts,
            maximize=maximize,
            residuals=residuals,
            tolerance=tolerance,
            max_evaluations=evaluations,
            seed=seed,
        )
    seconds = time.perf_counter() - begun
    if as_json:
        print_document(document(found, seconds=seconds))
    else:
        click.echo(summary(found, seconds=seconds))
    if not found.success:
        raise click.exceptions.Exit(NOT_DONE)


def _own_output(*, quiet: bool) -> AbstractContextManager[object]:
    """What a user's function prints goes to stderr where stdout is to hold one JSON document."""
    return redirect_stdout(sys.stderr) if quiet else nullcontext()


def _unknown(methods: list[str]) -> Iterator[str]:
    """What the solvers say of names of no method; they are loaded only where there are such."""
    if not {*methods} <= {*METHODS}:
        from lanewise.solvers.methods import unknown_methods

        yield from unknown_methods(methods)


@click.command(cls=SectionedCommand)
@click.argument("function", shell_complete=complete_functions)
@problem("--x0", metavar="NUMBERS", help="Where to start: 1,2.", usual="known for test functions")
@problem(
    "--bounds",
    metavar="LOW,HIGH",
    multiple=True,
    help="Bounds of all variables, or given once for each; inf is none.",
    usual="none",
)
@problem("--condition", type=REAL, metavar="K", help="Condition number of quadratic.", usual="10")
@search(
    "--methods",
    metavar="NAMES",
    default=",".join(COMPARED),
    shell_complete=complete_methods,
    help="Methods, separated by commas, at most 8; `lanewise minimize --help` lists them.",
    usual=",".join(COMPARED),
)
@search("--evaluations", type=WHOLE, metavar="N", default=1000, help="Evaluations of each method.", usual="1000")
@search("--lr", type=REAL, metavar="RATE", help="Learning rate of the rules.", usual="the best of twelve for each")
@search("--seed", type=WHOLE, metavar="N", default=0, help="Every random number follows from it.", usual="0")
@output(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("compare.html"),
    help="Where to write the page.",
    usual="compare.html",
)
@output("--open", "open_it", is_flag=True, help="Open it in the browser.")
def compare(
    function: str,
    *,
    x0: str | None,
    bounds: tuple[str, ...],
    condition: float | None,
    methods: str,
    evaluations: int,
    lr: float | None,
    seed: int,
    output: Path,
    open_it: bool,
) -> None:
    """Compare methods on a function, on one HTML page.

    FUNCTION is rosenbrock, himmelblau, rastrigin, beale, ackley, booth, quadratic, or file.py:name. The page shows
    the paths of the methods on the map of a function of two variables, moving, and their values against
    evaluations and seconds. It needs no network.
    """
    from lanewise.reporting.comparison import check_count, page, text
    from lanewise.solvers.stating import refuse, wrong_comparison, wrong_numbers

    compared = [name.strip() for name in methods.split(",")]
    mistakes = misread()
    mistakes.of(check_problem, function, x0=x0, bounds=bounds, condition=condition, command="compare")
    mistakes.of(check_output, output)
    stated = wrong_numbers(starts=1, max_evaluations=evaluations, tolerance=None, seed=seed)
    mistakes.of(refuse, (*stated, *wrong_comparison(compared, lr), *_unknown(compared)))
    mistakes.of(check_count, len(compared))
    mistakes.tell()
    from lanewise.solvers.comparing import compare as run
    from lanewise.storage.durable import write_atomically

    called, known = read_target(function, condition=condition)
    start = start_of(x0, known)
    with told(path_of(function)):
        found = run(
            called if known is None else known.name,
            start,
            methods=compared,
            bounds=read_bounds(bounds, len(start)),
            max_evaluations=evaluations,
            lr=lr,
            condition=condition,
            seed=seed,
            name=function.rpartition(":")[2],
        )
    write_atomically(output, page(found).encode(), private=False)
    click.echo(f"{text(found)}\n\n  page  {output}")
    if open_it:
        from lanewise.cli.browser import show_page

        show_page(output)
