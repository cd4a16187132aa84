"""A stack goes on from its saved state, and repeats repairs, to the same bits."""

import copy
import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from lanewise.errors import Interrupted
from lanewise.optim.execution import LaneOptimizer
from lanewise.training.team import nothing


def injected(small: ModuleType, stack: Any, *steps: int, also: Callable[[], None] = nothing) -> Callable[[], None]:
    """What to call between steps so that lane "bad" of fold 0 turns NaN before the ``steps``."""

    def between() -> None:
        also()
        if stack.optimizer.taken in steps:
            row = next(row for row, lane in enumerate(stack.lanes) if lane.id == "bad.f0.s0")
            stack.buffer.values[row, 0] = float("nan")

    return between


def test_goes_on_from_any_moment_to_the_same_bits(small: ModuleType) -> None:
    own = small.lanes([one for one in small.company(lr=0.05) if one.model == "mlp"], seeds=(0, 1))

    def train(stack: Any, start: float, also: Callable[[], None] = nothing) -> None:
        """Two looks, most lanes leave, a third look; a lane diverges before and after."""
        between = injected(small, stack, 13, 44, also=also)
        for fraction in (0.4, 0.7, 1.0):
            if fraction <= start:
                continue
            stack.advance(fraction, between)
            small.evidence_of(stack)
            if fraction == 0.4:
                stack.keep({"bad.f0.s0", "bad.f1.s1", "adam.f0.s0", "momentum.f1.s0"})

    whole = small.stack(own)
    train(whole, 0.0)
    expected, repairs = small.rows_of(whole), whole.repairs()
    assert [round(event.fraction * small.LENGTH) for event in repairs["bad.f0.s0"]] == [24, 50]
    saved: list[tuple[Any, ...]] = []
    first = small.stack(own)

    def keep() -> None:
        tensors, rest = first.state()
        state = {name: tensor.clone() for name, tensor in tensors.items()}
        saved.append((first.lanes, first.fraction, state, copy.deepcopy(rest)))

    train(first, 0.0, keep)
    assert len(saved) == small.LENGTH
    around = {at + step for at in (13, 24, 42, 44, 50) for step in (-1, 0, 1)}  # what is planted, looks and repairs
    for at, (lanes, fraction, tensors, rest) in enumerate(saved):
        if at % 12 and at not in around:
            continue
        later = small.stack(lanes)
        later.restore(tensors, rest)
        train(later, max((look for look in (0.4, 0.7) if look <= fraction), default=0.0))
        rows = small.rows_of(later)
        assert rows.keys() == expected.keys()
        assert all(small.same(rows[name], expected[name]) for name in rows), fraction
        assert later.repairs() == repairs


def test_saving_and_looking_changes_no_bit_of_a_healthy_lane(small: ModuleType) -> None:
    own = small.lanes([small.candidate("adam"), small.candidate("sgd", optimizer="sgd", lr=0.1)])
    once = small.stack(own)
    once.advance(1.0)
    often = small.stack(own)
    for look in range(1, 14):
        often.advance(look / 13, lambda: often.state() and None)
        small.evidence_of(often)
    rows = small.rows_of(often)
    assert all(small.same(rows[name], row) for name, row in small.rows_of(once).items())


@pytest.mark.parametrize("steps", [(3,), (19,), (7, 33), (25, 59)])
def test_repaired_candidate_repeats_its_repairs_whatever_the_looks(small: ModuleType, steps: tuple[int, ...]) -> None:
    good = [small.candidate("adam"), small.candidate("sgd", optimizer="sgd", lr=0.1)]
    bad = small.candidate("bad", optimizer="momentum", lr=0.1, momentum=0.9)
    first = small.stack(small.lanes([*good, bad], folds=1))
    for fraction in (1 / 3, 1.0):  # as the screen looks
        first.advance(fraction, injected(small, first, *steps))
        evidence = small.evidence_of(first)
    events = first.repairs()["bad.f0.s0"]
    assert len(events) == len(steps)
    again = dataclasses.replace(bad, events=events)
    rows = small.rows_of(first)
    for looks in ((1 / 3, 1.0), (0.1, 0.2, 0.5, 0.9, 1.0), (1.0,)):
        second = small.stack(small.lanes([*good, again], folds=1))
        for fraction in looks:
            second.advance(fraction)
            repeated = small.evidence_of(second)
        assert second.repairs() == {}
        assert repeated == evidence
        assert all(small.same(row, rows[name]) for name, row in small.rows_of(second).items())


@pytest.mark.parametrize("rate", [50.0, 1e3, 1e5])
def test_candidate_that_really_diverges_does_so_again_at_the_same_steps(small: ModuleType, rate: float) -> None:
    bad = small.candidate("bad", optimizer="sgd", lr=rate)
    first = small.stack(small.lanes([bad], folds=1))
    first.advance(0.75)
    events = first.repairs()["bad.f0.s0"]
    second = small.stack(small.lanes([dataclasses.replace(bad, events=events)], folds=1))
    second.advance(0.75)
    assert second.repairs() == {}
    assert small.same(second.buffer.values, first.buffer.values)


