"""What is known of a race over modules where the mesh of its ranks is to be chosen."""

from typing import Any

from torch import nn

from lanewise.distributed.ranks import Lone
from lanewise.tuning.planned_mesh import raced_modules
from lanewise.tuning.planning import plan_race
from lanewise.tuning.posing import with_ways
from lanewise.tuning.tune import asked


def raced(make_model: Any, given: dict[str, Any], **more: Any) -> Any:
    posed = asked(make_model, **{**given, **more}, ranks=Lone())
    teams = with_ways(posed.teams, question=posed.question, candidates=posed.wanted.candidates, seconds=None)
    plan = plan_race(posed.wanted, teams)
    return plan, raced_modules(plan, teams, posed.wanted, "full")


def test_steps_of_a_module_are_timed_with_the_rows_that_they_are_asked_for(one_rate: dict[str, Any]) -> None:
    plan, own = raced(lambda: nn.Linear(3, 1), one_rate)
    (candidate,) = plan.candidates
    assert [(one.weights, one.batch) for one in own.shared.values()] == [(4, 16)]
    team = own.team(candidate, 8)
    team.advance(2 / team.length)
    assert team.lanes[0].candidate.number("batch_size") == 8
    assert (own.refused, own.again(3), own.number_bytes) == ("", 0, 4)
    assert raced(lambda: nn.Linear(3, 1), one_rate, valid=None, folds=2)[1].again(3) == 1


def test_modules_whose_batch_is_more_than_its_rows_share_none(one_rate: dict[str, Any]) -> None:
    _, own = raced(lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), one_rate)
    assert own.refused.startswith("ranks cannot share the rows of a batch: 0 normalizes by the mean and variance")
    rates = [{**one_rate["candidates"][0], "average_every": 4}]
    _, apart = raced(lambda: nn.Linear(3, 1), one_rate, candidates=rates)
    assert apart.refused.endswith("candidates with average_every part a batch among workers of their own")
