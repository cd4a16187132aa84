"""The same network and the same linear model with every optimizer, on public tables, each tuned as much as any other.

Every optimizer gets as many learning rates, one from each equal part of the range (in logarithms) that a race would
search, and its default rate besides; everything else stays at its default. All of them, on several seeds, train as
lanes of the stacks that a race would form, to the end. The rate is chosen on validation rows, the score comes from test
rows that nothing else saw. Last, a step of each is timed against a step of SGD, in turns.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from against_peers import DATA, TABLES
from comparing_optimizers import DEFAULT, Outcome, Runs, outcomes_of, report
from torch import Tensor
from turns import in_turns, ratio

from lanewise.data.dataset import Dataset
from lanewise.data.reading import read
from lanewise.lanes.candidate import Candidate, Value
from lanewise.lanes.hyper import Hyper
from lanewise.lanes.roster import Lane
from lanewise.optim.registry import RULES
from lanewise.training.data import TrainingData
from lanewise.training.planning.plan import GRID, Lengths
from lanewise.training.planning.proposals import SOLVER
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem, prepare
from lanewise.training.solver_team import SolverTeam
from lanewise.training.stack import Stack
from lanewise.training.team import Team, never
from lanewise.training.teams import TeamBuilder

OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
    "nadam",
    "nadamw",
    "radam",
    "lion",
    "ademamix",
    "schedule_free_sgd",
    "schedule_free_adamw",
    "prodigy",
    "muon",
    "soap",
)
USUAL_TABLES = ("telco", "adult", "dry_bean", "covtype", "california", "wine_white", "diamonds", "boston")
MODELS: dict[str, dict[str, Value]] = {
    "mlp": {"width": 64, "depth": 2, "activation": "relu", "layer_norm": False, "dropout": 0.1},
    "linear": {"l2": 1e-4, "l1": 0.0, "weight_decay": 0.0},
}
BATCH, WARMUP = 128, 0.05
TIMED_LANES, TIMED_STEPS, TIMED_LENGTH = 24, 20, 10_000


def rate_range(optimizer: str) -> Hyper:
    """The learning rate of a rule, with the range that a race searches."""
    return next(hyper for hyper in RULES[optimizer].hypers if hyper.name == "lr")


def rates_of(optimizer: str, count: int) -> list[float]:
    """``count`` learning rates: one drawn from each equal part of the range, in logarithms.

    The draws are the same for all optimizers, so nobody is luckier than another.
    """
    draws = np.random.default_rng(0).random(count)
    return [float(rate_range(optimizer).at((place + float(u)) / count)) for place, u in enumerate(draws)]


def decades_of(optimizer: str) -> float:
    """Width of the range of an optimizer in powers of ten; 0 where there is no rate."""
    if optimizer == SOLVER:
        return 0.0
    rate = rate_range(optimizer)
    assert rate.low is not None
    assert rate.high is not None
    return math.log10(rate.high / rate.low)


def candidate_of(model: str, optimizer: str, rate: float | None, name: str) -> Candidate:
    """One setting; without ``rate`` the rule's own default."""
    if optimizer == SOLVER:
        return Candidate(id=f"{optimizer}/{name}", model=model, optimizer=optimizer, settings=MODELS[model])
    rule = RULES[optimizer]
    settings: dict[str, Value] = {hyper.name: hyper.default for hyper in rule.hypers if hyper.name != "eps"}
    settings |= {"batch_size": BATCH, "schedule": "linear" if rule.scheduled else "constant", "warmup": WARMUP}
    settings |= MODELS[model] | ({} if rate is None else {"lr": rate})
    return Candidate(id=f"{optimizer}/{name}", model=model, optimizer=optimizer, settings=settings)


def candidates_of(model: str, rates: int) -> list[Candidate]:
    """Every optimizer at each of its rates and at its default; the solver of linear models has no rate."""
    found = []
    for optimizer in OPTIMIZERS:
        drawn = enumerate(rates_of(optimizer, rates))
        found += [candidate_of(model, optimizer, rate, str(place)) for place, rate in drawn]
        found.append(candidate_of(model, optimizer, None, DEFAULT))
    if model == "linear":
        found.append(candidate_of(model, SOLVER, None, DEFAULT))
    return found


def problem_of(name: str, most: int) -> Problem:
    """The table, at most ``most`` rows of it drawn at random, with a quarter held out for the test."""
    table = TABLES[name]
    whole = read(str(DATA / table.file))
    rows = np.random.default_rng(0).permutation(whole.rows)[:most]
    part = Dataset(frame=whole.frame[np.sort(rows)], kinds=whole.kinds, source=whole.source)
    return pose(part, Request(target=table.target, drop=table.drop, folds=4, test_fraction=0.25))


def data_of(problem: Problem) -> TrainingData:
    """The first fold alone: 9 in 16 rows to train on, 3 in 16 to choose a rate by; the other rows are the test's."""
    data, _ = prepare(problem, refit=False)
    return replace(data, folds={0: data.folds[0]})


def row_losses(data: TrainingData, rows: Tensor, predicted: np.ndarray) -> np.ndarray:
    """Loss of each row ``[n]``: the log loss of classes, the squared error of numbers in units of their variance."""
    part = data.folds[0]
    target = part.target[rows].numpy()
    if data.task.is_classification:
        return -np.log(np.clip(predicted[np.arange(len(rows)), target], 1e-12, None))
    return np.square((predicted[:, 0] - part.center) / part.scale - target)


