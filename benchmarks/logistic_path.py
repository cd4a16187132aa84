"""A path of L2 penalties with cross-validation: lanes of L-BFGS against scikit-learn's LogisticRegressionCV.

Ten penalties times five folds of the same logistic regression, on the same standardized rows, with the same folds.
Both sides minimize ``mean loss + l2 |w|^2 / 2`` (intercept free; scikit-learn's ``C`` is ``1 / (n l2)``) until the
largest entry of the gradient is at most the tolerance of Lanewise's solver lanes, predict the held-out rows, and do not
refit. That both reached it is
verified afterwards, in float64, with the gradient written out here. The sides take turns. Beside scikit-learn's default
solver its ``newton-cholesky``, which few choose and which suits many rows of few columns, is timed as well.
"""

import argparse
import os
import statistics
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from turns import better_of, in_turns, ratio

from lanewise.data.reading import read
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.planning.plan import Lengths
from lanewise.training.posing import Request, pose
from lanewise.training.problem import prepare
from lanewise.training.solver_team import TOLERANCE, SolverTeam
from lanewise.training.team import never
from lanewise.training.teams import TeamBuilder
from lanewise.training.workers.side_by_side import SideBySide

ADULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "adult_train.csv.gz"
PENALTIES = np.logspace(-1, -6, 10)
FOLDS = 5
MOST_ITERATIONS = 10_000
ROUNDING = 1.1
"""A gradient that a side computed in its own precision may be so much larger when it is computed in float64."""

Splits = list[tuple[np.ndarray, np.ndarray]]


def adult() -> tuple[np.ndarray, np.ndarray]:
    """The adult census rows: numbers, and categories of up to 32 levels as one column each."""
    data, _ = prepare(pose(read(ADULT), Request(target="class")), refit=True, dtype=torch.float64)
    rows = next(iter(data.folds.values()))
    return rows.dense.numpy(), rows.target.numpy()


def synthetic(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns and a noisy linear boundary."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)) @ (np.eye(columns) + rng.normal(size=(columns, columns)) / columns**0.5)
    odds = x @ rng.normal(size=columns) / columns**0.5
    return x, (odds + rng.logistic(size=rows) > 0).astype(np.int64)


def standardized(x: np.ndarray) -> np.ndarray:
    spread = x.std(axis=0)
    return ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]


class Lanes:
    """All penalties and folds as lanes of the solver."""

    def __init__(self, x: np.ndarray, y: np.ndarray, splits: Splits, *, dtype: torch.dtype, threads: int) -> None:
        dense, target = torch.from_numpy(x).to(dtype), torch.from_numpy(y)
        codes = torch.zeros(len(y), 0, dtype=torch.int64)
        folds = {
            place: FoldData(
                dense=dense, codes=codes, target=target, train=torch.from_numpy(train), valid=torch.from_numpy(valid)
            )
            for place, (train, valid) in enumerate(splits)
        }
        task = Task(target="y", kind="binary", metric="log_loss", classes=("0", "1"))
        self.data = TrainingData(
            task=task, width=Width(dense=x.shape[1], levels=(), outputs=1), folds=folds, rows=len(y)
        )
        self.threads = threads
        shared = {"loss": "logistic", "l1": 0.0}
        self.lanes = [
            Lane(
                candidate=Candidate(
                    id=f"p{place}f{fold}",
                    model="linear",
                    optimizer="lbfgs",
                    settings={**shared, "l2": penalty_of(penalty, splits, fold)},
                ),
                fold=fold,
                seed=0,
            )
            for fold in range(len(splits))
            for place, penalty in enumerate(PENALTIES)
        ]

    def run(self) -> dict[str, np.ndarray]:
        """Solve and predict; the weights with the intercept last, by the name of the lane's candidate."""
        lengths = Lengths(rows_seen=1, iterations=MOST_ITERATIONS)
        builder = TeamBuilder(data=self.data, lengths=lengths, workers=self.threads, stop=never)
        teams = builder.form(self.lanes, "benchmark")

        def solve(team: Any) -> None:
            team.advance(1.0)
            team.evidence()

        SideBySide(self.threads).run([partial(solve, team) for team in teams])
        found: dict[str, np.ndarray] = {}
        for team in teams:
            assert isinstance(team, SolverTeam)
            for place, lane in enumerate(team.lanes):
                views = team.objective.model.layout.views(team.row(place)[None])
                weights = torch.cat([views["weight"].flatten(), views["bias"].flatten()])
                found[lane.candidate.id] = weights.double().numpy()
        return found


