"""A lane with settings of its own from some step on, as a genetic algorithm breeds it, equals a plain loop whose
optimizer of torch's is given those settings at that step."""

import dataclasses

import pytest
import torch
from lane_cases import Race, assert_same, lane, race_data, rows_of, truth
from plain_loop import Rewind

from lanewise.lanes.roster import Lane
from lanewise.training.copying import copy_of, hand_over

LENGTH, AT, AGAIN = 50, 20, 40
FACTOR, FURTHER = 0.7, 1.3
CHANGES = {
    "sgd": ({"clip_norm": 0.2}, {"weight_decay": 0.1}),
    "momentum": ({"momentum": 0.95, "weight_decay": 0.1}, {"momentum": 0.5}),
    "nesterov": ({"momentum": 0.6, "clip_norm": 0.3}, {"weight_decay": 0.05}),
    "adam": ({"beta1": 0.7, "weight_decay": 0.02}, {"beta2": 0.9}),
    "adamw": ({"beta1": 0.95, "beta2": 0.99}, {"weight_decay": 0.3, "beta1": 0.5}),
}


def bred(source: Lane, *, at: int, factor: float, name: str, changes: dict[str, float]) -> Lane:
    candidate = copy_of(source.candidate, fraction=at / LENGTH, factor=factor, id=name, changes=tuple(changes.items()))
    return dataclasses.replace(source, candidate=candidate)


@pytest.mark.parametrize("rule", CHANGES)
def test_a_child_equals_a_plain_loop_whose_settings_change(rule: str) -> None:
    source = lane("better", "mlp", rule, dropout=0.2, clip_norm=0.5, weight_decay=0.01)
    target = lane("worse", "mlp", rule, schedule="constant")
    third = lane("third", "mlp", "sgd" if rule != "sgd" else "adam")
    race = Race(lanes=[source, target, third], data=race_data())
    stack = race.stack()
    start = rows_of(stack)
    one, other = CHANGES[rule]
    stack.advance(AT / LENGTH)
    first = bred(source, at=AT, factor=FACTOR, name="first", changes=one)
    hand_over([stack], source.id, target.id, first, factor=FACTOR)
    stack.advance(AGAIN / LENGTH)
    second = bred(first, at=AGAIN, factor=FURTHER, name="second", changes=other)  # the child of a child
    hand_over([stack], first.id, source.id, second, factor=FURTHER)
    stack.advance(1.0)
    rows = rows_of(stack)

    once = [Rewind(at=AT, to=AT, factor=FACTOR, settings=one)]
    twice = [*once, Rewind(at=AGAIN, to=AGAIN, factor=FURTHER, settings=other)]
    for child, changes in ((first, once), (second, twice)):
        alone = truth(source, start[source.id], race.data, rewinds=changes)
        assert_same(child, rows[child.id], alone, start[source.id], tolerance=1e-10)
    assert_same(third, rows[third.id], truth(third, start[third.id], race.data), start[third.id], tolerance=1e-10)
    # The settings matter: with the changes of the rate alone the truth is another.
    plain = truth(source, start[source.id], race.data, rewinds=[Rewind(at=AT, to=AT, factor=FACTOR)])
    assert any(not torch.allclose(rows[first.id][name], plain[name], rtol=1e-6) for name in plain)


@pytest.mark.parametrize("rule", ["momentum", "adamw"])
def test_a_child_trained_from_the_start_or_from_a_checkpoint_comes_to_the_same_bits(rule: str) -> None:
    source, third = lane("better", "mlp", rule, weight_decay=0.01), lane("third", "mlp", "sgd")
    race = Race(lanes=[source, lane("worse", "mlp", rule), third], data=race_data())
    stack = race.stack()
    stack.advance(AT / LENGTH)
    child = bred(source, at=AT, factor=FACTOR, name="worse", changes=CHANGES[rule][0])
    hand_over([stack], source.id, race.lanes[1].id, child, factor=FACTOR)
    stack.advance((AT + 10) / LENGTH)
    again = Race(lanes=[source, child, third], data=race.data).stack()
    again.restore(*stack.state())
    replayed = Race(lanes=[source, child, third], data=race.data).stack()
    for one in (stack, again, replayed):
        one.advance(1.0)
    wanted = rows_of(stack)[child.id]
    for one in (again, replayed):
        assert all(torch.equal(rows_of(one)[child.id][name], wanted[name]) for name in wanted)
