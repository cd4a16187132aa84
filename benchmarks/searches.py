"""Which search finds the better model with as many steps: even points, independent ones, proposals, copies, children?

Three small problems: two of known law and the bank table, with spaces of two or three settings. Each search has its own
number of candidates, so that all take about as many steps; those taken are counted and told. The model that a search
hands over is scored on rows that no search saw. Every seed draws its own rows, points
and weights, the same for all searches: differences to Sobol points are paired. No clock is read.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from laws import LAWS, Pair, network
from right_choice import BATCH, TRAIN, VALID
from torch import nn
from tune_against_peers import bank_rows

import lanewise
from lanewise.tuning import TuneResult

FRESH, STEPS = 20_000, 300
ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``draw(seed)`` gives rows to train on, to choose by, and fresh ones."""

    draw: Callable[[int], tuple[Pair, Pair, Pair]]
    make: Callable[[], nn.Module]
    loss: nn.Module
    space: Mapping[str, Any]


def of_law(name: str, space: Mapping[str, Any]) -> Problem:
    law = LAWS[name]

    def draw(seed: int) -> tuple[Pair, Pair, Pair]:
        made = torch.Generator().manual_seed(seed)
        train, valid, fresh = (law.draw(made, rows) for rows in (TRAIN, VALID, FRESH))
        return train, valid, fresh

    return Problem(draw=draw, make=lambda: network(6, 32, law.outputs), loss=law.loss, space=space)


def of_bank() -> Problem:
    (x, y), fresh = bank_rows(20_000, FRESH)

    def draw(seed: int) -> tuple[Pair, Pair, Pair]:
        own = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: TRAIN + VALID]
        return (x[own[:TRAIN]], y[own[:TRAIN]]), (x[own[TRAIN:]], y[own[TRAIN:]]), fresh

    space = {"optimizer": ["adamw", "momentum"], "lr": {"adamw": (1e-4, 1e-1), "momentum": (1e-3, 1.0)}}
    return Problem(draw=draw, make=lambda: network(x.shape[1], 32, 2), loss=nn.CrossEntropyLoss(), space=space)


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    "classes": lambda: of_law(
        "classes", {"optimizer": "adamw", "lr": (1e-4, 1e-1), "weight_decay": (1e-4, 1.0), "beta1": (0.5, 0.99)}
    ),
    "numbers": lambda: of_law(
        "numbers",
        {"optimizer": "momentum", "lr": (1e-3, 1.0), "momentum": (0.0, 0.99), "weight_decay": (1e-5, 1e-1)},
    ),
    "bank": of_bank,
}
SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "sobol": {"search": "sobol", "policy": "halving", "candidates": 48},
    "random": {"search": "random", "policy": "halving", "candidates": 48},
    "bayesian": {"search": "bayesian", "policy": "halving", "candidates": 48},
    "population": {"search": "sobol", "policy": "population", "candidates": 11},
    "genetic": {"search": "sobol", "policy": "genetic", "candidates": 11},
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """Loss on fresh rows of the model that a search hands over, and how many full trainings it took."""

    loss: float
    trainings: float


def searched(problem: Problem, search: str, seed: int) -> Found:
    train, valid, (x, y) = problem.draw(seed)
    result = lanewise.tune(
        problem.make,
        train=train,
        valid=valid,
        loss=problem.loss,
        space=problem.space,
        batch_size=BATCH,
        budget=f"{STEPS}steps",
        seeds=(seed,),
        seed=seed,
        workers=1,
        **SEARCHES[search],
    )
    with torch.no_grad():
        return Found(loss=float(problem.loss(result.model(x), y)), trainings=_trainings(result))


def _trainings(result: TuneResult) -> float:
    """Full trainings that the steps of all lanes make; a copy's lane begins where that which gave way ended."""
    total = 0.0
    for trace in result.race.traces:
        if not trace.fractions:
            continue
        begun = max((own.fraction for own in trace.lane.candidate.events if not own.rewinds), default=0.0)
        total += trace.fractions[-1] - (begun if trace.phase == "screen" else 0.0)
    return total


def compared(name: str, seeds: int) -> list[str]:
    """A row for each search."""
    problem = PROBLEMS[name]()
    found = {own: [searched(problem, own, seed) for seed in range(seeds)] for own in SEARCHES}
    usual = np.array([own.loss for own in found["sobol"]])
    lines = []
    for search, outcomes in found.items():
        losses = np.array([own.loss for own in outcomes])
        gaps = losses - usual
        mean, error = float(gaps.mean()), float(gaps.std(ddof=1) / seeds**0.5)
        verdict = (
            "" if search == "sobol" else "a tie" if abs(mean) <= ERRORS * error else "better" if mean < 0 else "worse"
        )
        against = f"{mean:+.4f} ± {error:.4f}" if verdict else ""
        wins = f"{int((gaps < 0).sum())} of {seeds}" if verdict else ""
        trainings = np.mean([own.trainings for own in outcomes])
        lines.append(f"| {name} | {search} | {trainings:.1f} | {losses.mean():.4f} | {against} | {wins} | {verdict} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="searches of each kind and problem (default 10)")
    parser.add_argument("--only", choices=PROBLEMS, help="one problem only")
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds must be at least 2")
    torch.set_num_threads(1)
    print(
        "| problem | search | full trainings | loss on fresh rows | to Sobol | lower in | |",
        "|---|---|---|---|---|---|---|",
        sep="\n",
    )
    for name in [given.only] if given.only else PROBLEMS:
        print("\n".join(compared(name, given.seeds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
