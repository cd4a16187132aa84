"""The plan of a fit: what its budget is, how the plan comes about or is read, and what amends it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from lanewise.composing import families_left_out
from lanewise.data.wording import counted
from lanewise.distributed.mesh import AUTO
from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.fitting.wanted_workers import WORTH_TREES_SECONDS
from lanewise.models.registry import STACKED
from lanewise.models.trees import TREE_KINDS
from lanewise.runs.stage_times import StageTimes
from lanewise.search.policy import Policy, rungs_of
from lanewise.search.registry import policy_name
from lanewise.settings.budget import parse_budget
from lanewise.settings.fit import FitSettings
from lanewise.storage.durable import load_json, write_atomically
from lanewise.storage.strict_json import dump_json
from lanewise.training.planning.amending import Amending, Confirmation
from lanewise.training.planning.choices import Choices
from lanewise.training.planning.left_out import advised_budget, no_room, untrained
from lanewise.training.planning.making import Budget, Wishes, make_plan
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.ranks.choosing import number_bytes, with_mesh
from lanewise.training.ranks.raced_tables import raced_tables
from lanewise.training.room import most_cells
from lanewise.training.teams import TeamBuilder

HARDLY_ANY_SECONDS = 0.05
"""Below this nothing is left of a budget: it would be told as 0.0 s."""


def budget_of(problem: Problem, settings: FitSettings) -> tuple[float, int | None]:
    """Seconds, and steps where the user counts in those."""
    seconds, steps = parse_budget(settings.budget) if settings.budget else (usual_budget(problem), None)
    return seconds or 0.0, steps


def usual_budget(problem: Problem) -> float:
    """Seconds when the user names no budget: one minute for small tables, up to five for large ones."""
    cells = problem.training_rows * max(problem.width.dense, 1)
    return float(np.clip(60 * cells / 1_000_000, 60, 300))


def prepared_cells(settings: FitSettings) -> int:
    """Cells, prepared for all folds, that suit the budget that was stated."""
    return most_cells(parse_budget(settings.budget)[0] if settings.budget else None)


def plan_of(
    file: Path | None,
    *,
    problem: Problem,
    builder: TeamBuilder,
    settings: FitSettings,
    policy: Policy,
    times: StageTimes,
    pace: float,
    trees: bool,
) -> Plan:
    """The plan: read if ``file`` holds one, else made, and written there before anything is trained.

    ``pace`` is that of :func:`lanewise.training.planning.pace.pace_of`. One that is made has ``trees`` or not.
    """
    if file is not None and file.exists():
        plan = Plan.from_json(load_json(file))
        if plan.rungs and plan.rungs != rungs_of(policy, len(plan.candidates)):
            message = f"the run was planned for rungs that {policy_name(policy)} does not have; give the policy it had"
            raise UsageError(message)
        return plan
    seconds, steps = budget_of(problem, settings)
    spent = times.elapsed()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plan = make_plan(
            problem,
            builder,
            policy,
            budget=Budget(seconds=None if steps else seconds, steps=steps),
            wishes=Wishes(
                models=tuple(model for model in settings.models if trees or model in STACKED),
                optimizers=settings.optimizers,
                choices=Choices(
                    losses=settings.losses,
                    schedules=settings.schedules,
                    widths=settings.widths,
                    depths=settings.depths,
                    activations=settings.activations,
                ),
                sampling="sobol" if settings.search == "halving" else settings.search,
                seeds=settings.seeds,
                # In order of time the first folds are the oldest rows.
                all_folds=settings.folds is not None or settings.time is not None,
                seed=settings.seed,
                candidates=settings.candidates,
            ),
            spent=spent,
            pace=pace,
            # One more fold, about. Of a streamed table most rows are stored by then.
            preparing=0.0 if problem.dataset.rest else times.seconds.get("prepare", 0.0) / len(problem.folds),
        )
    finally:
        torch.set_num_threads(threads)
    if not trees:
        plan = without_trees(plan, settings, left=seconds - spent, seconds=seconds, pace=pace)
    if file is not None:
        write_atomically(file, dump_json(plan.to_json()))
    return plan


def without_trees(plan: Plan, settings: FitSettings, *, left: float, seconds: float, pace: float) -> Plan:
    """The plan, which says that of ``seconds`` too few were ``left`` for trees; what they take nobody has measured."""
    trees = tuple(model for model in settings.models if model in TREE_KINDS)
    # From the first half on their workers start, at that ``pace``; the second is for a race with them.
    enough = advised_budget(seconds, needed=2 * WORTH_TREES_SECONDS / pace, left=left)
    return replace(plan, left_out=(*plan.left_out, *trees), advised_seconds=max(plan.advised_seconds, enough))


def amending_of(
    plan: Plan,
    *,
    problem: Problem,
    settings: FitSettings,
    times: StageTimes,
    file: Path | None,
    ranks: Ranks,
    tell: Callable[[str], object] = str,
) -> Amending | None:
    """What decides once more who is confirmed, when the time that is left is known; nothing where a budget is in steps.

    ``tell`` is told of what it has changed.
    """
    seconds, steps = budget_of(problem, settings)
    if steps is not None:
        return None

    def keep(plan: Plan) -> None:
        if file is not None and ranks.leads:
            write_atomically(file, dump_json(plan.to_json()))

    def agreed(own: Confirmation) -> Confirmation:
        told = json.loads(ranks.broadcast(json.dumps(asdict(own)).encode()))
        return Confirmation(confirmed=tuple(told["confirmed"]), folds=told["folds"], seeds=tuple(told["seeds"]))

    raced = seconds - plan.reserved_seconds
    return Amending(left=lambda: raced - times.elapsed(), agreed=agreed, keep=keep, tell=tell)


def plan_with_mesh(
    plan: Plan,
    builder: TeamBuilder,
    problem: Problem,
    settings: FitSettings,
    policy: Policy,
    *,
    file: Path | None,
    ranks: Ranks,
) -> Plan:
    """The plan with the mesh of its race, where that is to be chosen and was not yet; then ``file`` has it too.

    ``builder`` makes the teams of the plan. All ranks call this alike.
    """
    if settings.mesh != AUTO or plan.mesh:
        return plan
    seconds, steps = budget_of(problem, settings)
    size = number_bytes(settings.payload, builder.dtype.itemsize)
    raced = raced_tables(plan, builder, policy, number_bytes=size, seconds=None if steps else seconds)
    plan = with_mesh(plan, raced, ranks)
    if file is not None and ranks.leads:
        write_atomically(file, dump_json(plan.to_json()))
    return plan


def planned_words(plan: Plan, settings: FitSettings) -> str:
    """What races, and what of it that was asked for does not, and why."""
    families = dict.fromkeys(candidate.model for candidate in plan.candidates)
    why: dict[str, list[str]] = {}
    for model in families_left_out(plan, settings):
        why.setdefault(no_room(plan) if model in plan.left_out else untrained(settings.optimizers), []).append(model)
    without = "".join(f"; without {', '.join(models)}: {reason}" for reason, models in why.items())
    some = plan.available_seconds >= HARDLY_ANY_SECONDS
    left = f"only {plan.available_seconds:.1f} s of the budget are" if some else "nothing of the budget is"
    short = (
        f"; the shortest race that gives an honest result takes about {plan.predicted_seconds:.1f} s, but {left} left: "
        "it runs all the same, and may overrun the budget"
        if plan.least
        else ""
    )
    folds = counted(plan.folds, "fold")
    if plan.parts > plan.folds:
        folds = f"{plan.folds} of {plan.parts} folds"
    return (
        f"{counted(len(plan.candidates), 'candidate')} ({', '.join(families)}), "
        f"{folds}, {counted(plan.workers, 'worker')}{without}{short}"
    )
