"""Why a model family that was asked for is not in a race: what it would take, and what was left."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.fitting import (
    ENOUGH_FOLDS,
    FORESEEN,
    NEXT_TO_NOTHING,
    ONE_EACH,
    Measured,
    Setting,
    affordable_families,
    fitted,
)
from lanewise.training.planning.plan import Plan

RACING_SHARE = 0.65
"""About what a race and its refit have of each second more of a budget; the rest is for measuring and the report."""

STEP = 5
"""Seconds of which a budget that is advised is a multiple."""

MORE, TRIES = 1.05, 120
"""By which factor more seconds are tried for, and how often: up to some 350 times as many."""


def missing(plan: Plan, pools: Mapping[str, Sequence[Candidate]]) -> list[str]:
    """The families of ``pools`` of which no candidate races."""
    raced = {candidate.model for candidate in plan.candidates}
    return [model for model in pools if model not in raced]


def left_out(
    plan: Plan,
    available: float,
    *,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
    budget: float,
) -> dict[str, str]:
    """Why each family of ``pools`` that is not in the ``plan`` of ``available`` processor seconds is not."""
    left = available / setting.workers
    return {
        model: no_room(
            needed_seconds(model, plan, available, pools=pools, measured=measured, setting=setting), left, budget
        )
        for model in missing(plan, pools)
    }


def needed_seconds(
    model: str,
    plan: Plan,
    available: float,
    *,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
) -> float:
    """Wall seconds from which the families of ``plan`` and ``model`` race together, more than ``available`` allows.

    Which family has the default depends on them too, and the default of boosted trees is never short.
    """
    raced = {candidate.model for candidate in plan.candidates}
    own = {name: pool for name, pool in pools.items() if name == model or name in raced}
    fewer = replace(setting, folds=max(min(ENOUGH_FOLDS, setting.folds), setting.fewest_folds))
    takes: dict[str, float] = {}
    for _ in range(TRIES):
        available *= MORE
        marked = affordable_families(own, measured, available / fewer.folds)
        default = next(one.id for pool in marked.values() for one in pool if one.is_default)
        if len(marked) < len(own):
            continue
        if default not in takes:
            least = fitted(NEXT_TO_NOTHING, pools=marked, measured=measured, setting=fewer, fewest=ONE_EACH)
            takes[default] = least.predicted_seconds
        if takes[default] <= FORESEEN * available / setting.workers:
            break
    return available / setting.workers


def no_room(needed: float, left: float, budget: float) -> str:
    """That a family ``needed`` more seconds than were ``left`` of a ``budget``, and which budget to give.

    >>> no_room(9.2, 6.04, 20.0)
    'a race with it needs about 9.2 s and 6 s were left; give a budget of about 25s, or fewer models'
    """
    enough = STEP * math.ceil((budget + max(needed - left, 0.0) / RACING_SHARE) / STEP)
    return (
        f"a race with it needs about {_seconds(needed)} and {_seconds(left)} were left; "
        f"give a budget of about {enough}s, or fewer models"
    )


def untrained(optimizers: Sequence[str]) -> str:
    """That no optimizer that was asked for trains a family.

    >>> untrained(["lbfgs"]), untrained(["lbfgs", "ista"])
    ('lbfgs does not train it', 'none of lbfgs, ista trains it')
    """
    if not optimizers:
        return "it has no candidate"
    return (
        f"{optimizers[0]} does not train it" if len(optimizers) == 1 else f"none of {', '.join(optimizers)} trains it"
    )


def no_start(starting: float, left: float) -> str:
    """That there is no time for the start of a family's worker processes.

    >>> no_start(6.0, 4.31)
    'its worker processes start from 6 s on and 4.3 s were left; give a longer budget, or no other models'
    """
    return (
        f"its worker processes start from {_seconds(starting)} on and {_seconds(left)} were left; "
        "give a longer budget, or no other models"
    )


def _seconds(amount: float) -> str:
    """One digit behind the point where that is most of what there is."""
    rounded = round(amount, 1 if amount < 10 else 0)
    return f"{rounded:g} s"
