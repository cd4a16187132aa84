"""Global search on the BBOB functions of COCO: methods of ``lanewise.minimize`` against ``cmaes`` and pymoo.

Every method gets the same number of evaluations of the same problems, calls that ``minimize`` makes to look at a
function included, and begins anew from another point when it ends early. What counts is the share of the targets that
were reached: 51 distances from the optimal value, from 100 down to 1e-8, equally spaced in logarithms, as COCO has
them. Needs ``pip install coco-experiment pymoo cmaes``.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lanewise

TARGETS = 10.0 ** np.linspace(2, -8, 51)
EDGE = 5.0
"""All BBOB problems are searched within -5 and 5; their optima lie there."""

FUNCTIONS = (1, 2, 3, 6, 8, 10, 13, 15, 17, 20, 21, 24)
"""Two or three of each of COCO's five groups."""

GROUPS = {"separable": (1, 5), "moderate": (6, 9), "ill-conditioned": (10, 14), "multi-modal": (15, 19)}
GROUPS |= {"weak structure": (20, 24)}
SHARES = (0.1, 0.3, 1.0)
"""Shares of the budget after which methods are compared."""


@dataclass(kw_only=True)
class Counted:
    """A problem that notes the lowest value so far after each of its first ``budget`` evaluations."""

    function: Callable[[np.ndarray], float]
    width: int
    budget: int
    lowest: list[float] = field(default_factory=list)

    def __call__(self, point: np.ndarray) -> float:
        value = float(self.function(point))
        if self.left:
            self.lowest.append(min(value, self.lowest[-1]) if self.lowest else value)
        return value

    @property
    def left(self) -> int:
        """Evaluations that still count."""
        return self.budget - len(self.lowest)


Run = Callable[[Counted, int], None]
"""One run of a method on a problem, with a seed; it may end before the budget does."""


def start_of(problem: Counted, seed: int) -> np.ndarray:
    """Where the run of that seed begins."""
    return np.random.default_rng(seed).uniform(-EDGE, EDGE, problem.width)


def by_minimize(method: str, **options: object) -> Run:
    """A method of :func:`lanewise.minimize`."""

    def run(problem: Counted, seed: int) -> None:
        lanewise.minimize(
            problem,
            start_of(problem, seed),
            bounds=(-EDGE, EDGE),
            method=method,
            max_evaluations=problem.left,
            seed=seed,
            options=options or None,
        )

    return run


def by_cmaes(problem: Counted, seed: int) -> None:
    """The package ``cmaes`` as its page shows it, with a first step of 0.3 of the width."""
    import cmaes

    bounds = np.array([[-EDGE, EDGE]] * problem.width)
    evolution = cmaes.CMA(mean=start_of(problem, seed), sigma=0.6 * EDGE, bounds=bounds, seed=seed)
    while problem.left and not evolution.should_stop():
        points = [evolution.ask() for _ in range(evolution.population_size)]
        evolution.tell([(point, problem(point)) for point in points])


def by_pymoo(population: int | None) -> Run:
    """pymoo's genetic algorithm at its defaults, but for the population if one is stated."""

    def run(problem: Counted, seed: int) -> None:
        from pymoo.algorithms.soo.nonconvex.ga import GA  # pyright: ignore[reportMissingImports]  # of no extra
        from pymoo.core.problem import Problem  # pyright: ignore[reportMissingImports]  # of no extra
        from pymoo.optimize import minimize  # pyright: ignore[reportMissingImports]  # of no extra

        class Posed(Problem):
            def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: object, **kwargs: object) -> None:
                del args, kwargs
                out["F"] = np.array([problem(point) for point in x])

        posed = Posed(n_var=problem.width, n_obj=1, xl=-EDGE, xu=EDGE)
        algorithm = GA() if population is None else GA(pop_size=population)
        minimize(posed, algorithm, ("n_eval", problem.left), seed=seed, verbose=False)

    return run


METHODS: dict[str, Run] = {
    "random": by_minimize("random"),
    "quasi-random": by_minimize("quasi-random"),
    "genetic": by_minimize("genetic"),
    "genetic (60)": by_minimize("genetic", population=60),
    "differential-evolution": by_minimize("differential-evolution"),
    "dual-annealing": by_minimize("dual-annealing"),
    "cmaes": by_minimize("cmaes"),
    "peer: cmaes": by_cmaes,
    "peer: pymoo GA": by_pymoo(None),
    "peer: pymoo GA (60)": by_pymoo(60),
}


def reached(problem: Counted, optimum: float) -> np.ndarray:
    """Shares of the targets that were reached after each of :data:`SHARES` of the budget."""
    known = np.array(problem.lowest)
    found = []
    for share in SHARES:
        at = min(len(known), max(1, round(share * problem.budget)))
        found.append(np.mean(known[at - 1] - optimum <= TARGETS))
    return np.array(found)


