"""Does the corrected score of a fit tell the truth? Many simulated races, each judged on fresh rows of its own law.

A race is a whole fit without a run store: a small table with a nonlinear truth and noise, 8 candidates, the winner by
evidence, its bias-corrected score with the 95% interval, and its refit on all training rows. The true score is that of
the refitted winner on 20,000 rows that nothing has seen. The table that is printed counts how often the interval holds
the true score, on which side it misses, how wide it is, and what the corrected and the naive score are on the
average. Beside it stands the interval that takes the out-of-fold models as they are, without the variation of
training again: what the whole interval gains, and what it costs in width.

    python benchmarks/coverage.py --races 200 --workers 2
    python benchmarks/coverage.py --races 40 --models linear,mlp,tree,lightgbm

The figures depend on ``--races``, ``--seed``, ``--models``, ``--steps`` and ``--folds`` only: budgets are in steps, and
a race is keyed by its number, so the same command prints the same table with any number of workers.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import polars as pl

FRESH_ROWS = 20_000
CANDIDATES = 8
COLUMNS = 8
KINDS = ("binary", "regression")
TARGET = "y"
PROMISED = (0.90, 0.99)
"""Between these the coverage of the 95% interval must be; the exit code is 1 where it is shown not to be."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all races of a run share."""

    seed: int
    models: tuple[str, ...]
    steps: int
    folds: int | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One race; losses, so that smaller is better, whatever the metric."""

    kind: str
    rows: int
    corrected: float
    low: float
    high: float
    rows_low: float
    rows_high: float
    naive: float
    true: float
    winner: str

    @property
    def covered(self) -> bool:
        return self.low <= self.true <= self.high

    @property
    def covered_by_rows(self) -> bool:
        """Whether the interval without the retraining term holds the truth."""
        return self.rows_low <= self.true <= self.rows_high

    @property
    def width(self) -> float:
        """In per cent of the true score."""
        return 100 * (self.high - self.low) / self.true

    @property
    def width_of_rows(self) -> float:
        return 100 * (self.rows_high - self.rows_low) / self.true


def main() -> int:
    arguments = _arguments()
    setup = Setup(
        seed=arguments.seed,
        models=tuple(arguments.models.split(",")),
        steps=arguments.steps,
        folds=arguments.folds,
    )
    outcomes = list(_outcomes(setup, arguments.races, arguments.workers))
    print("\n".join(_table(outcomes)))
    return int(_missed(outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Coverage of the bias-corrected interval over simulated races.")
    parser.add_argument("--races", type=int, default=200, help="races; binary and regression take turns")
    parser.add_argument("--seed", type=int, default=0, help="key of all random numbers")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with a race at a time")
    parser.add_argument("--models", default="linear,mlp,tree,lightgbm", help="families, which share the 8 candidates")
    parser.add_argument("--steps", type=int, default=100, help="the budget of a race")
    parser.add_argument("--folds", type=int, default=None, help="folds; those that a fit chooses if not given")
    return parser.parse_args()


def _outcomes(setup: Setup, races: int, workers: int) -> Iterator[Outcome]:
    """The outcomes in the order of the races, with a line of progress on stderr."""
    started = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        for done, outcome in enumerate(pool.map(partial(race, setup), range(races)), start=1):
            print(f"\r{done} of {races} races, {time.monotonic() - started:.0f} s", end="", file=sys.stderr)
            yield outcome
    print(file=sys.stderr)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def race(setup: Setup, number: int) -> Outcome:
    """One fit on a table of its own, and what its winner is worth on fresh rows."""
    from lanewise.composing import as_scored
    from lanewise.data.dataset import Dataset
    from lanewise.data.reading import read
    from lanewise.fitting.stages import train
    from lanewise.fitting.watcher import Silent
    from lanewise.runs.stage_times import StageTimes
    from lanewise.selection import corrected_score
    from lanewise.settings.fit import checked
    from lanewise.training.posing import Request, pose
    from lanewise.training.stopping import Stop

    kind = KINDS[number % len(KINDS)]
    rng = np.random.default_rng([setup.seed, number])
    law = Law.drawn(kind, rng)
    wanted = int(rng.integers(200, 401))
    # A quarter is held out as a test set, which plays no part here.
    frame = law.table(round(wanted / 0.75), rng)
    problem = pose(read(frame), Request(target=TARGET, folds=setup.folds, seed=number, test_fraction=0.25))
    settings = checked(
        {
            "target": TARGET,
            "models": setup.models,
            "budget": f"{setup.steps}steps",
            "candidates": max(1, CANDIDATES // len(setup.models)),
            "seeds": 1,
            "seed": number,
            "ensemble": "never",
            "workers": 1,
        }
    )
    trained = train(problem, settings, watcher=Silent(), stop=Stop(), times=StageTimes(time.monotonic()))
    fresh = law.table(FRESH_ROWS, rng)
    dataset = Dataset(frame=fresh, kinds=problem.dataset.kinds, source="fresh rows")
    predicted = as_scored(problem, np.concatenate(list(trained.predictor.responses(dataset))))
    labels = fresh[TARGET].to_numpy()
    y = np.searchsorted(problem.task.classes, labels) if problem.task.classes else labels
    choice, sign = trained.choice, problem.metric.sign
    found = choice.corrected
    # Tables here have neither weights nor groups.
    of_rows = corrected_score(choice.contenders, y=problem.y[choice.rows], metric=problem.metric, seed=number)
    low, high = sorted((sign * found.low, sign * found.high))
    rows_low, rows_high = sorted((sign * of_rows.low, sign * of_rows.high))
    return Outcome(
        kind=kind,
        rows=len(problem.train),
        corrected=sign * found.value,
        low=low,
        high=high,
        rows_low=rows_low,
        rows_high=rows_high,
        naive=sign * found.naive,
        true=sign * problem.metric.score(y, predicted),
        winner=trained.choice.selection.winner,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """A law of tables: normal columns, a target that is nonlinear in some of them, and noise.

    signal = slope . x + product x0 x1 + bend (x2^2 - 1) + wave sin(2 x3); regression: y = signal + noise;
    binary: P(y = 1) = logistic(signal).
    """

    kind: str
    slope: np.ndarray
    product: float
    bend: float
    wave: float
    noise: float

    @staticmethod
    def drawn(kind: str, rng: np.random.Generator) -> "Law":
        slope = rng.normal(0, 0.5, COLUMNS) * (rng.random(COLUMNS) < 0.6)
        product, bend, wave = rng.normal(0, 0.7, 3)
        return Law(kind=kind, slope=slope, product=product, bend=bend, wave=wave, noise=rng.uniform(0.5, 2.0))

    def table(self, rows: int, rng: np.random.Generator) -> pl.DataFrame:
        x = rng.normal(size=(rows, COLUMNS))
        signal = x @ self.slope + self.product * x[:, 0] * x[:, 1] + self.bend * (x[:, 2] ** 2 - 1)
        signal += self.wave * np.sin(2 * x[:, 3])
        if self.kind == "binary":
            target = np.where(rng.random(rows) < 1 / (1 + np.exp(-signal)), "yes", "no")
        else:
            target = signal + self.noise * rng.normal(size=rows)
        return pl.DataFrame({**{f"x{place}": x[:, place] for place in range(COLUMNS)}, TARGET: target})


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line per kind of target and one over all; differences are relative to the true score."""
    head = (
        f"{'target':<12}{'races':>6}{'coverage':>10}{'(95% CI)':>16}{'too low':>9}{'too high':>10}{'width':>8}"
        f"{'rows only':>11}{'width':>8}"
        f"{'corrected':>11}{'true':>9}{'naive':>9}{'corrected bias':>16}{'naive bias':>16}"
    )
    lines = [head, "-" * len(head)]
    for name in (*KINDS, "all"):
        mine = [outcome for outcome in outcomes if name in (outcome.kind, "all")]
        if mine:
            lines.append(_line(name, mine))
    return [
        *lines,
        "",
        "Scores are losses (log loss, RMSE). 'too low': the interval lies below the true score, so it promised too",
        "much; 'too high': above. Widths are means of (high - low) / true. 'rows only': coverage and width of the",
        "interval that leaves out the variation of training again. Biases are means of (score - true) / true with",
        "their standard errors, in per cent.",
    ]


