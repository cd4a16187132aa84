"""The stages between a problem and a trained model: plan -> race -> selection -> refit. They need no run store.

``fit`` puts a run around them; the scikit-learn estimators use them as they are.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from lanewise.agreement import check_agreement
from lanewise.choosing import choose
from lanewise.composing import Choice
from lanewise.data.wording import counted
from lanewise.deploy.predictor import Interval, Member, Predictor
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import UsageError
from lanewise.evaluation import Cutoff, interval_half_width, threshold_of
from lanewise.explain import Cost, counts_living_children, gathered, spent, total, usage
from lanewise.features.preparation import Preparation
from lanewise.metric_labels import metric_label
from lanewise.metrics import resolve_metric
from lanewise.search.policy import Policy, rungs_of
from lanewise.search.registry import POLICIES, policy_name, policy_of
from lanewise.settings import FitSettings, parse_budget, threshold_value
from lanewise.stage_times import StageTimes
from lanewise.storage.durable import load_json, write_atomically
from lanewise.storage.strict_json import dump_json
from lanewise.training.data import Moving, TrainingData
from lanewise.training.device import device_of
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.planning.amending import Amending
from lanewise.training.planning.making import ALLOTTED, Budget, Wishes, make_plan, usual_length
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem, prepare, tree_data
from lanewise.training.pulse import Pulse
from lanewise.training.race import Confirmed, Race
from lanewise.training.race import Result as RaceResult
from lanewise.training.ranks.planning import shared_plan, workers_here
from lanewise.training.ranks.spreading import Spreading, spread
from lanewise.training.refit import Refitted, refit
from lanewise.training.selecting import Selections
from lanewise.training.stopping import Stop
from lanewise.training.teams import DTYPES, Seats, TeamBuilder
from lanewise.training.trees.pool import TreePool
from lanewise.training.workers.team_pool import TeamPool

WORTH_PROCESSES_SECONDS, WORTH_PROCESSES_STEPS = 20.0, 500
"""Budgets from which stacks train in processes of their own: a process takes two seconds to load torch."""


class Watcher(Protocol):
    """Who follows a fit: the command line shows progress, a program may do as it likes."""

    def announce(self, text: str) -> None:
        """A sentence worth reading now."""

    def pulse(self, pulse: Pulse) -> None:
        """A sign of life from the race; comes from any thread, but from one at a time."""


class Silent:
    """Follows nothing."""

    def announce(self, text: str) -> None:
        del text

    def pulse(self, pulse: Pulse) -> None:
        del pulse


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What the stages have made of a problem; ``predictor`` is the model, the rest says how it came about.

    ``race_cost`` is what the race used, screen and confirmation; None where that is not known, as of a race that went
    on from where another process left it.
    """

    plan: Plan
    result: RaceResult
    choice: Choice
    refitted: Mapping[str, Refitted]
    predictor: Predictor
    cutoff: Cutoff | None
    race_cost: Cost | None = None


