"""The plan of a fit: what its budget is, how the plan comes about or is read, and what amends it."""

import json
from pathlib import Path

import numpy as np
import torch

from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.models.registry import STACKED
from lanewise.search.policy import Policy, rungs_of
from lanewise.search.registry import policy_name
from lanewise.settings import FitSettings, parse_budget
from lanewise.stage_times import StageTimes
from lanewise.storage.durable import load_json, write_atomically
from lanewise.storage.strict_json import dump_json
from lanewise.training.planning.amending import Amending
from lanewise.training.planning.choices import Choices
from lanewise.training.planning.making import Budget, Wishes, make_plan
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.reserve import reserved_seconds
from lanewise.training.problem import Problem
from lanewise.training.teams import TeamBuilder

WORTH_TREES_SECONDS = 6.0
"""What is left of a budget from which trees race beside other families: their workers take two seconds to start."""

WORTH_FORESTS_SECONDS, WORTH_FORESTS_ROWS = 15.0, 8_000
"""The same for forests, which are one more family to measure and to find room for: so long for each so many rows."""


def budget_of(problem: Problem, settings: FitSettings) -> tuple[float, int | None]:
    """Seconds, and steps where the user counts in those."""
    seconds, steps = parse_budget(settings.budget) if settings.budget else (usual_budget(problem), None)
    return seconds or 0.0, steps


def usual_budget(problem: Problem) -> float:
    """Seconds when the user names no budget: one minute for small tables, up to five for large ones."""
    cells = problem.training_rows * max(problem.width.dense, 1)
    return float(np.clip(60 * cells / 1_000_000, 60, 300))


def trees_wait(problem: Problem, settings: FitSettings, *, spent: float) -> bool:
    """Whether too little is left of a budget in seconds to start workers for trees beside the families without them."""
    seconds, steps = budget_of(problem, settings)
    others = {"mlp", "linear"} & set(settings.models)
    return steps is None and bool(others) and seconds - spent < WORTH_TREES_SECONDS


def _racing(problem: Problem, settings: FitSettings, *, spent: float) -> tuple[str, ...]:
    """The families that race, of those that were asked for: those that what is left of the budget is worth."""
    seconds, steps = budget_of(problem, settings)
    known = settings.models
    if trees_wait(problem, settings, spent=spent):
        return tuple(model for model in known if model in STACKED)
    worth = WORTH_FORESTS_SECONDS * max(1.0, problem.training_rows / WORTH_FORESTS_ROWS)
    if steps is None and set(known) != {"forest"} and seconds - spent < worth:
        return tuple(model for model in known if model != "forest")
    return known


def plan_of(
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
                models=_racing(problem, settings, spent=spent),
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
        )
    finally:
        torch.set_num_threads(threads)
    if file is not None:
        write_atomically(file, dump_json(plan.to_json()))
    return plan


def amending_of(
    problem: Problem, settings: FitSettings, times: StageTimes, file: Path | None, ranks: Ranks
) -> Amending | None:
    """What decides once more who is confirmed when the screen is over; nothing where the budget is in steps."""
    seconds, steps = budget_of(problem, settings)
    if steps is not None:
        return None

    def keep(plan: Plan) -> None:
        if file is not None and ranks.leads:
            write_atomically(file, dump_json(plan.to_json()))

    def agreed(confirmed: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(json.loads(ranks.broadcast(json.dumps(confirmed).encode())))

    raced = seconds - reserved_seconds(seconds, problem.training_rows)
    return Amending(left=lambda: raced - times.elapsed(), agreed=agreed, keep=keep)
