"""The methods that ask for values only, each as a run of one of our solvers."""

from collections.abc import Callable
from typing import Literal

import torch

from lanewise.errors import UsageError
from lanewise.solvers.genetic import Genetic
from lanewise.solvers.method import Method
from lanewise.solvers.outcome import Outcome, Setup, drive
from lanewise.solvers.sampling import Sampling
from lanewise.solvers.solver import Status

REACH = 10.0
"""Without bounds a variable is searched within ``x0 +- REACH max(1, |x0|)``."""


def search_box(setup: Setup) -> tuple[torch.Tensor, torch.Tensor]:
    """Finite bounds ``[P]``: those given, else a box around the start."""
    x0 = setup.starts[0]
    reach = REACH * x0.abs().clamp_min(1.0)
    low, high = x0 - reach, x0 + reach
    if setup.low is not None:
        low = torch.where(setup.low.isfinite(), setup.low, low)
    if setup.high is not None:
        high = torch.where(setup.high.isfinite(), setup.high, high)
    return low, torch.maximum(low, high)


GENETIC_OPTIONS = ("population", "crossover", "crossover_spread", "mutation", "mutation_spread", "elite", "patience")


SMALLEST, USUAL = 20, 60
"""Members of a population: at least, and from the usual limit of 10,000 evaluations on."""


def usual_population(max_evaluations: int) -> int:
    """An even number of members that leaves generations enough: 0.6 times the root of the evaluations, 20 to 60.

    On COCO's functions, at 200 evaluations for each variable, 20 to 30 members reached more targets than 60 did
    (``benchmarks/results.md``); with evaluations to spend a larger population finds more of the optima.

    >>> [usual_population(limit) for limit in (400, 2_000, 4_000, 10_000, 1_000_000)]
    [20, 26, 38, 60, 60]
    """
    return min(USUAL, max(SMALLEST, 2 * round(0.3 * max_evaluations**0.5)))


def _genetic(setup: Setup) -> Outcome:
    low, high = search_box(setup)
    solver = Genetic(
        low=low,
        high=high,
        whole=setup.whole,
        categories=setup.categories,
        seed=setup.seed,
        max_evaluations=setup.max_evaluations,
        **{"population": usual_population(setup.max_evaluations), **setup.options},
    )
    return drive(solver, setup, measure=lambda state: state.violations[:, 0])[0]


def _sampling(kind: Literal["grid", "random", "quasi-random"]) -> Callable[[Setup], Outcome]:
    def run(setup: Setup) -> Outcome:
        low, high = search_box(setup)
        if kind == "grid" and not setup.boxed:
            message = "grid search needs finite bounds for every variable: give bounds or variables"
            raise UsageError(message)
        settings = dict(setup.options)
        points = settings.pop("points", setup.max_evaluations)
        if not isinstance(points, int) or points < 1:
            message = f"points must be a whole number of at least 1, got {points!r}"
            raise UsageError(message)
        solver = Sampling(
            kind=kind,
            low=low,
            high=high,
            whole=setup.whole,
            count=min(points, setup.max_evaluations),
            seed=setup.seed,
            **settings,
        )
        outcome, _ = drive(solver, setup, measure=lambda state: state.violations)
        broken = (outcome.violations > setup.feasibility).tolist()
        outcome.status = [
            Status.INFEASIBLE if bad else status for bad, status in zip(broken, outcome.status, strict=True)
        ]
        return outcome

    return run


SEARCH_METHODS = (
    Method(
        name="genetic",
        words="breeds a population (genetic algorithm)",
        run=_genetic,
        derivatives=0,
        constraints=True,
        whole=True,
        options=GENETIC_OPTIONS,
    ),
    Method(
        name="grid",
        words="tries every point of a grid",
        run=_sampling("grid"),
        derivatives=0,
        constraints=True,
        whole=True,
        options=("levels",),
    ),
    Method(
        name="random",
        words="tries random points",
        run=_sampling("random"),
        derivatives=0,
        constraints=True,
        whole=True,
        options=("points",),
    ),
    Method(
        name="quasi-random",
        words="tries a Sobol sequence",
        run=_sampling("quasi-random"),
        derivatives=0,
        constraints=True,
        whole=True,
        options=("points",),
    ),
)
