"""What a plan should take: the screen, the confirmation and the refit, by what its lanes cost."""

import numpy as np

from lanewise.models.registry import STACKED
from lanewise.search.policy import Policy, remaining_of, rungs_of
from lanewise.training.planning.amending import lanes_of
from lanewise.training.planning.plan import Plan, lonely_cost

MANY = 729
"""Candidates for which the cost of a screen is reckoned per candidate: a power of 3, so that thirds are whole."""


def screen_cost(policy: Policy) -> tuple[float, float]:
    """Full-length trainings, and looks, that a screen spends per candidate."""
    rungs = rungs_of(policy, MANY)
    if not rungs:
        return 1.0, 0.0
    left, cost, looks, before = MANY, 0.0, 0.0, 0.0
    for rung, after in zip(rungs, remaining_of(policy, MANY), strict=True):
        cost += left / MANY * (rung - before)
        looks += left / MANY
        left, before = after, rung
    return cost, looks


def predicted(plan: Plan, per_candidate: tuple[float, float]) -> float:
    """Wall seconds that the plan should take on its workers, the refit included; ``per_candidate`` of `screen_cost`."""
    screened, seen = per_candidate
    default = next(candidate for candidate in plan.candidates if candidate.is_default)
    # No rival drops the default: it is screened to its end, and confirmed beside those of its family.
    apart = {default.id} if plan.rungs else set()
    confirmed = len(apart) + sum(plan.confirm.values())
    runs = plan.folds * len(plan.seeds)
    again = lanes_of(plan, confirmed) - runs
    screen = sum(plan.confirming(id) for id in apart)
    confirm, refit = screen * runs, screen * again
    for model, count in plan.confirm.items():
        family = [one.id for one in plan.candidates if one.model == model and one.id not in apart]
        own = np.array([plan.costs[id] for id in family])
        if not len(own) or not own.sum():
            continue
        look = float(np.mean([plan.look_costs[id] for id in family]))
        single = float(np.mean([plan.single.get(id, 1.0) for id in family]))
        # Those that survive are the longer trained and the larger ones: each counts by what it costs.
        survivor = float((own**2).sum() / own.sum())
        if plan.rungs:
            later = len(own) * (screened - plan.rungs[0])
            # The few that are left after the first rung share no stack with many any more.
            going = max(later / max(1.0 - plan.rungs[0], 1e-9), 1.0)
            few = lonely_cost(single, lanes=going, workers=plan.workers)
            screen += float(own.sum()) * plan.rungs[0] + few * survivor * later + look * len(own) * seen
        lonely = float(np.mean([plan.confirming(id) for id in family])) / float(own.mean() + len(plan.grid) * look)
        lane = (survivor + len(plan.grid) * look) * (lonely if plan.rungs or count == 1 else 1.0)
        confirm += lane * min(count, len(own)) * runs
        refit += lane * min(count, len(own)) * again
    # No number of workers makes the lane of the default shorter, nor the one that is trained on all rows.
    longest = plan.costs[default.id] if plan.rungs else 0.0
    last = plan.costs[default.id] * plan.single.get(default.id, 1.0) if default.model in STACKED else 0.0
    return max(screen / plan.workers, longest) + confirm / plan.workers + max(refit / plan.workers, last)
