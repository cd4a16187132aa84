"""A lane that diverged goes on from its snapshot as a plain loop does that is put back to the same step.

The truth is told when the lane was put back, and to where: the optimizer's state, its step count
included, goes back with the weights; the rows go on.
"""

import dataclasses

import pytest
import torch
from lane_cases import RULES, Race, Value, assert_same, lane, race_data, rows_of, truth
from plain_loop import Rewind

from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane

LENGTH = 60
SHARED: dict[str, Value] = {"loss": "poisson", "schedule": "constant", "warmup": 0.0}
# At these rates the exponential of a Poisson model overflows, and at 0.3 of them it does not.
ILL = {
    "sgd": lane("ill", "linear", "sgd", SHARED, lr=0.6, fold=1),
    "momentum": lane("ill", "linear", "momentum", SHARED, lr=0.3, seed=1),
    "rmsprop": lane("ill", "linear", "rmsprop", SHARED, lr=40.0),
    "adam": lane("ill", "linear", "adam", SHARED, lr=100.0),
}


def company(ill: Lane) -> Race:
    """A lane that overflows, between two that do not."""
    rule = ill.candidate.optimizer
    lanes = [lane("a", "linear", rule, SHARED, lr=1e-3), ill, lane("z", "linear", rule, SHARED, lr=2e-3, seed=1)]
    return Race(lanes=lanes, data=race_data("count"), length=LENGTH)


def train(race: Race) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, dict[str, torch.Tensor]], list[Event]]:
    """Weights of all lanes before and after training, and the repairs of the lane that is ill."""
    stack = race.stack()
    start = rows_of(stack)
    events = []
    for fraction in (0.5, 1.0):
        stack.advance(fraction)
        repairs = stack.repairs()
        assert set(repairs) <= {race.lanes[1].id}
        events += [event for own in repairs.values() for event in own]
    return start, rows_of(stack), events


@pytest.mark.parametrize("rule", ILL)
def test_repaired_lane_goes_on_like_a_plain_loop_that_is_put_back(rule: str) -> None:
    race = company(ILL[rule])
    start, rows, events = train(race)
    rewinds = [
        Rewind(at=round(event.fraction * LENGTH), to=round(event.restored * LENGTH), factor=event.rate_factor)
        for event in events
    ]
    assert len(rewinds) == 1
    for one in race.lanes:
        own = rewinds if one.candidate.id == "ill" else []
        alone = truth(one, start[one.id], race.data, length=LENGTH, rewinds=own)
        assert_same(one, rows[one.id], alone, start[one.id], tolerance=1e-10)


@pytest.mark.parametrize("rule", ILL)
def test_repaired_candidate_repeats_its_repairs(rule: str) -> None:
    race = company(ILL[rule])
    _, rows, events = train(race)
    candidate = race.lanes[1].candidate
    for event in events:
        candidate = candidate.repaired(event, id="ill")
    repaired = dataclasses.replace(race.lanes[1], candidate=candidate)
    again = dataclasses.replace(race, lanes=[race.lanes[0], repaired, race.lanes[2]])
    _, repeated, _ = train(again)
    for name, row in rows.items():
        assert all(torch.equal(row[key], repeated[name][key]) for key in row), name


@pytest.mark.parametrize("rate", [10.0, 1e30])
@pytest.mark.parametrize("rule", RULES)
def test_lane_beyond_repair_is_retired_without_a_word(rule: str, rate: float) -> None:
    race = company(lane("ill", "linear", rule, SHARED, lr=rate))
    start, rows, _ = train(race)
    healthy = [one for one in race.lanes if one.candidate.id != "ill"]
    for one in healthy:
        alone = truth(one, start[one.id], race.data, length=LENGTH)
        assert_same(one, rows[one.id], alone, start[one.id], tolerance=1e-10)