def penalty_of(penalty: float, splits: Splits, fold: int) -> float:
    """The L2 penalty of one fold: scikit-learn's C is one number, and folds differ in length by a row."""
    return float(penalty * len(splits[0][0]) / len(splits[fold][0]))


def sklearn_path(x: np.ndarray, y: np.ndarray, splits: Splits, jobs: int, solver: str) -> dict[str, np.ndarray]:
    """The same by scikit-learn, which goes along the path with warm starts."""
    settings: dict[str, Any] = {
        "Cs": 1 / (PENALTIES * len(splits[0][0])),
        "cv": splits,
        "solver": solver,
        "l1_ratios": (0,),
        "scoring": "neg_log_loss",
        "tol": TOLERANCE,
        "max_iter": MOST_ITERATIONS,
        "refit": False,
        "n_jobs": jobs,
        "use_legacy_attributes": False,
    }
    model = LogisticRegressionCV(**settings)
    with warnings.catch_warnings():
        # A change of a default that is stated above is announced all the same.
        warnings.simplefilter("ignore", FutureWarning)
        model.fit(x, y)
    paths = np.asarray(model.coefs_paths_).reshape(len(splits), len(PENALTIES), x.shape[1] + 1)
    return {f"p{place}f{fold}": paths[fold, place] for fold in range(len(splits)) for place in range(len(PENALTIES))}


def largest_gradient(found: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, splits: Splits) -> float:
    """The largest entry of any gradient of the mean objective, over all penalties and folds, in float64."""
    worst = 0.0
    for fold, (train, _) in enumerate(splits):
        rows, target = x[train].astype(np.float64), y[train]
        for place, penalty in enumerate(PENALTIES):
            weights = found[f"p{place}f{fold}"].astype(np.float64)
            slope = 1 / (1 + np.exp(-(rows @ weights[:-1] + weights[-1]))) - target
            into_weights = rows.T @ slope / len(train) + penalty_of(penalty, splits, fold) * weights[:-1]
            worst = max(worst, float(np.abs(into_weights).max()), abs(float(slope.mean())))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of taking turns (default 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads or jobs (default: cores)")
    parser.add_argument("--rows", type=int, help="synthetic rows, instead of the adult data")
    parser.add_argument("--columns", type=int, default=100, help="columns of synthetic rows (default 100)")
    given = parser.parse_args()
    real = given.rows is None and ADULT.is_file()
    x, y = adult() if real else synthetic(given.rows or 20_000, given.columns)
    x = np.ascontiguousarray(standardized(x))
    splits: Splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))
    print(
        f"{'adult' if real else 'synthetic'}: {x.shape[0]:,} rows, {x.shape[1]} columns, {len(PENALTIES)} penalties, "
        f"gradient at most {TOLERANCE:g}"
    )

    results: dict[str, dict[str, np.ndarray]] = {}

    def kept(side: str, run: Callable[[], dict[str, np.ndarray]]) -> Callable[[], None]:
        return lambda: results.update({side: run()})

    def path(solver: str, jobs: int) -> dict[str, Callable[[], None]]:
        name = f"sklearn {solver} n_jobs={jobs}"
        return {name: kept(name, partial(sklearn_path, x, y, splits, jobs, solver))}

    precisions = {"lanes float64": torch.float64, "lanes float32": torch.float32}
    sides = {
        name: kept(name, Lanes(x, y, splits, dtype=dtype, threads=given.threads).run)
        for name, dtype in precisions.items()
    }
    jobs = tuple(dict.fromkeys((1, given.threads)))
    peers = {name: run for count in jobs for name, run in path("lbfgs", count).items()}
    newton = path("newton-cholesky", given.threads)
    sides |= peers | newton
    seconds = in_turns(sides, given.rounds)
    reached = True
    for name, own in seconds.items():
        worst = largest_gradient(results[name], x, y, splits)
        fits = worst <= ROUNDING * TOLERANCE
        reached &= fits
        verdict = "reached" if fits else "NOT REACHED"
        print(f"{name:34} median {statistics.median(own):8.2f} s   largest gradient {worst:.2e} {verdict}")
    for peer in (better_of(seconds, tuple(peers)), *newton):
        for name in precisions:
            print(f"{peer} / {name}: {ratio(seconds[peer], seconds[name])}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