def train(
    problem: Problem,
    settings: FitSettings,
    *,
    watcher: Watcher,
    stop: Stop,
    times: StageTimes,
    journal: Journal | None = None,
    plan_file: Path | None = None,
    folder: Path | None = None,
    policy: Policy | None = None,
    ranks: Ranks | None = None,
) -> Trained:
    """Race candidates on a problem, choose one by evidence or an ensemble, and train that on all training rows.

    ``times`` says what the budget counts from, and keeps what each stage took. ``journal`` keeps the state of the
    race and ``plan_file`` its plan, both to go on from; without them nothing is written. The table for the
    trees' workers lies in ``folder`` meanwhile, in the system's place for temporary files if None. ``policy`` drops
    losers; the one that the settings name if None. All ``ranks`` call this alike, and all come to the same.

    Raises ``TrainingError`` where no candidate could be trained, ``Interrupted`` where ``stop()`` turned true.
    """
    check_agreement(problem, settings)
    policy = policy or policy_of(settings.policy)
    _check_policy(policy, problem)
    watcher.announce(_opening(problem, settings))
    device = device_of(settings.device)
    times.end("read")
    data, _ = prepare(problem, refit=False)
    times.end("prepare")
    ranks = ranks or Lone()
    workers = workers_here(settings.workers, ranks)
    with (
        _tree_pool(problem, settings, workers, folder) as trees,
        _team_pool(problem, settings, workers, folder) as teams,
    ):
        data, seats = _seated(data, teams)
        times.end("start workers")
        builder = TeamBuilder(
            data=data,
            lengths=usual_length(len(problem.train)),
            workers=workers * ranks.size,
            ranks=ranks.size,
            stop=stop,
            pool=trees,
            seats=seats,
            selections=Selections(data=data, layout=problem.layout, seed=settings.seed),
            moving=Moving(device) if device.type == "cuda" else None,
            tell=watcher.announce,
        )
        making = partial(_plan, problem=problem, builder=builder, settings=settings, policy=policy, times=times)
        plan, resumed = shared_plan(ranks, plan_file, making)
        times.end("plan")
        watcher.announce(_planned(plan, settings))
        builder = replace(
            builder,
            workers=plan.workers,
            lengths=plan.lengths,
            compute=DTYPES[plan.precision],
            widths=plan.widths,
        )
        race = Race(
            plan=plan,
            builder=spread(builder, ranks),
            policy=policy,
            metric=problem.metric,
            y=problem.y,
            weight=problem.weight,
            watch=watcher.pulse,
            journal=journal or NoJournal(),
            clusters=problem.clusters,
            amend=None if resumed else _amending(problem, settings, times, plan_file, ranks),
            spreading=Spreading(ranks, plan.costs, stop=stop),
        )
        before = usage()
        with stop.polled():
            result = race.run()
        plan = race.plan
        cost = total(gathered(ranks, spent(before, usage()))) if counts_living_children() and not resumed else None
        times.end("race", result.seconds)
        choice = choose(problem, plan, result, settings)
        times.end("choose")
        whole, preparation = prepare(problem, refit=True)
        whole, seats = _seated(whole, teams)
        selections = Selections(data=whole, layout=problem.layout, seed=settings.seed)
        moving = None if builder.moving is None else Moving(device)
        whole_builder = replace(builder, data=whole, seats=seats, selections=selections, moving=moving)
        final = replace(race, builder=spread(whole_builder, ranks))
        with stop.polled():
            refitted = refit(final, _to_refit(result, choice), needed=choice.weights)
        times.end("refit")
    predictor, cutoff = _predictor(problem, preparation, choice, refitted, settings)
    return Trained(
        plan=plan,
        result=result,
        choice=choice,
        refitted=refitted,
        predictor=predictor,
        cutoff=cutoff,
        race_cost=cost,
    )


@contextmanager
def _tree_pool(problem: Problem, settings: FitSettings, workers: int, folder: Path | None) -> Iterator[TreePool | None]:
    """Worker processes for trees, if trees take part."""
    if not {"lightgbm", "tree"} & set(settings.models):
        yield None
        return
    with TreePool(tree_data(problem), problem.task, workers=workers, threads_per_worker=1, folder=folder) as pool:
        yield pool


@contextmanager
def _team_pool(problem: Problem, settings: FitSettings, workers: int, folder: Path | None) -> Iterator[TeamPool | None]:
    """Worker processes for stacks and solvers, where there is enough to train to be worth their start.

    They change no bit: a team trains the same in this process and in another.
    """
    seconds, steps = _budget(problem, settings)
    long = seconds >= WORTH_PROCESSES_SECONDS if steps is None else steps >= WORTH_PROCESSES_STEPS
    if workers < 2 or not long or not {"mlp", "linear"} & set(settings.models):
        yield None
        return
    with TeamPool(workers=workers, folder=folder) as pool:
        pool.ready()  # so that what the plan measures is not their start
        yield pool


def _seated(data: TrainingData, pool: TeamPool | None) -> tuple[TrainingData, Seats | None]:
    """The data where the pool's workers, if there are any, share their memory, and the way to them."""
    if pool is None:
        return data, None
    mapped, name = pool.share(data)
    return mapped, Seats(pool=pool, data=name)


def _budget(problem: Problem, settings: FitSettings) -> tuple[float, int | None]:
    """Seconds, and steps where the user counts in those."""
    seconds, steps = parse_budget(settings.budget) if settings.budget else (usual_budget(problem), None)
    return seconds or 0.0, steps


