"""A lane whose loss blows up for good, its numbers finite, is set back in a screen, and no other lane changes a bit."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from lanewise.lanes.candidate import Event
from lanewise.training.stack import Stack
from lanewise.training.watching.guard import RATE_FACTOR

LENGTH = 400
JUMPS = Event(fraction=0.5, restored=0.5, rate_factor=1500.0, cause="took over from well")
LOOKS = (1 / 9, 1 / 3, 1.0)
Trained = tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]


def company(small: ModuleType, *, events: tuple[Event, ...] = (JUMPS,), **others: Any) -> list[Any]:
    """Lanes of a fold, of which one learns well until its rate is a thousand times as large."""
    usual = {"model": "linear", "optimizer": "sgd", "lr": 0.03, "schedule": "constant", "warmup": 0.0}
    found = [
        small.candidate("ahead", **usual),
        small.candidate("jumps", **usual, events=events, **others),
        small.candidate("well", **{**usual, "lr": 0.1}),
    ]
    return small.lanes(found, folds=1)


def stack(small: ModuleType, own: list[Any], *, answers: bool = True) -> Stack:
    return Stack(own, replace(small.data(), answers=answers), length=LENGTH, batch_size=small.BATCH)


def trained(small: ModuleType, own: list[Any], **how: Any) -> Trained:
    """Weights and repairs of all lanes, and the evidence at the end."""
    team, repairs = stack(small, own, **how), dict[str, Any]()
    evidence = dict[str, bytes]()
    for fraction in LOOKS:
        team.advance(fraction)
        evidence = small.evidence_of(team)
        for name, events in team.repairs().items():
            repairs[name] = (*repairs.get(name, ()), *events)
    return small.rows_of(team), repairs, evidence


SICK = "jumps.f0.s0"


@pytest.fixture(scope="module")
def jumped(small: ModuleType) -> Trained:
    """What becomes of the company; nothing changes it."""
    return trained(small, company(small))


def test_it_is_set_back_to_where_it_did_well_and_no_neighbour_notices(small: ModuleType, jumped: Trained) -> None:
    rows, repairs, evidence = jumped
    calm, nothing, expected = trained(small, company(small, events=()))
    assert nothing == {}
    assert repairs.keys() == {SICK}
    first = repairs[SICK][0]
    assert first.cause.startswith("spiked by step 275 and lost what it had learned (a loss of ")
    assert (first.fraction, first.rate_factor) == (275 / LENGTH, RATE_FACTOR)
    assert first.restored == JUMPS.fraction  # the last place before the jump
    for name in rows.keys() - {SICK}:
        assert small.same(rows[name], calm[name])
        assert evidence[name] == expected[name]


def test_where_no_lane_can_become_another_candidate_its_score_tells(small: ModuleType) -> None:
    rows, repairs, evidence = trained(small, company(small), answers=False)
    assert repairs == {}
    assert evidence.keys() == rows.keys()


def test_the_default_stays_what_it_is(small: ModuleType) -> None:
    assert trained(small, company(small, is_default=True))[1] == {}


@pytest.mark.parametrize("answers", [True, False])
def test_the_candidate_that_it_became_repeats_it(small: ModuleType, jumped: Trained, answers: bool) -> None:
    rows, repairs, _ = jumped
    events = (JUMPS, *repairs[SICK])
    again, others, _ = trained(small, company(small, events=events), answers=answers)
    assert others == {}
    assert all(small.same(rows[name], again[name]) for name in rows)


def test_it_is_given_up_after_as_many_repairs_as_others(small: ModuleType) -> None:
    wild = replace(JUMPS, fraction=0.25, restored=0.25, rate_factor=1e9)
    own = company(small, events=(wild,))
    team = stack(small, own)
    team.advance(1.0)
    assert len(team.repairs()[SICK]) == 2
    assert SICK in team.lost()
    assert team.lost()[SICK].cause.startswith("spiked by step ")
    assert team.lost()[SICK].cause.endswith(", at the third rate that was tried")
    assert SICK not in small.evidence_of(team)


def test_restarts_on_the_way_change_no_bit(small: ModuleType, jumped: Trained) -> None:
    rows, repairs, _ = jumped
    team = stack(small, company(small))
    for cut in (26, 199, 205, 250, 275, 276, 351):
        team.go_on(cut, look=False)
        assert team.optimizer.taken == cut
        tensors, rest = team.state()
        team = stack(small, company(small))
        team.restore({name: own.clone() for name, own in tensors.items()}, rest)
    team.advance(1.0)
    assert team.repairs() == repairs
    assert all(small.same(rows[name], own) for name, own in small.rows_of(team).items())


def test_it_is_set_back_when_others_have_left(small: ModuleType, jumped: Trained) -> None:
    rows, repairs, _ = jumped
    team = stack(small, company(small))
    team.advance(0.6)
    team.keep([SICK, "well.f0.s0"])
    team.advance(1.0)
    steps = [(event.fraction, event.restored) for event in team.repairs()[SICK]]
    assert steps == [(event.fraction, event.restored) for event in repairs[SICK]]
    for name, own in small.rows_of(team).items():
        torch.testing.assert_close(rows[name], own)


def test_a_place_where_it_already_did_badly_is_not_kept(small: ModuleType) -> None:
    team = stack(small, company(small))
    team.go_on(260, look=False)  # snapshots were due after 220, 240 and 260 steps, the rate jumped after 200
    row = next(row for row, lane in enumerate(team.lanes) if lane.id == SICK)
    assert team.oversight.guard.taken == [200 if own == row else 260 for own in range(len(team.lanes))]


def test_losses_of_rows_that_lie_together_are_not_judged(small: ModuleType) -> None:
    data = replace(small.data(), answers=True, window=16)
    team = Stack(company(small), data, length=LENGTH, batch_size=small.BATCH)
    team.advance(1.0)
    assert team.repairs() == {}
    assert torch.isfinite(team.buffer.rows).all()
