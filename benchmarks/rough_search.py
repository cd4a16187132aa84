"""Search without derivatives: functions in steps, with noise, and with kinks, by methods of ``lanewise.minimize``.

``method="auto"`` meets these within bounds. Four functions, shifted and, but for Rosenbrock's, turned, in each of three
kinds of roughness and 2, 5 and 10 variables. Every method has the same number of evaluations and begins anew from
another point when it ends early. What counts is the place of a method on each problem, by the value of its best point
(without the noise). Needs ``pip install cmaes``.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np

import lanewise

Function = Callable[[np.ndarray], float]
METHODS = ("genetic", "differential-evolution", "dual-annealing", "cmaes")
KINDS = ("steps", "noise", "kinks")
SHAPES = ("sphere", "ellipsoid", "rosenbrock", "rastrigin")
WIDTHS = (2, 5, 10)
EDGE = 5.0
FEWEST = 4
"""Evaluations that are left from which on no further run begins."""


def smooth(shape: str, width: int) -> Function:
    """One of :data:`SHAPES` with its minimum of 0 at a drawn point."""
    draw = np.random.default_rng(100)
    at = draw.uniform(-3, 3, width)
    turn = np.linalg.qr(draw.normal(size=(width, width)))[0]
    weights = 10 ** np.linspace(0, 2, width)

    def call(x: np.ndarray) -> float:
        z = turn @ (x - at)
        if shape == "sphere":
            return float(z @ z)
        if shape == "ellipsoid":
            return float(weights @ z**2)
        if shape == "rastrigin":
            return float((z**2 - 5 * np.cos(2 * math.pi * z) + 5).sum())
        z = x - at + 1
        return float((100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum())

    return call


def rough(kind: str, function: Function, width: int) -> tuple[Function, Function]:
    """What a method is given, and what its best point is judged by."""
    if kind == "noise":
        noise = np.random.default_rng(0)
        return lambda x: (function(x) + 0.5) * (1 + 0.05 * noise.normal()), function
    if kind == "steps":

        def stepped(x: np.ndarray) -> float:
            return function(np.round(x * 5) / 5)

        return stepped, stepped
    draw = np.random.default_rng(200)
    at, weights = draw.uniform(-3, 3, width), 10 ** np.linspace(0, 1, width)
    turn = np.linalg.qr(draw.normal(size=(width, width)))[0]

    def kinked(x: np.ndarray) -> float:
        return float(weights @ np.abs(turn @ (x - at))) + 0.1 * function(x)

    return kinked, kinked


def solve(method: str, kind: str, shape: str, width: int, budget: int) -> float:
    """The true value of the best point within ``budget`` evaluations."""
    given, truth = rough(kind, smooth(shape, width), width)
    starts = np.random.default_rng(7)
    spent, least, best = 0, math.inf, np.zeros(width)
    seed = 0
    while budget - spent >= FEWEST:
        found = lanewise.minimize(
            given,
            starts.uniform(-EDGE, EDGE, width),
            bounds=(-EDGE, EDGE),
            method=method,
            max_evaluations=budget - spent,
            seed=seed,
        )
        spent, seed = spent + found.evaluations, seed + 1
        if found.value < least:
            least, best = found.value, found.x
    return truth(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=200, help="evaluations for each variable (default 200)")
    given = parser.parse_args()
    print(f"| mean place | {' | '.join(METHODS)} |\n|{'---|' * (1 + len(METHODS))}")
    everything: list[list[int]] = []
    for kind in KINDS:
        places: list[list[int]] = []
        for shape in SHAPES:
            for width in WIDTHS:
                values = [solve(method, kind, shape, width, given.budget * width) for method in METHODS]
                places.append([1 + sum(other < value for other in values) for value in values])
        everything += places
        print(f"| {kind} | {' | '.join(f'{place:.1f}' for place in np.mean(places, axis=0))} |", flush=True)
    print(f"| all {len(everything)} | {' | '.join(f'{place:.1f}' for place in np.mean(everything, axis=0))} |")


if __name__ == "__main__":
    main()
