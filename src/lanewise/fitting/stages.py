"""The stages between a problem and a trained model: plan -> race -> selection -> refit. They need no run store.

``fit`` puts a run around them; the scikit-learn estimators use them as they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lanewise.composing import Choice, Stage, Unrecorded, few_groups_ahead
from lanewise.data.wording import counted
from lanewise.deploy.predictor import Predictor
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.evaluation import Cutoff
from lanewise.explain import Cost, counts_living_children, gathered, spent, total, usage
from lanewise.features.preparation import Preparation
from lanewise.fitting.agreement import check_agreement, check_policy_suits
from lanewise.fitting.assembling import assembled
from lanewise.fitting.choosing import choose, judged_rows
from lanewise.fitting.planned import amending_of, budget_of, plan_of, plan_with_mesh, planned_words, usual_budget
from lanewise.fitting.pools import seated, team_pool, tree_pool, workers_for
from lanewise.fitting.wanted_workers import (
    TREES,
    WORTH_TREES_SECONDS,
    load_trees,
    races_without_trees,
    settle_stacks,
    settle_workers,
)
from lanewise.fitting.watcher import Watcher
from lanewise.formatting.metric_labels import metric_label
from lanewise.runs.run import Run
from lanewise.runs.stage_times import StageTimes
from lanewise.search.policy import Policy
from lanewise.search.registry import policy_of
from lanewise.settings.fit import FitSettings
from lanewise.training.data import Moving, TrainingData
from lanewise.training.device import device_here
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.planning.afterwards import costs_afterwards
from lanewise.training.planning.making import usual_length
from lanewise.training.planning.pace import pace_of
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem, prepare
from lanewise.training.products import one_thread_each
from lanewise.training.race import Confirmed, Race
from lanewise.training.race import Result as RaceResult
from lanewise.training.ranks.choosing import mesh_words
from lanewise.training.ranks.crew import Crew, crew_of, lone
from lanewise.training.ranks.planning import shared_plan, why_lanes
from lanewise.training.ranks.sharing import measured_sharing
from lanewise.training.ranks.spreading import Spreading, spread
from lanewise.training.refit import Refitted, refit
from lanewise.training.selecting import Selections, load_rankings
from lanewise.training.stopping import Stop
from lanewise.training.streamed.row_maps import prepare_streamed, store_rows
from lanewise.training.streamed.row_store import RowStore
from lanewise.training.teams import DTYPES, TeamBuilder
from lanewise.training.trees.pool import TreePool
from lanewise.training.workers.cores import cores
from lanewise.training.workers.team_pool import TeamPool


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What the stages have made of a problem; ``predictor`` is the model, the rest says how it came about.

    ``race_cost`` is what the race used, None where another process may have run the beginning of it; ``solo_costs`` are
    processor seconds of a lane of each candidate, trained alone; ``replaced`` what was told of workers that died.
    """

    plan: Plan
    result: RaceResult
    choice: Choice
    refitted: Mapping[str, Refitted]
    predictor: Predictor
    cutoff: Cutoff | None
    race_cost: Cost | None = None
    solo_costs: Mapping[str, float] = field(default_factory=dict)
    crew: Crew = field(default_factory=lone)
    replaced: Sequence[str] = ()

    def stage(self, run: Run | Unrecorded, problem: Problem, settings: FitSettings, **more: Any) -> Stage:
        """What the document of ``run`` is composed of; ``more`` are the fields of `Stage` that training knows not."""
        return Stage(
            run=run,
            settings=settings,
            problem=problem,
            plan=self.plan,
            result=self.result,
            choice=self.choice,
            refitted=self.refitted,
            predictor=self.predictor,
            cutoff=self.cutoff,
            race_cost=self.race_cost,
            solo_costs=self.solo_costs,
            replaced=self.replaced,
            **more,
        )


