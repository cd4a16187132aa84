"""A lane that took over from another goes on as a plain loop of the other's settings whose rate changes on the way.

The truth knows nothing of copies: one net is trained from the start of the source, and from the step of the copy on
its rate is multiplied by the factor.
"""

import dataclasses

import pytest
import torch
from lane_cases import Race, assert_same, lane, race_data, rows_of, truth
from plain_loop import Rewind

from lanewise.lanes.roster import Lane
from lanewise.training.copying import copy_of, hand_over
from lanewise.training.stack import Stack

LENGTH, AT, AGAIN = 50, 20, 40
FACTOR, FURTHER = 0.8, 1.25
NAMES = ("sgd", "momentum", "rmsprop", "adamw", "schedule_free_adamw", "prodigy", "soap")
"""Rules of which each keeps another state."""
Rows = dict[str, dict[str, torch.Tensor]]


def company(rule: str) -> Race:
    """Two of a rule with other settings, and one of another rule, in one stack."""
    better = lane("better", "mlp", rule, dropout=0.2, clip_norm=0.5, weight_decay=0.02)
    worse = lane("worse", "mlp", rule, dropout=0.2, schedule="constant", warmup=0.3)
    return Race(lanes=[better, worse, lane("third", "mlp", "sgd" if rule != "sgd" else "adam")], data=race_data())


def copied(source: Lane, *, at: int, factor: float, name: str, length: int = LENGTH) -> Lane:
    return dataclasses.replace(
        source, candidate=copy_of(source.candidate, fraction=at / length, factor=factor, id=name)
    )


def by_name(stack: Stack) -> dict[str, Lane]:
    return {one.candidate.id: one for one in stack.lanes}


@pytest.mark.parametrize("rule", NAMES)
def test_a_copy_equals_the_same_schedule_of_rates_alone(rule: str) -> None:
    race = company(rule)
    stack = race.stack()
    start = rows_of(stack)
    source, target, _ = race.lanes
    stack.advance(AT / LENGTH)
    first = copied(source, at=AT, factor=FACTOR, name="first")
    hand_over([stack], source.id, target.id, first, factor=FACTOR)
    stack.advance(AGAIN / LENGTH)
    second = copied(first, at=AGAIN, factor=FURTHER, name="second")  # a copy of a copy, over its own source's source
    hand_over([stack], first.id, source.id, second, factor=FURTHER)
    stack.advance(1.0)
    rows = rows_of(stack)
    assert set(by_name(stack)) == {"first", "second", "third"}

    once = [Rewind(at=AT, to=AT, factor=FACTOR)]
    twice = [*once, Rewind(at=AGAIN, to=AGAIN, factor=FURTHER)]
    for one, changes in ((first, once), (second, twice)):
        alone = truth(source, start[source.id], race.data, rewinds=changes)
        assert_same(one, rows[one.id], alone, start[source.id], tolerance=1e-10)
    third = race.lanes[2]
    assert_same(third, rows[third.id], truth(third, start[third.id], race.data), start[third.id], tolerance=1e-10)
    # The factor matters: without it the truth is another.
    unchanged = truth(source, start[source.id], race.data)
    assert any(not torch.allclose(rows[first.id][name], unchanged[name], rtol=1e-6) for name in unchanged)


@pytest.mark.parametrize("rule", ["momentum", "adamw"])
def test_a_copy_crosses_stacks_and_survives_pruning_and_a_restart(rule: str) -> None:
    race = company(rule)
    source, target, third = race.lanes
    here = Race(lanes=[source, third], data=race.data).stack()  # the other rule's state is not in the other stack
    there = Race(lanes=[target, lane("beside", "mlp", rule, lr=0.01)], data=race.data).stack()
    start = rows_of(here)
    for stack in (here, there):
        stack.advance(AT / LENGTH)
    new = copied(source, at=AT, factor=FACTOR, name="new")
    hand_over([here, there], source.id, target.id, new, factor=FACTOR)
    there.keep({new.id})
    again = Race(lanes=[new], data=race.data).stack()
    again.restore(*there.state())
    for stack in (here, there, again):
        stack.advance(1.0)
    alone = truth(source, start[source.id], race.data, rewinds=[Rewind(at=AT, to=AT, factor=FACTOR)])
    for stack in (there, again):
        assert_same(new, rows_of(stack)[new.id], alone, start[source.id], tolerance=1e-10)
    plain = truth(source, start[source.id], race.data)
    assert_same(source, rows_of(here)[source.id], plain, start[source.id], tolerance=1e-10)


@pytest.mark.parametrize("rule", ["momentum", "adamw", "prodigy"])
def test_a_copied_candidate_trained_from_the_start_comes_to_the_same_bits(rule: str) -> None:
    race = company(rule)
    source, target, third = race.lanes
    stack = race.stack()
    stack.advance(AT / LENGTH)
    new = copied(source, at=AT, factor=FACTOR, name="worse")  # the name of the target: the rows lie in the same order
    hand_over([stack], source.id, target.id, new, factor=FACTOR)
    stack.advance(1.0)
    replayed = Race(lanes=[source, new, third], data=race.data).stack()
    replayed.advance(1.0)
    one, other = rows_of(stack)[new.id], rows_of(replayed)[new.id]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_copy_that_diverges_goes_back_to_what_its_source_was() -> None:
    length, at, factor = 100, 21, 200.0
    shared = {"loss": "poisson", "schedule": "constant", "warmup": 0.0}
    source = lane("source", "linear", "sgd", shared, lr=3e-3)
    target = lane("target", "linear", "sgd", shared, lr=1e-3)
    race = Race(lanes=[source, target], data=race_data("count"), length=length)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(at / length)
    new = copied(source, at=at, factor=factor, name="new", length=length)  # there the exponential overflows
    hand_over([stack], source.id, target.id, new, factor=factor)
    stack.advance(1.0)
    ((name, events),) = stack.repairs().items()
    assert name == new.id
    assert not stack.lost()
    # The last snapshot before the first look at the losses is one of the source, from before the copy.
    assert round(events[0].restored * length) < at
    changes = [Rewind(at=at, to=at, factor=factor)]
    for event in events:
        changes.append(
            Rewind(at=round(event.fraction * length), to=round(event.restored * length), factor=event.rate_factor)
        )
    alone = truth(source, start[source.id], race.data, length=length, rewinds=changes)
    assert_same(new, rows_of(stack)[new.id], alone, start[source.id], tolerance=1e-10)
    candidate = new.candidate
    for event in events:
        candidate = candidate.repaired(event, id="new")
    again = dataclasses.replace(new, candidate=candidate)
    replayed = Race(lanes=[source, again], data=race.data, length=length).stack()
    replayed.advance(1.0)
    assert_same(new, rows_of(replayed)[new.id], alone, start[source.id], tolerance=1e-10)
