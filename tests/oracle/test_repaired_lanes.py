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

LENGTH, CHECKS = 100, (0.25, 0.5, 0.75, 1.0)
# At these rates the exponential of a Poisson model overflows, and at 0.3 or 0.09 of them it does not.
RATES = {"sgd": 2.0, "momentum": 0.6, "rmsprop": 40.0, "adam": 100.0}


def overflowing(rule: str, rate: float) -> Race:
    """A lane that overflows, between two that do not."""
    shared: dict[str, Value] = {"loss": "poisson", "schedule": "constant", "warmup": 0.0}
    lanes = [
        lane("a", "linear", rule, **shared, lr=1e-3),
        lane("ill", "linear", rule, **shared, lr=rate),
        lane("z", "linear", rule, **shared, lr=2e-3, seed=1),
    ]
    return Race(lanes=lanes, data=race_data("count"), length=LENGTH)


def train(race: Race) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, dict[str, torch.Tensor]], list[Event]]:
    """Weights of all lanes before and after training, and the repairs of the lane that is ill."""
    stack = race.stack()
    start = rows_of(stack)
    events = []
    for fraction in CHECKS:
        stack.advance(fraction)
        repairs = stack.repairs()
        assert set(repairs) <= {"ill.f0.s0"}
        events += repairs.values()
    return start, rows_of(stack), events


@pytest.mark.parametrize("rule", RATES)
def test_repaired_lane_goes_on_like_a_plain_loop_that_is_put_back(rule: str) -> None:
    race = overflowing(rule, RATES[rule])
    start, rows, events = train(race)
    rewinds = [
        Rewind(at=round(event.fraction * LENGTH), to=round(event.restored * LENGTH), factor=event.rate_factor)
        for event in events
    ]
    assert 1 <= len(rewinds) <= 2
    for one in race.lanes:
        own = rewinds if one.candidate.id == "ill" else []
        alone = truth(one, start[one.id], race.data, length=LENGTH, rewinds=own)
        assert_same(one, rows[one.id], alone, start[one.id], tolerance=1e-10)


@pytest.mark.parametrize("rule", RATES)
def test_repaired_candidate_repeats_its_repairs(rule: str) -> None:
    race = overflowing(rule, RATES[rule])
    _, rows, events = train(race)
    candidate = race.lanes[1].candidate
    for event in events:
        candidate = candidate.repaired(event, id="ill")
    again = dataclasses.replace(race, lanes=[race.lanes[0], Lane(candidate=candidate, fold=0, seed=0), race.lanes[2]])
    _, repeated, _ = train(again)
    for name, row in rows.items():
        assert all(torch.equal(row[key], repeated[name][key]) for key in row), name


@pytest.mark.parametrize("rate", [10.0, 1e30])
@pytest.mark.parametrize("rule", RULES)
def test_lane_beyond_repair_is_retired_without_a_word(rule: str, rate: float) -> None:
    race = overflowing(rule, rate)
    start, rows, _ = train(race)
    healthy = [one for one in race.lanes if one.candidate.id != "ill"]
    for one in healthy:
        alone = truth(one, start[one.id], race.data, length=LENGTH)
        assert_same(one, rows[one.id], alone, start[one.id], tolerance=1e-10)
