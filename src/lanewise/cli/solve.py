"""Commands for functions: ``lanewise minimize`` and ``lanewise compare``."""

import time

import click

from lanewise.cli.completion import complete_functions, complete_methods
from lanewise.cli.functions import check_target, path_of, read_bounds, read_numbers, read_target, told
from lanewise.cli.options import SectionedCommand, section

NOT_DONE = 1
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
@problem("--condition", type=float, metavar="K", help="Condition number of quadratic.", usual="10")
@search(
    "--method",
    metavar="NAME",
    default="auto",
    shell_complete=complete_methods,
    help="bfgs, lbfgs, newton, genetic, cmaes, adam, ...",
    usual="auto",
)
@search("--starts", type=int, metavar="N", default=1, help="Starts, all at once; the first is x0.", usual="1")
@search("--tolerance", type=float, metavar="SIZE", help="Largest gradient entry to end at.", usual="1e-8 or 1e-6")
@search("--evaluations", type=int, metavar="N", default=10_000, help="Evaluations of a start.", usual="10000")
@search("--seed", type=int, metavar="N", default=0, help="Every random number follows from it.", usual="0")
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
    evaluations: int,
    seed: int,
    as_json: bool,
) -> None:
    """Minimize a function.

    FUNCTION is file.py:name, a function of a vector (PyTorch or plain Python) that returns a number; or a test
    function: rosenbrock, himmelblau, rastrigin, beale, ackley, booth, quadratic. It ends with exit code 1 where
    no optimum was found.
    """
    check_target(function)
    from lanewise.cli.screen import print_document
    from lanewise.reporting.solving import document, summary
    from lanewise.solvers.minimizing import minimize as run

    called, known = read_target(function, condition=condition)
    start = _start(x0, None if known is None else known.x0, function)
    if known is not None:
        known.check(len(start))
    begun = time.perf_counter()
    with told(path_of(function)):
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


def _start(given: str | None, known: tuple[float, ...] | None, function: str) -> list[float]:
    from lanewise.errors import UsageError

    if given is not None:
        return read_numbers(given, name="x0")
    if known is None:
        message = f"say where to start: lanewise minimize {function} --x0 1,2,3"
        raise UsageError(message)
    return list(known)
