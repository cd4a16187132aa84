"""Is the chosen setting right? Repeated searches over the same candidates, each winner held against the best of them.

Three tasks: two of known law, where every search draws rows of its own and there is no end of fresh ones, and the bank
table, where searches draw from one half and everything is tested on the other. First the truth is found once: all
candidates are trained on many draws of the training rows, with a seed each, and scored on rows that no search sees; a
candidate's true score is the mean. Then searches with other rows and seeds each name a winner.

A winner is right if its true score is within noise of the best one's: behind by no more than two standard deviations
of what a single comparison of the two says, with other training rows, another seed and other validation rows each time.
A search with one seed cannot tell them apart at 95%. Two stricter tests are told beside: one such deviation, and two
standard errors of the truth itself, which is the sharper the more ``--trainings`` it was found by, until only the very
best candidate passes. How far winners and the default are behind is told as it is. No clock is read.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from laws import LAWS, Pair, network
from torch import nn
from tune_against_peers import bank_rows

import lanewise
from lanewise.search.registry import POLICIES
from lanewise.tuning import TuneResult

CANDIDATES, STEPS, BATCH = 24, 300, 32
TRAIN, VALID = 1000, 1000
SPACE = {"optimizer": ["adamw", "momentum"], "lr": {"adamw": (1e-4, 1e-1), "momentum": (1e-3, 1.0)}}
GOAL = 0.9
ERRORS = 2.0
"""Standard errors that are noise."""
OWN = 1_000_000
"""Added to the seeds of searches: the truth is found by other draws."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """``draw(seed)`` gives rows to train on, to choose by, and fresh ones."""

    draw: Callable[[int], tuple[Pair, Pair, Pair]]
    make: Callable[[], nn.Module]
    loss: nn.Module


def of_law(name: str) -> Task:
    law = LAWS[name]

    def draw(seed: int) -> tuple[Pair, Pair, Pair]:
        made = torch.Generator().manual_seed(seed)
        train, valid, fresh = (law.draw(made, rows) for rows in (TRAIN, VALID, VALID))
        return train, valid, fresh

    return Task(draw=draw, make=lambda: network(6, 32, law.outputs), loss=law.loss)


def of_bank() -> Task:
    """The bank table; the second half of its shuffled rows is for the truth alone."""
    half = 20_000
    (x, y), (x_kept, y_kept) = bank_rows(half, half)

    def draw(seed: int) -> tuple[Pair, Pair, Pair]:
        mixed = torch.Generator().manual_seed(seed)
        own = torch.randperm(half, generator=mixed)[: TRAIN + VALID]
        kept = torch.randperm(half, generator=mixed)[:VALID]
        train, valid = own[:TRAIN], own[TRAIN:]
        return (x[train], y[train]), (x[valid], y[valid]), (x_kept[kept], y_kept[kept])

    return Task(draw=draw, make=lambda: network(x.shape[1], 32, 2), loss=nn.CrossEntropyLoss())


TASKS: Mapping[str, Callable[[], Task]] = {
    "classes": lambda: of_law("classes"),
    "numbers": lambda: of_law("numbers"),
    "bank": of_bank,
}


def raced(task: Task, train: Pair, judged: Pair, *, policy: str, seeds: Sequence[int], **what: Any) -> TuneResult:
    """One race; the candidates are the same whatever the ``seeds``, which are those of the weights and of the order."""
    return lanewise.tune(
        task.make,
        train=train,
        valid=judged,
        loss=task.loss,
        **(what or {"space": SPACE, "candidates": CANDIDATES}),
        batch_size=BATCH,
        budget=f"{STEPS}steps",
        seeds=seeds,
        policy=policy,
        workers=1,
    )


def truth_of(task: Task, trainings: int, **what: Any) -> dict[str, np.ndarray]:
    """Losses on fresh rows of every candidate, one for each training; infinite where it diverged."""
    found: dict[str, list[float]] = {}
    for seed in range(trainings):
        train, _, fresh = task.draw(seed)
        result = raced(task, train, fresh, policy="never", seeds=[seed], **what)
        scores = {own.id: own.score for own in result.selection.standings}
        for one in result.plan.candidates:
            found.setdefault(one.id, []).append(scores.get(one.id, np.inf))
    return {name: np.array(losses) for name, losses in found.items()}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How far a candidate's true loss is ``behind`` the best one's.

    ``spread`` is the standard deviation of a single comparison of the two, ``error`` the standard error of the truth.
    """

    behind: float
    spread: float
    error: float

    @property
    def right(self) -> bool:
        return self.behind <= ERRORS * self.spread

    @property
    def close(self) -> bool:
        return self.behind <= self.spread

    @property
    def sharp(self) -> bool:
        return self.behind <= ERRORS * self.error

    @classmethod
    def of(cls, losses: np.ndarray, best: np.ndarray) -> "Verdict":
        if not np.isfinite(losses).all():
            return cls(behind=np.inf, spread=0.0, error=0.0)
        gap = losses - best
        spread = float(gap.std(ddof=1))
        return cls(behind=float(gap.mean()), spread=spread, error=spread / len(gap) ** 0.5)