def _plan(
    file: Path | None,
    *,
    problem: Problem,
    builder: TeamBuilder,
    settings: FitSettings,
    policy: Policy,
    times: StageTimes,
) -> Plan:
    """The plan: read if ``file`` holds one, else made, and written there before anything is trained."""
    if file is not None and file.exists():
        plan = Plan.from_json(load_json(file))
        if plan.rungs and plan.rungs != rungs_of(policy, len(plan.candidates)):
            message = f"the run was planned for rungs that {policy_name(policy)} does not have; give the policy it had"
            raise UsageError(message)
        return plan
    seconds, steps = _budget(problem, settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plan = make_plan(
            problem,
            builder,
            policy,
            budget=Budget(seconds=None if steps else seconds, steps=steps),
            wishes=Wishes(
                models=settings.models,
                optimizers=settings.optimizers,
                sampling="sobol" if settings.search == "halving" else settings.search,
                seeds=settings.seeds,
                seed=settings.seed,
                candidates=settings.candidates,
            ),
            spent=times.elapsed(),
        )
    finally:
        torch.set_num_threads(threads)
    if file is not None:
        write_atomically(file, dump_json(plan.to_json()))
    return plan


def _amending(
    problem: Problem, settings: FitSettings, times: StageTimes, file: Path | None, ranks: Ranks
) -> Amending | None:
    """What decides once more who is confirmed when the screen is over; nothing where the budget is in steps."""
    seconds, steps = _budget(problem, settings)
    if steps is not None:
        return None

    def keep(plan: Plan) -> None:
        if file is not None and ranks.leads:
            write_atomically(file, dump_json(plan.to_json()))

    def agreed(confirmed: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(json.loads(ranks.broadcast(json.dumps(confirmed).encode())))

    return Amending(left=lambda: ALLOTTED * seconds - times.elapsed(), agreed=agreed, keep=keep)


def _check_policy(policy: Policy, problem: Problem) -> None:
    if policy.copies:
        message = (
            f"policy {policy_name(policy)} copies lanes, which only lanewise.tune does; choose "
            f"{', '.join(name for name, own in POLICIES.items() if not own.copies)}, or one of yours without copies"
        )
        raise UsageError(message)
    if policy.reads_losses and problem.metric.pointwise is None:
        message = (
            f"policy {policy_name(policy)} compares the losses of single rows, and {problem.metric.name} has none; "
            "choose another policy or metric"
        )
        raise UsageError(message)


def usual_budget(problem: Problem) -> float:
    """Seconds when the user names no budget: one minute for small tables, up to five for large ones."""
    cells = len(problem.train) * max(problem.width.dense, 1)
    return float(np.clip(60 * cells / 1_000_000, 60, 300))


def _to_refit(result: RaceResult, choice: Choice) -> list[Confirmed]:
    """The members of the model, and the default to compare with on the test rows."""
    return [item for item in result.confirmed if item.candidate.id in choice.weights or item.candidate.is_default]


def _predictor(
    problem: Problem, preparation: Preparation, choice: Choice, refitted: Mapping[str, Refitted], settings: FitSettings
) -> tuple[Predictor, Cutoff | None]:
    members = tuple(
        Member(fitted=fitted, weight=weight / len(refitted[name].members))
        for name, weight in choice.weights.items()
        for fitted in refitted[name].members
    )
    out_of_fold = mixed(choice)
    cutoff, interval = None, None
    if problem.task.kind == "binary":
        cutoff = _cutoff(problem, choice.rows, out_of_fold, settings)
    elif not problem.task.is_classification:
        half = interval_half_width(problem.y[choice.rows], out_of_fold, level=0.9)
        interval = Interval(level=0.9, half_width=half) if np.isfinite(half) else None
    predictor = Predictor(
        task=problem.task,
        contract=problem.contract,
        preparation=preparation,
        members=members,
        threshold=cutoff.value if cutoff else 0.5,
        interval=interval,
    )
    return predictor, cutoff


def mixed(choice: Choice) -> np.ndarray:
    """Out-of-fold predictions of the chosen model, in the form of the metrics."""
    by_id = {contender.id: contender.prediction for contender in choice.contenders}
    return np.sum([weight * by_id[name] for name, weight in choice.weights.items()], axis=0)


def _cutoff(problem: Problem, rows: np.ndarray, out_of_fold: np.ndarray, settings: FitSettings) -> Cutoff:
    """The decision threshold: as stated, or chosen on out-of-fold rows for the stated metric, else that of the race."""
    y, weight = problem.y[rows], None if problem.weight is None else problem.weight[rows]
    asked = settings.threshold or problem.metric.name
    value = threshold_value(asked)
    if value is None:
        metric = resolve_metric(asked, problem.task.kind)
        clusters = None if problem.clusters is None else problem.clusters[rows]
        return threshold_of(y, out_of_fold[:, 1], metric, seed=settings.seed, weight=weight, clusters=clusters)
    return Cutoff(value=value, metric="", words=f"the threshold was stated: {value:g}", curve=())


def _opening(problem: Problem, settings: FitSettings) -> str:
    rows = f"{len(problem.train):,} training and {len(problem.test):,} test rows"
    budget = settings.budget or f"{usual_budget(problem):.0f}s (no budget was stated)"
    return (
        f"{problem.task.kind} target {problem.task.target!r}, {rows}, {len(problem.features)} columns, "
        f"{len(problem.folds)} folds, judged by {metric_label(problem.metric.name)}, budget {budget}"
    )


def _planned(plan: Plan, settings: FitSettings) -> str:
    families = dict.fromkeys(candidate.model for candidate in plan.candidates)
    missing = [model for model in settings.models if model not in families]
    without = f"; without {', '.join(missing)}, for which budget or optimizers leave no room" if missing else ""
    return (
        f"{counted(len(plan.candidates), 'candidate')} ({', '.join(families)}), "
        f"{counted(plan.workers, 'worker')}{without}"
    )