def test_repairs_are_repeated_where_nothing_diverges_too(small: ModuleType) -> None:
    bad = small.candidate("bad", optimizer="sgd", lr=1e3)
    first = small.stack(small.lanes([bad], folds=1))
    first.advance(1.0)
    (event, *_) = first.repairs()["bad.f0.s0"]
    calm = small.stack(small.lanes([small.candidate("calm", events=(event,))], folds=1))
    at, back = round(event.fraction * small.LENGTH), round(event.restored * small.LENGTH)
    rows = {}

    def note() -> None:
        rows[calm.optimizer.taken] = calm.buffer.values.clone()

    calm.advance(1.0, note)
    assert small.same(rows[at], rows[back])
    assert float(calm.optimizer.state()["rate_factor"][0]) == event.rate_factor


def test_all_repairs_between_two_looks_are_told(small: ModuleType) -> None:
    stack = small.stack(small.lanes([small.candidate("bad", optimizer="sgd")], folds=1), length=200)

    def between() -> None:
        if stack.optimizer.taken in (30, 80):
            stack.buffer.values[0, 0] = float("nan")

    stack.advance(1.0, between)
    (events,) = stack.repairs().values()
    assert [round(event.fraction * 200) for event in events] == [50, 100]
    assert stack.repairs() == {}


def test_stops_between_two_steps_and_can_be_saved(small: ModuleType) -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 17

    own = small.lanes([small.candidate("adam")])
    stack = small.stack(own, stop=stop)
    with pytest.raises(Interrupted, match="stopped on request"):
        stack.advance(1.0)
    assert stack.optimizer.taken == 17
    later = small.stack(own)
    later.restore(*stack.state())
    later.advance(1.0)
    whole = small.stack(own)
    whole.advance(1.0)
    assert small.same(later.buffer.values, whole.buffer.values)


def test_stops_within_a_look_which_is_then_taken_again(small: ModuleType) -> None:
    own = small.lanes([small.candidate("adam"), small.candidate("sgd", optimizer="sgd")])
    asked: list[int] = []
    stack = small.stack(own, stop=lambda: bool(asked))
    stack.advance(1.0)
    asked.append(1)
    with pytest.raises(Interrupted, match="stopped on request"):
        stack.evidence()
    later, whole = small.stack(own), small.stack(own)
    later.restore(*stack.state())
    whole.advance(1.0)
    for found, truth in zip(later.evidence(), whole.evidence(), strict=True):
        assert found.valid.tobytes() == truth.valid.tobytes()
        assert found.train_loss == truth.train_loss


def test_full_batches_of_folds_of_unequal_size(small: ModuleType) -> None:
    own = small.lanes([small.candidate("gd", "linear", "gd", lr=0.5)])
    together = small.stack(own)
    together.advance(1.0)
    for lane in own:
        alone = small.stack([lane])
        alone.advance(1.0)
        assert torch.allclose(small.rows_of(together)[lane.id], small.rows_of(alone)[lane.id], rtol=1e-5, atol=1e-6)


def test_batch_does_not_depend_on_who_trains_beside(small: ModuleType) -> None:
    own = small.lanes([small.candidate("sgd", optimizer="sgd")])
    data = small.data()
    sizes = {small.Stack(lanes, data, length=9, batch_size=500).batch_size for lanes in (own, own[:1], own[1:])}
    assert sizes == {31}


def test_plateaus_and_skipped_updates_resume_to_the_same_bits(
    small: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lanes get a gradient that is not finite at four steps; one leaves the updates out, one is rewound."""
    waits = {"schedule": "plateau", "schedule_patience": 1, "schedule_threshold": 0.5}
    own = small.lanes(
        [
            small.candidate("plateau", optimizer="sgd", **waits),
            small.candidate("skips", optimizer="momentum", skip_nonfinite=1, clip_adaptive=0.05),
            small.candidate("rewound", optimizer="momentum", clip_value=0.1),
        ],
        folds=1,
    )
    whole = small.stack(own)
    rows = {lane.candidate.id: row for row, lane in enumerate(whole.lanes)}
    update = LaneOptimizer.step

    def spoilt(self: LaneOptimizer, losses: torch.Tensor) -> None:
        if self.taken in (9, 10, 11, 40):
            self._buffer.gradients[[rows["skips"], rows["rewound"]], 3] = torch.nan
        update(self, losses)

    monkeypatch.setattr(LaneOptimizer, "step", spoilt)
    saved: list[Any] = []

    def keep() -> None:
        if whole.optimizer.taken in (8, 10, 12, 35):
            saved.append(copy.deepcopy(whole.state()))

    whole.advance(1.0, keep)
    assert list(whole.repairs()) == ["rewound.f0.s0"]
    assert whole.optimizer.state()["steps"][rows["skips"]] == small.LENGTH - 4
    assert float(whole.optimizer.rates(small.LENGTH // 2)[rows["plateau"]]) < 0.2
    assert len(saved) == 4
    for state in saved:
        later = small.stack(own)
        later.restore(*state)
        later.advance(1.0)
        assert small.same(later.buffer.values, whole.buffer.values)
