"""A lane does not notice its neighbours: who they are, in which order, whether they leave or diverge."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_cases import LENGTH, RULES, STRUCTURE, Race, lane, race_data, rows_of

from lanewise.lanes.roster import Lane

MODELS = tuple(STRUCTURE)
SHORT = 20
"""Steps where every lane is trained alone as well, and where neighbours diverge within a few."""


def company(model: str) -> list[Lane]:
    """All rules, three folds and three seeds, with settings that differ from lane to lane."""
    return [
        lane(
            f"{rule}{turn}",
            model,
            rule,
            {"l1": 0.01} if at % 2 else {"clip_norm": 0.4, "dropout": 0.5},
            fold=(at + turn) % 3,
            seed=(at + 2 * turn) % 3,
            schedule=("linear", "cosine")[turn],
        )
        for at, rule in enumerate(RULES)
        for turn in (0, 1)
    ]


@pytest.mark.parametrize("model", MODELS)
def test_lanes_are_unmoved_by_those_that_left_before(model: str) -> None:
    race = Race(lanes=company(model), data=race_data())
    stack = race.stack()
    start = rows_of(stack)
    # Of 12 lanes 7, 3 and 1 stay: rules lose all their lanes, and so do folds and seeds.
    for fraction, leave in ((0.4, slice(0, 5)), (0.7, slice(1, 5)), (0.9, slice(1, 3))):
        stack.advance(fraction)
        gone = {one.id for one in stack.lanes[leave]}
        leaving = {name: row for name, row in rows_of(stack).items() if name in gone}
        race.hold(start, leaving, until=round(fraction * LENGTH))
        stack.keep({one.id for one in stack.lanes} - gone)
        assert not gone & {one.id for one in stack.lanes}
    stack.advance(1.0)
    assert len(stack.lanes) == 1
    race.hold(start, rows_of(stack))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_order_of_leaving(data: st.DataObject) -> None:
    race = Race(lanes=data.draw(st.permutations(company("mlp")))[:6], data=race_data(), length=SHORT)
    stack = race.stack()
    start = rows_of(stack)
    for step in sorted(data.draw(st.sets(st.integers(0, 19), max_size=3))):
        stack.advance(step / race.length)
        names = sorted(one.id for one in stack.lanes)
        stack.keep(data.draw(st.sets(st.sampled_from(names), min_size=1)))
    stack.advance(1.0)
    race.hold(start, rows_of(stack))


@pytest.mark.parametrize("model", MODELS)
def test_order_of_the_lanes_does_not_matter(model: str) -> None:
    lanes = company(model)
    shuffled = [lanes[at] for at in torch.randperm(len(lanes), generator=torch.Generator().manual_seed(2)).tolist()]
    start, rows = Race(lanes=lanes, data=race_data(), length=SHORT).trained()
    for order in (shuffled, lanes[::-1]):
        race = Race(lanes=order, data=race_data(), length=SHORT)
        other_start, other_rows = race.trained()
        for name in rows:
            assert all(torch.equal(start[name][key], other_start[name][key]) for key in start[name])
        race.hold(start, other_rows)


@pytest.mark.parametrize("model", MODELS)
def test_neighbours_that_diverge_change_no_bit(model: str) -> None:
    # Squared error of a network or a line at a rate of 1e30 is infinite within a few steps.
    shared = {"loss": "squared", "clip_norm": 0.5}
    others = [
        lane(one.candidate.id, model, one.candidate.optimizer, shared, fold=one.fold, seed=one.seed)
        for one in company(model)
    ]
    data = race_data("regression")
    rows = {}
    for name, rate in (("well", 0.01), ("ill", 1e30)):
        sick = [
            lane(f"neighbour-{rule}", model, rule, fold=1, seed=1, loss="squared", lr=rate, weight_decay=0.5)
            for rule in RULES
        ]
        rows[name] = Race(lanes=[*others[:6], *sick, *others[6:]], data=data, length=SHORT).trained()[1]
    well, ill = rows["well"], rows["ill"]
    for one in sick:
        assert not all(torch.equal(well[one.id][key], ill[one.id][key]) for key in well[one.id]), one.id
    for one in others:
        assert all(torch.equal(well[one.id][key], ill[one.id][key]) for key in well[one.id]), one.id


@pytest.mark.parametrize("model", MODELS)
def test_training_in_pieces_is_training_at_once(model: str) -> None:
    race = Race(lanes=company(model), data=race_data())
    whole = race.trained()[1]
    stack = race.stack()
    for fraction in (0.02, 0.1, 0.1, 0.55, 1.0):
        stack.advance(fraction)
    for name, row in rows_of(stack).items():
        assert all(torch.equal(row[key], whole[name][key]) for key in row), name


@pytest.mark.parametrize("model", MODELS)
def test_resuming_from_a_saved_state_changes_no_bit(model: str) -> None:
    race = Race(lanes=company(model), data=race_data())
    stack = race.stack()
    stack.advance(0.3)
    stack.keep({one.id for one in stack.lanes[::2]})
    tensors, rest = stack.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    later = Race(lanes=list(stack.lanes), data=race_data()).stack()
    later.restore(tensors, rest)
    stack.advance(1.0)
    later.advance(1.0)
    expected = rows_of(stack)
    for name, row in rows_of(later).items():
        assert all(torch.equal(row[key], expected[name][key]) for key in row), name


@pytest.mark.parametrize("model", MODELS)
def test_start_of_a_lane_depends_on_its_seed_alone(model: str) -> None:
    lanes = company(model)
    together = rows_of(Race(lanes=lanes, data=race_data()).stack())
    for one in lanes:
        alone = rows_of(Race(lanes=[one], data=race_data()).stack())[one.id]
        assert all(torch.equal(together[one.id][key], alone[key]) for key in alone)


def test_batch_does_not_shrink_to_the_fold_of_a_neighbour() -> None:
    # Fold 0 trains on 42 rows, fold 1 on 39: a batch of 40 is one size for both, alone and together.
    lanes = [lane("a", "linear", "sgd", fold=0), lane("b", "linear", "sgd", fold=1)]
    data = race_data()
    together = Race(lanes=lanes, data=data, batch=40).trained()[1]
    for one in lanes:
        alone = Race(lanes=[one], data=data, batch=40).trained()[1][one.id]
        assert all(torch.allclose(together[one.id][key], alone[key], rtol=0, atol=1e-10) for key in alone), one.id
