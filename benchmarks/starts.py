"""Many starts of one problem as lanes of ``lanewise.minimize``, against a loop over SciPy's ``minimize``.

1,000 starts of the 10-dimensional Rosenbrock function and of Hock and Schittkowski's problem 5 (within bounds), and one
logistic regression of 200 parameters by L-BFGS. Both sides start from the same points and stop when the largest entry
of the (projected) gradient is at most the same tolerance. SciPy runs in two ways: with the same PyTorch function
and its autograd derivatives, and with value and gradient written out in NumPy by hand, which is more than a user has to
write for Lanewise. That both sides found the same minima is verified afterwards. The sides take turns.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor
from turns import better_of, in_turns, ratio

import lanewise
from lanewise.solvers.starts import draw_starts

TOLERANCE = 1e-6
ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``torch`` and ``numpy`` are the same function; ``methods`` are ours and SciPy's counterpart."""

    torch: Callable[[Tensor], Tensor]
    numpy: ValueAndGradient
    x0: np.ndarray
    starts: int
    methods: tuple[str, str]
    bounds: tuple[list[float], list[float]] | None = None

    def points(self) -> np.ndarray:
        low, high = (None, None) if self.bounds is None else (torch.tensor(side).double() for side in self.bounds)
        return draw_starts(torch.from_numpy(self.x0), low, high, starts=self.starts, seed=0).numpy()


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosenbrock_by_hand(x: np.ndarray) -> tuple[float, np.ndarray]:
    head, tail = x[:-1], x[1:]
    valley = tail - head**2
    gradient = np.zeros_like(x)
    gradient[1:] += 200 * valley
    gradient[:-1] += -400 * valley * head - 2 * (1 - head)
    return float((100 * valley**2 + (1 - head) ** 2).sum()), gradient


def hs5(x: Tensor) -> Tensor:
    return (x[0] + x[1]).sin() + (x[0] - x[1]) ** 2 - 1.5 * x[0] + 2.5 * x[1] + 1


def hs5_by_hand(x: np.ndarray) -> tuple[float, np.ndarray]:
    apart, slope = x[0] - x[1], math.cos(x[0] + x[1])
    value = math.sin(x[0] + x[1]) + apart**2 - 1.5 * x[0] + 2.5 * x[1] + 1
    return value, np.array([slope + 2 * apart - 1.5, slope - 2 * apart + 2.5])


def regression(rows: int = 5000, columns: int = 200) -> Case:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, columns)) @ (np.eye(columns) + draw.normal(size=(columns, columns)) / columns**0.5)
    y = (x @ draw.normal(size=columns) / columns**0.5 + draw.logistic(size=rows) > 0).astype(np.float64)
    inputs, targets, l2 = torch.from_numpy(x), torch.from_numpy(y), 1e-3

    def by_torch(w: Tensor) -> Tensor:
        scores = inputs @ w
        return (torch.nn.functional.softplus(scores) - targets * scores).mean() + l2 / 2 * w.square().sum()

    def by_hand(w: np.ndarray) -> tuple[float, np.ndarray]:
        scores = x @ w
        value = float((np.logaddexp(0, scores) - y * scores).mean() + l2 / 2 * w @ w)
        return value, x.T @ (1 / (1 + np.exp(-scores)) - y) / rows + l2 * w

    return Case(torch=by_torch, numpy=by_hand, x0=np.zeros(columns), starts=1, methods=("lbfgs", "L-BFGS-B"))


def cases(starts: int) -> dict[str, Case]:
    return {
        "rosenbrock 10-d, bfgs": Case(
            torch=rosenbrock,
            numpy=rosenbrock_by_hand,
            x0=np.full(10, -1.0),
            starts=starts,
            methods=("bfgs", "BFGS"),
        ),
        "rosenbrock 10-d, lbfgs": Case(
            torch=rosenbrock,
            numpy=rosenbrock_by_hand,
            x0=np.full(10, -1.0),
            starts=starts,
            methods=("lbfgs", "L-BFGS-B"),
        ),
        "HS5 within bounds": Case(
            torch=hs5,
            numpy=hs5_by_hand,
            x0=np.zeros(2),
            starts=starts,
            methods=("bfgs", "L-BFGS-B"),
            bounds=([-1.5, -3.0], [4.0, 3.0]),
        ),
        "logistic 200 parameters": regression(),
    }


def with_autograd(case: Case) -> ValueAndGradient:
    def call(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        value = case.torch(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), gradient.numpy()

    return call


def by_scipy(case: Case, function: ValueAndGradient) -> list[float]:
    box = None if case.bounds is None else list(zip(*case.bounds, strict=True))
    options = {"gtol": TOLERANCE, "maxiter": 10_000}
    if case.methods[1] == "L-BFGS-B":
        options |= {"ftol": 0.0, "maxfun": 100_000}
    return [
        scipy_minimize(function, start, jac=True, method=case.methods[1], bounds=box, options=options).fun
        for start in case.points()
    ]


def by_lanes(case: Case) -> lanewise.Solution:
    return lanewise.minimize(
        case.torch, case.x0, starts=case.starts, bounds=case.bounds, method=case.methods[0], tolerance=TOLERANCE
    )


def agree(found: lanewise.Solution, theirs: list[float]) -> bool:
    """Whether the minima that many of SciPy's starts reached are those that we found, and the lowest is the same."""
    ours = np.array([one.value for one in found.optima])
    values = np.array(theirs)
    rounded, counts = np.unique(values.round(5), return_counts=True)
    common = rounded[counts >= max(1, len(values) // 50)]
    near = np.abs(common[:, None] - ours).min(axis=1) <= 1e-4 * np.maximum(1, np.abs(common))
    return bool(near.all()) and abs(values.min() - found.value) <= 1e-6 * max(1.0, abs(found.value))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of taking turns (default 3)")
    parser.add_argument("--starts", type=int, default=1000, help="starts of each problem (default 1000)")
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides (default 1)")
    parser.add_argument("--only", help="only the cases whose name contains this")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    all_agree = True
    for name, case in cases(given.starts).items():
        if given.only and given.only not in name:
            continue
        results: dict[str, object] = {}
        sides = {
            "lanes": lambda c=case, r=results: r.update(lanes=by_lanes(c)),
            "scipy, autograd": lambda c=case, r=results: r.update(autograd=by_scipy(c, with_autograd(c))),
            "scipy, by hand": lambda c=case, r=results: r.update(hand=by_scipy(c, c.numpy)),
        }
        by_lanes(case)  # the first use of torch's transforms loads them
        seconds = in_turns(sides, given.rounds)
        for side, own in seconds.items():
            print(f"{name:24} {side:16} median {statistics.median(own):8.3f} s")
        best = better_of(seconds, ("scipy, autograd", "scipy, by hand"))
        print(f"{name:24} same derivatives: {ratio(seconds['scipy, autograd'], seconds['lanes'])}")
        print(f"{name:24} better of both ({best}): {ratio(seconds[best], seconds['lanes'])}")
        found = results["lanes"]
        assert isinstance(found, lanewise.Solution)
        same = agree(found, results["hand"])  # type: ignore[arg-type]  # SciPy's sides are lists
        all_agree &= same
        reached = ", ".join(f"{one.value:.6g} from {one.starts}" for one in found.optima[:4])
        print(f"{name:24} minima {'agree' if same else 'DISAGREE'}: {reached}")
    return 0 if all_agree else 1


if __name__ == "__main__":
    sys.exit(main())