def predictions(team: Team, rows: Tensor) -> dict[str, np.ndarray]:
    """What each lane of a trained team makes of ``rows``."""
    if isinstance(team, SolverTeam):
        return {lane.id: own for lane, own in zip(team.lanes, team.predicted(lambda _: rows), strict=True)}
    assert isinstance(team, Stack)
    raw = team.outputs(lambda _: rows)
    return {lane.id: team.subject.judged(0, own) for lane, own in zip(team.lanes, raw, strict=True)}


def train(data: TrainingData, test: Tensor, candidates: Sequence[Candidate], *, seeds: int, steps: int) -> Runs:
    """Train all candidates on all seeds to the end; what diverged on the way has infinite losses."""
    lanes = [Lane(candidate=one, fold=0, seed=seed) for one in candidates for seed in range(seeds)]
    valid_rows = data.folds[0].valid
    builder = TeamBuilder(data=data, lengths=Lengths(rows_seen=steps * BATCH), workers=1, stop=never)
    valid, tested, curves = {}, {}, {lane.id: [np.inf] * len(GRID) for lane in lanes}
    broken: set[str] = set()
    for team in builder.form(lanes, "benchmark"):
        for look, fraction in enumerate(GRID):
            team.advance(fraction)
            for item in team.evidence():
                valid[item.lane.id] = row_losses(data, valid_rows, item.valid)
                curves[item.lane.id][look] = float(valid[item.lane.id].mean())
            broken |= {*team.repairs(), *team.lost()}
        tested |= {name: row_losses(data, test, own) for name, own in predictions(team, test).items()}
    names = [[f"{one.id}.f0.s{seed}" for seed in range(seeds)] for one in candidates]

    def losses(found: dict[str, np.ndarray], length: int) -> np.ndarray:
        nothing = np.full(length, np.inf)
        return np.array([[nothing if name in broken else found[name] for name in own] for own in names])

    return Runs(
        candidates=tuple(candidates),
        valid=losses(valid, len(valid_rows)),
        test=losses(tested, len(test)),
        curves=np.array([[curves[name] for name in own] for own in names]),
        grid=GRID,
    )


def step_costs(data: TrainingData, model: str, rounds: int) -> dict[str, str]:
    """Time of a step of a stack of one optimizer, by that of SGD; all take turns."""
    sides: dict[str, Callable[[], None]] = {}
    for optimizer in OPTIMIZERS:
        rates = rates_of(optimizer, TIMED_LANES)
        found = [candidate_of(model, optimizer, rate / 100, str(place)) for place, rate in enumerate(rates)]
        lanes = [Lane(candidate=one, fold=0, seed=0) for one in found]
        stack = Stack(lanes, data, length=TIMED_LENGTH, batch_size=BATCH)
        sides[optimizer] = partial(_some_steps, stack)
    for side in sides.values():
        side()
    seconds = in_turns(sides, rounds)
    return {optimizer: str(ratio(own, seconds["sgd"])) for optimizer, own in seconds.items()}


def _some_steps(stack: Stack) -> None:
    stack.advance((stack.optimizer.taken + TIMED_STEPS) / TIMED_LENGTH)


def measure(name: str, given: argparse.Namespace) -> list[Outcome]:
    """Everything about one table."""
    problem = problem_of(name, given.rows)
    data, test = data_of(problem), torch.from_numpy(problem.test)
    found = []
    for model in MODELS:
        begun = time.perf_counter()
        candidates = candidates_of(model, given.rates)
        runs = train(data, test, candidates, seeds=given.seeds, steps=given.steps)
        widths = {optimizer: decades_of(optimizer) for optimizer in (*OPTIMIZERS, SOLVER)}
        found += outcomes_of(runs, table=name, model=model, decades=widths)
        print(
            f"{name}, {model}: {len(candidates) * given.seeds} lanes of {given.steps} steps on "
            f"{len(data.folds[0].train)} rows, {time.perf_counter() - begun:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of the tables, with commas: {', '.join(TABLES)}")
    parser.add_argument("--rates", type=int, default=8, help="learning rates of each optimizer (default 8)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each setting (default 3)")
    parser.add_argument("--steps", type=int, default=500, help="steps of every training (default 500)")
    parser.add_argument("--rows", type=int, default=8000, help="rows of a table at most (default 8000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing; 0 times nothing (default 7)")
    parser.add_argument("--output", type=Path, default=Path("optimizers_on_tables.json"), help="where all figures go")
    parser.add_argument("--read", action="store_true", help="only report what --output holds")
    given = parser.parse_args()
    if given.read:
        held = json.loads(given.output.read_text(encoding="utf-8"))
        print(report([Outcome(**one) for one in held["outcomes"]], held["costs"]))
        return 0
    names = given.only.split(",") if given.only else list(USUAL_TABLES)
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    if not DATA.is_dir():
        parser.error("the public data sets (../shared/data) are not beside this checkout")
    torch.set_num_threads(1)
    found: list[Outcome] = []
    costs: dict[str, dict[str, str]] = {}
    for name in names:
        found += measure(name, given)
        held = {"outcomes": [asdict(one) for one in found], "costs": costs}
        given.output.write_text(json.dumps(held), encoding="utf-8")
    if given.rounds:
        data = data_of(problem_of(names[0], given.rows))
        costs |= {model: step_costs(data, model, given.rounds) for model in MODELS}
        held = {"outcomes": [asdict(one) for one in found], "costs": costs}
        given.output.write_text(json.dumps(held), encoding="utf-8")
    print(report(found, costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
