"""Which model families that were asked for are not in a race, and the budget that would have room for them."""

import math
from collections.abc import Mapping, Sequence

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.families import affordable_families, shortest_seconds
from lanewise.training.planning.fitting import FORESEEN, NEXT_TO_NOTHING, Known, best_fitted, fitted
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.setting import Setting

RACING_SHARE = 0.65
"""About what a race and its refit have of each second more of a budget; the rest is for measuring and the report."""

STEP = 5
"""Seconds of which a budget that is advised is a multiple."""

FINER = 1.25
"""Factor between budgets of which it is looked at who races."""

MARGIN = 1.3
"""Factor up to which a budget may be exceeded, beside one more step, so that all still race."""

HARDLY_MORE = 1.01
"""Factor by which what is needed is exceeded, so that rounding does not leave a family out after all."""


def missing(plan: Plan, pools: Mapping[str, Sequence[Candidate]]) -> list[str]:
    """The families of ``pools`` of which no candidate races."""
    raced = {candidate.model for candidate in plan.candidates}
    return [model for model in pools if model not in raced]


def needed_seconds(*, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting) -> float:
    """Wall seconds from which all families of ``pools`` race together in the plan that is then made.

    They still do with somewhat more: what a budget is rounded up to must not leave one out again, as a screen in place
    of dear families does.
    """
    known: Known = {}
    seconds = first = _least_seconds(pools=pools, measured=measured, setting=setting)
    while True:
        available = setting.workers * seconds
        plan = best_fitted(available, pools=pools, measured=measured, setting=setting, known=known)
        if missing(plan, pools):
            first = FINER * seconds
        elif seconds >= MARGIN * first + STEP:
            return first
        seconds *= FINER


def _least_seconds(*, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting) -> float:
    """Wall seconds with less of which no plan has all families, however short it is.

    More seconds may make another family the default, and the default of boosted trees is never short: so what a race
    takes is looked at again with as many seconds as it takes, until it has them. Each family is the default once.
    """
    fewer = [setting, *setting.fewer_folds()][-1]
    longest = max(shortest_seconds(model, pools, measured) for model in pools)
    needed = 2.0 * longest * fewer.folds  # one candidate may take half
    while True:
        available = HARDLY_MORE * needed
        marked = affordable_families(pools, measured, available / fewer.folds, boosted=False)
        least = fitted(NEXT_TO_NOTHING, pools=marked, measured=measured, setting=fewer, fewest=None)
        needed = least.predicted_seconds * setting.workers / FORESEEN
        if needed <= available:
            return available / setting.workers


def advised_budget(budget: float, *, needed: float, left: float) -> float:
    """The budget in seconds that leaves the ``needed`` ones for a race, where ``budget`` leaves ``left``: more than it.

    >>> advised_budget(20.0, needed=8.2, left=6.04), advised_budget(20.0, needed=3.0, left=6.0)
    (25.0, 25.0)
    """
    return float(STEP * (math.floor((budget + max(needed - left, 0.0) / RACING_SHARE) / STEP) + 1))


def no_room(plan: Plan) -> str:
    """What to do that those which a budget in seconds left out of the ``plan`` race as well."""
    return f"a budget of about {plan.advised_seconds:.0f}s would have room for all at the speed measured now"


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