def solve(run: Run, problem: Counted) -> None:
    """Spend the budget: run, and run anew with the next seed, until nothing is left."""
    seed = 0
    while problem.left:
        before = problem.left
        run(problem, seed)
        if problem.left == before:
            message = "a run ended without an evaluation"
            raise RuntimeError(message)
        seed += 1


@dataclass(frozen=True, kw_only=True)
class Results:
    """``reached [M, N, T]`` of methods M on problems N at shares of the budget T; of each problem its function and
    dimension; ``seconds [M]``.
    """

    methods: tuple[str, ...]
    functions: np.ndarray
    widths: np.ndarray
    reached: np.ndarray
    seconds: np.ndarray


def optimum_of(posed: Any) -> float:
    """The optimal value of a problem; COCO tells only where it is, and only by a file in the working directory."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        posed._best_parameter("print")
        (written,) = Path(folder).iterdir()
        best = np.loadtxt(written)
    return float(posed(best))


def measure(methods: Sequence[str], given: argparse.Namespace) -> Results:
    """Run every method on every problem."""
    import cocoex  # pyright: ignore[reportMissingImports]  # of no extra

    wanted = (
        f"dimensions: {','.join(map(str, given.dimensions))} function_indices: {','.join(map(str, given.functions))} "
        f"instance_indices: 1-{given.instances}"
    )
    functions, widths, shares = [], [], []
    seconds = np.zeros(len(methods))
    for posed in cocoex.Suite("bbob", "", wanted):
        width = int(posed.dimension)
        optimum = optimum_of(posed)
        own = []
        for place, name in enumerate(methods):
            problem = Counted(function=posed, width=width, budget=given.budget * width)
            begun = time.perf_counter()
            solve(METHODS[name], problem)
            seconds[place] += time.perf_counter() - begun
            own.append(reached(problem, optimum))
        functions.append(int(posed.id_function))
        widths.append(width)
        shares.append(own)
        print(f"\r{posed.id}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return Results(
        methods=tuple(methods),
        functions=np.array(functions),
        widths=np.array(widths),
        reached=np.array(shares).swapaxes(0, 1),
        seconds=seconds,
    )


def report(found: Results) -> str:
    """Shares of targets by dimension, by group of functions, and by share of the budget, as Markdown."""
    widths = list(dict.fromkeys(found.widths.tolist()))
    groups = {
        name: (found.functions >= low) & (found.functions <= high)
        for name, (low, high) in GROUPS.items()
        if bool(((found.functions >= low) & (found.functions <= high)).any())
    }
    head = ["method", *(f"{width} variables" for width in widths), *groups]
    head += [f"{share:.0%} of the budget" for share in SHARES]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for place, name in enumerate(found.methods):
        final = found.reached[place, :, -1]
        cells = [final[found.widths == width].mean() for width in widths]
        cells += [final[own].mean() for own in groups.values()]
        cells += found.reached[place].mean(0).tolist()
        lines.append(f"| {name} | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
    return "\n".join([*lines, "", *differences(found), ""])


PAIRS = (
    ("genetic", "peer: pymoo GA"),
    ("genetic (60)", "peer: pymoo GA (60)"),
    ("genetic", "genetic (60)"),
    ("cmaes", "peer: cmaes"),
)
"""Ours, and what it is compared with."""


def differences(found: Results) -> list[str]:
    """How far the shares of :data:`PAIRS` are apart, problem by problem, with the standard error."""
    lines = []
    for ours, theirs in PAIRS:
        if ours in found.methods and theirs in found.methods:
            a, b = (found.reached[found.methods.index(name), :, -1] for name in (ours, theirs))
            apart = a - b
            error = apart.std(ddof=1) / len(apart) ** 0.5
            better, worse = int((apart > 0).sum()), int((apart < 0).sum())
            lines.append(
                f"- {ours} against {theirs.removeprefix('peer: ')}: {apart.mean():+.1%} ± {error:.1%} of the targets; "
                f"more on {better}, fewer on {worse} of {len(apart)} problems"
            )
    return lines


def numbers(text: str) -> list[int]:
    """``1,3-5`` as numbers."""
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of the methods, with commas: {', '.join(METHODS)}")
    parser.add_argument("--dimensions", type=numbers, default=[2, 5, 10, 20], help="default 2,5,10,20")
    parser.add_argument(
        "--functions", type=numbers, default=list(FUNCTIONS), help="of 1-24 (default: some of all groups)"
    )
    parser.add_argument("--instances", type=int, default=3, help="instances of each function (default 3)")
    parser.add_argument("--budget", type=int, default=200, help="evaluations per variable (default 200)")
    given = parser.parse_args()
    missing = [name for name in ("cocoex", "pymoo", "cmaes") if find_spec(name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} cannot be imported; pip install coco-experiment pymoo cmaes")
    names = given.only.split(",") if given.only else list(METHODS)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        parser.error(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")
    torch.set_num_threads(1)
    found = measure(names, given)
    print(report(found))
    for name, seconds in zip(found.methods, found.seconds, strict=True):
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