def _missed(outcomes: Sequence[Outcome]) -> bool:
    """Whether the coverage is shown to lie outside of what is promised, as far as so many races can show it."""
    from scipy.stats import binomtest

    found = binomtest(sum(outcome.covered for outcome in outcomes), len(outcomes)).proportion_ci(method="wilson")
    return found.high < PROMISED[0] or found.low > PROMISED[1]


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    from scipy.stats import binomtest

    count = len(outcomes)
    hits = sum(outcome.covered for outcome in outcomes)
    interval = binomtest(hits, count).proportion_ci(method="wilson")
    low = sum(outcome.high < outcome.true for outcome in outcomes)
    high = sum(outcome.low > outcome.true for outcome in outcomes)
    corrected, true, naive = (
        np.array([getattr(outcome, field) for outcome in outcomes]) for field in ("corrected", "true", "naive")
    )
    bounds = f"({interval.low:.1%}-{interval.high:.1%})"
    return (
        f"{name:<12}{count:>6}{hits / count:>10.1%}{bounds:>16}{low:>9}{high:>10}"
        f"{np.mean([outcome.width for outcome in outcomes]):>7.1f}%"
        f"{np.mean([outcome.covered_by_rows for outcome in outcomes]):>11.1%}"
        f"{np.mean([outcome.width_of_rows for outcome in outcomes]):>7.1f}%"
        f"{corrected.mean():>11.4f}{true.mean():>9.4f}{naive.mean():>9.4f}"
        f"{_bias(corrected, true):>16}{_bias(naive, true):>16}"
    )


def _bias(score: np.ndarray, true: np.ndarray) -> str:
    relative = 100 * (score - true) / true
    error = relative.std(ddof=1) / np.sqrt(len(relative)) if len(relative) > 1 else float("nan")
    return f"{relative.mean():+.2f} +- {error:.2f}"


if __name__ == "__main__":
    sys.exit(main())