@dataclass(kw_only=True)
class Truth:
    """The true losses of a task's candidates, and of settings that a race has made of them."""

    task: Task
    trainings: int

    def __post_init__(self) -> None:
        self.losses = truth_of(self.task, self.trainings)
        self.best = min(self.losses, key=lambda one: float(self.losses[one].mean()))

    def verdict(self, winner: str) -> Verdict:
        return Verdict.of(self.losses[winner], self.losses[self.best])

    def found(self, result: TuneResult) -> Verdict:
        """That of what a search hands over: one that diverged and was set back has a lower rate than it began with."""
        own = result.winner.id
        if own not in self.losses:
            settings = dict(result.settings)
            self.losses[own] = next(iter(truth_of(self.task, self.trainings, candidates=[settings]).values()))
        return self.verdict(own)


def searched(truth: Truth, policy: str, *, searches: int, seeds: int) -> list[Verdict]:
    found = []
    for search in range(searches):
        first = OWN + search * seeds
        train, valid, _ = truth.task.draw(first)
        found.append(truth.found(raced(truth.task, train, valid, policy=policy, seeds=range(first, first + seeds))))
    return found


def judged(name: str, policies: Sequence[str], *, searches: int, trainings: int, seeds: int) -> list[bool]:
    """Print the truth, and what every policy's winners are worth; whether each reaches the goal."""
    truth = Truth(task=TASKS[name](), trainings=trainings)
    against = [truth.verdict(one) for one in truth.losses]
    best = truth.losses[truth.best]
    print(
        f"{name}: the best of {len(against)} is {truth.best}, true loss {best.mean():.4f} (one training of it varies "
        f"by {best.std(ddof=1):.4f}); {sum(own.right for own in against)} are within noise of it, "
        f"{sum(own.close for own in against)} within one deviation, {sum(own.sharp for own in against)} by the sharp "
        f"test; the default is behind by {against[0].behind:.4f}, the "
        f"middle one by {np.median([own.behind for own in against]):.4f}"
    )
    reached = []
    for policy in policies:
        verdicts = searched(truth, policy, searches=searches, seeds=seeds)
        behind = [own.behind for own in verdicts]
        right = sum(own.right for own in verdicts)
        print(
            f"  {policy:10} right in {right} of {searches} (within one deviation {sum(own.close for own in verdicts)}, "
            f"sharp test {sum(own.sharp for own in verdicts)}); behind by {np.mean(behind):.4f} on "
            f"average, {np.max(behind):.4f} at most",
            flush=True,
        )
        reached.append(right >= GOAL * searches)
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=10, help="searches of each task and policy (default 10)")
    parser.add_argument("--trainings", type=int, default=40, help="trainings that the truth is found by (default 40)")
    parser.add_argument("--policy", choices=POLICIES, action="append", help="may be given again (default halving)")
    parser.add_argument("--only", choices=TASKS, help="one task only")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each confirmed candidate (default 1)")
    given = parser.parse_args()
    if given.searches < 1 or given.trainings < 2 or given.seeds < 1:
        parser.error("--searches and --seeds must be at least 1, --trainings at least 2")
    torch.set_num_threads(1)
    given_to = {"searches": given.searches, "trainings": given.trainings, "seeds": given.seeds}
    names = [given.only] if given.only else list(TASKS)
    reached = [own for name in names for own in judged(name, given.policy or ["halving"], **given_to)]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