@one_thread_each()
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
    resumed: bool = False,
) -> Trained:
    """Race candidates on a problem, choose one by evidence or an ensemble, and train that on all training rows.

    ``times`` says what the budget counts from, and keeps what each stage took. ``journal`` keeps the state of the
    race and ``plan_file`` its plan, both to go on from; without them nothing is written. The table for the
    trees' workers lies in ``folder`` meanwhile, in the system's place for temporary files if None. ``policy`` drops
    losers; the one that the settings name if None. All ``ranks`` call this alike, and all come to the same; a run
    that is ``resumed`` may have other ranks than its mesh asks for.

    Raises ``TrainingError`` where no candidate could be trained, ``Interrupted`` where ``stop()`` turned true.
    """
    check_agreement(problem, settings)
    policy = policy or policy_of(settings.policy)
    check_policy_suits(policy, problem)
    watcher.announce(_opening(problem, settings))
    unsure = few_groups_ahead(problem, settings.group)
    if unsure:
        watcher.announce(unsure)
    ranks = ranks or Lone()
    crew = crew_of(ranks, settings.mesh, payload=settings.payload, resumed=resumed)
    job = _Job(
        problem=problem,
        settings=settings,
        policy=policy,
        watcher=watcher,
        stop=stop,
        times=times,
        journal=journal or NoJournal(),
        plan_file=plan_file,
        folder=folder,
        ranks=ranks,
        crew=crew,
    )
    return _trained(job)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What every stage knows: what was asked, who follows it, where its state is kept, and who works on it."""

    problem: Problem
    settings: FitSettings
    policy: Policy
    watcher: Watcher
    stop: Stop
    times: StageTimes
    journal: Journal
    plan_file: Path | None
    folder: Path | None
    ranks: Ranks
    crew: Crew


def _trained(job: _Job) -> Trained:
    """The stages themselves, each on what those before it have left."""
    problem, settings, times = job.problem, job.settings, job.times
    times.end("read")
    stored = store_rows(problem, job.folder, ranks=job.ranks)
    data, _ = _prepared(job, stored, refit=False)
    workers = workers_for(problem, settings, job.ranks, tell=job.watcher.announce) if job.crew.axis is None else 1
    times.end("prepare")
    (pace, with_trees), replaced = _prospects(job, workers), list[str]()

    def tell(text: str) -> None:
        replaced.append(text)
        job.watcher.announce(text)

    with (
        tree_pool(problem, settings, workers, job.folder, at_once=with_trees, stored=stored, tell=tell) as trees,
        team_pool(problem, settings, workers, job.folder, spent=times.elapsed(), pace=pace, tell=tell) as teams,
    ):
        builder = _builder(job, data, trees, teams, workers)
        job, race, builder, planned = _planned_race(job, builder, pace=pace, with_trees=with_trees)
        result, cost = _raced(job, race, planned=planned)
        with job.stop.polled():
            solo = _alone(job, race, builder, result, cost)
        times.end("measure")
        choice = choose(problem, race.plan, result, settings)
        times.end("choose")
        whole, preparation = _prepared(job, stored, refit=True)
        last = replace(race, builder=spread(_placed(job, builder, whole, teams), job.crew))
        with job.stop.polled():
            refitted = refit(last, _to_refit(result, choice), needed=choice.weights)
        times.end("refit")
    predictor, cutoff = assembled(problem, preparation, choice, refitted, settings)
    return Trained(
        plan=race.plan,
        result=result,
        choice=choice,
        refitted=refitted,
        predictor=predictor,
        cutoff=cutoff,
        race_cost=cost,
        solo_costs=solo,
        crew=job.crew,
        replaced=_of_all(job.ranks, replaced),
    )


def _of_all(ranks: Ranks, told: list[str]) -> list[str]:
    """What was told on any of the ranks, which call this alike."""
    return [text for own in ranks.gather(json.dumps(told).encode()) for text in json.loads(own)]


def _prospects(job: _Job, workers: int) -> tuple[float, bool]:
    """The pace of this machine, once what was prepared for workers keeps it busy no more; and whether trees may race.

    What loads for too long is given up for good: the plan does not count on it, so nothing else loads it. One that is
    there already may have trees, so nothing of theirs is given up; their workers start when a lane needs them.
    """
    settings, times = job.settings, job.times
    seconds, steps = budget_of(job.problem, settings)
    if steps is not None:
        return 1.0, True
    left, threads = seconds - times.elapsed(), min(workers, cores())
    if job.plan_file is not None and job.plan_file.exists():
        settle_stacks(left=left)
        return pace_of(threads), False
    if workers > 1 and left >= WORTH_TREES_SECONDS and pace_of(threads) * left >= WORTH_TREES_SECONDS:
        load_rankings()  # while they load; with less left no columns are ranked
    there = settle_workers(settings, left=seconds - times.elapsed())
    pace = pace_of(threads)
    if TREES.isdisjoint(settings.models) or not races_without_trees(settings):
        return pace, True
    return pace, there and load_trees(settings, left=seconds - times.elapsed(), pace=pace)


def _builder(
    job: _Job, data: TrainingData, trees: TreePool | None, teams: TeamPool | None, workers: int
) -> TeamBuilder:
    """What forms the teams of a race, whose workers have started."""
    builder = TeamBuilder(
        data=data,
        lengths=usual_length(job.problem.training_rows),
        workers=workers * job.crew.size,
        ranks=job.crew.size,
        stop=job.stop,
        pool=trees,
        tell=job.watcher.announce,
    )
    placed = _placed(job, builder, data, teams)
    if trees is not None and budget_of(job.problem, job.settings)[1] is None:
        trees.ready()  # so that what the plan measures is not their start
    job.times.end("start workers")
    return placed


def _planned_race(
    job: _Job, builder: TeamBuilder, *, pace: float, with_trees: bool
) -> tuple[_Job, Race, TeamBuilder, bool]:
    """The job on its mesh, the race by its plan, the builder of its teams, and whether the plan was there already.

    ``with_trees`` says whether a plan that is made may have trees.
    """
    problem, settings, times, ranks = job.problem, job.settings, job.times, job.ranks
    making = partial(
        plan_of,
        problem=problem,
        builder=builder,
        settings=settings,
        policy=job.policy,
        times=times,
        pace=pace,
        trees=with_trees,
    )
    plan, planned = shared_plan(ranks, job.plan_file, making)
    by_plan = partial(_by_plan, builder)
    plan = plan_with_mesh(plan, by_plan(plan), problem, settings, job.policy, file=job.plan_file, ranks=ranks)
    if plan.mesh:
        job = replace(job, crew=crew_of(ranks, plan.mesh, payload=settings.payload, resumed=True))
    times.end("plan")
    job.watcher.announce(planned_words(plan, settings))
    if ranks.size > 1 and settings.mesh is None:
        gpus = settings.device.startswith("cuda")
        by_the_clock = budget_of(problem, settings)[1] is None  # only then are the costs of the plan seconds
        shares = measured_sharing(plan, builder, ranks) if by_the_clock and not gpus else None
        job.watcher.announce(why_lanes(plan, ranks.size, shares=shares, gpus=gpus))
    elif why := mesh_words(plan, job.crew):
        job.watcher.announce(why)
    builder = replace(by_plan(plan), ranks=job.crew.size, axis=job.crew.axis)
    if builder.axis is not None:
        builder = replace(builder, seats=None)  # the ranks train in step, in processes of their own
    amending = partial(amending_of, problem=problem, settings=settings, times=times, file=job.plan_file, ranks=ranks)
    race = Race(
        plan=plan,
        builder=spread(builder, job.crew),
        policy=job.policy,
        metric=problem.metric,
        y=problem.y,
        weight=problem.weight,
        watch=job.watcher.pulse,
        journal=job.journal,
        clusters=problem.clusters,
        judging=partial(judged_rows, problem),
        amend=None if planned else amending(plan, tell=job.watcher.announce),
        spreading=Spreading(
            job.crew,
            plan.costs,
            stop=job.stop,
            confirming={candidate.id: plan.confirming(candidate.id) for candidate in plan.candidates},
        ),
    )
    return job, race, builder, planned


def _by_plan(builder: TeamBuilder, plan: Plan) -> TeamBuilder:
    """The builder of the teams that a plan speaks of."""
    return replace(
        builder,
        workers=plan.workers,
        lengths=plan.lengths,
        compute=DTYPES[plan.precision],
        widths=plan.widths,
        tree_windows=plan.tree_windows,
    )


def _raced(job: _Job, race: Race, *, planned: bool) -> tuple[RaceResult, Cost | None]:
    """What came of the race, and what it cost; None where another process may have run the beginning of it."""
    before = usage()
    with job.stop.polled():
        result = race.run()
    known = counts_living_children() and not planned
    cost = total(gathered(job.ranks, spent(before, usage()))) if known else None
    job.times.end("race", result.seconds)
    return result, cost


def _alone(job: _Job, race: Race, builder: TeamBuilder, result: RaceResult, cost: Cost | None) -> Mapping[str, float]:
    """What a lane of each candidate costs alone: by the plan, or for a budget in steps measured now."""
    if budget_of(job.problem, job.settings)[1] is None or not job.ranks.leads:
        return race.plan.solo_costs
    alone = replace(builder, seats=None, axis=None)
    return costs_afterwards(race.plan, alone, result, cpu_seconds=cost.cpu_seconds if cost else None)


def _prepared(job: _Job, stored: RowStore | None, *, refit: bool) -> tuple[TrainingData, Preparation]:
    """The rows as training reads them: in memory, or in files where the table is streamed, most of them ``stored``."""
    if job.problem.dataset.rest is None:
        return prepare(job.problem, refit=refit)
    return prepare_streamed(job.problem, refit=refit, folder=job.folder, stored=stored, ranks=job.ranks)


def _placed(job: _Job, builder: TeamBuilder, data: TrainingData, teams: TeamPool | None) -> TeamBuilder:
    """The builder of teams over ``data``, which it brings to where they train: shared memory, or the device."""
    mapped, seats = seated(data, teams if job.crew.axis is None else None)
    device = device_here(job.settings.device, job.ranks.place)
    return replace(
        builder,
        data=mapped,
        seats=seats,
        selections=Selections(data=mapped, layout=job.problem.layout, seed=job.settings.seed),
        moving=Moving(device) if device.type == "cuda" else None,
    )


def _to_refit(result: RaceResult, choice: Choice) -> list[Confirmed]:
    """The members of the model, and the default to compare with on the test rows."""
    return [item for item in result.confirmed if item.candidate.id in choice.weights or item.candidate.is_default]


def _opening(problem: Problem, settings: FitSettings) -> str:
    rows = f"{problem.training_rows:,} training and {len(problem.test):,} test rows"
    columns = f"{counted(len(problem.features), 'column')} to learn from"
    judge, budget = metric_label(problem.metric.name, problem.task.positive), settings.budget
    return (
        f"{problem.task.kind} target {problem.task.target!r}, {rows}, {columns}, judged by {judge}, "
        f"budget {budget or f'{usual_budget(problem):.0f}s (no budget was stated)'}"
    )
