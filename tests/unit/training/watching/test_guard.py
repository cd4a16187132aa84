"""A lane that turns NaN or infinite is rewound or retired, and no other lane changes a bit."""

import json
import random
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from lanewise.training.watching.guard import CHECK_EVERY, RATE_FACTOR, REPAIRS

SICK = "bad.f0.s0"
LENGTH = 120


def trained(small: ModuleType, injections: dict[int, tuple[int, float]], **bad: float):
    """A stack trained with, at some steps, one number of the sick lane overwritten; repairs of all lanes."""
    own = small.lanes([one for one in small.company(**(bad or {"lr": 0.05})) if one.model == "mlp"])
    stack = small.stack(own, length=LENGTH)
    row = next(row for row, lane in enumerate(stack.lanes) if lane.id == SICK)
    repairs: dict[str, list] = {}

    def between() -> None:
        if stack.optimizer.taken in injections:
            place, value = injections[stack.optimizer.taken]
            stack.buffer.values[row, place % stack.buffer.values.shape[1]] = value

    for fraction in (0.3, 0.7, 1.0):
        stack.advance(fraction, between)
        evidence = small.evidence_of(stack)
        for name, events in stack.repairs().items():
            repairs.setdefault(name, []).extend(events)
    return stack, repairs, evidence


@pytest.fixture(scope="module")
def undisturbed(small: ModuleType) -> tuple[Any, ...]:
    """The lanes as they come to be with no injection: the rows, the repairs and the evidence; not to be changed."""
    stack, repairs, evidence = trained(small, {})
    return small.rows_of(stack), repairs, evidence


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38])
def test_injected_number_is_repaired_and_no_neighbour_notices(
    small: ModuleType, undisturbed: tuple[Any, ...], value: float, seed: int
) -> None:
    draw = random.Random(f"{seed} {value}")
    step, place = draw.randrange(LENGTH), draw.randrange(1000)
    before, nothing, expected = undisturbed
    stack, repairs, evidence = trained(small, {step: (place, value)})
    assert nothing == {}
    after = small.rows_of(stack)
    assert all(small.same(before[name], after[name]) for name in after if name != SICK)
    assert all(evidence[name] == expected[name] for name in evidence if name != SICK)
    if value != 1e38:  # a huge finite number may go either way, but only in its own lane
        assert after[SICK].isfinite().all()
        (event,) = repairs.pop(SICK)
        assert step < round(event.fraction * LENGTH) <= step + CHECK_EVERY
        assert 0 <= round(event.restored * LENGTH) <= step
        assert event.rate_factor == RATE_FACTOR
        assert event.cause == f"diverged by step {round(event.fraction * LENGTH)}"
    assert set(repairs) <= {SICK}


def test_whole_row_of_nan(small: ModuleType, undisturbed: tuple[Any, ...]) -> None:
    stack, repairs, _ = trained(small, dict.fromkeys(range(40, 41), (0, float("nan"))))
    rows = small.rows_of(stack)
    assert len(repairs[SICK]) == 1
    assert all(small.same(undisturbed[0][name], rows[name]) for name in rows if name != SICK)


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_absurd_rate_among_healthy_lanes(small: ModuleType, undisturbed: tuple[Any, ...], rate: float) -> None:
    stack, repairs, evidence = trained(small, {}, lr=rate)
    rows = small.rows_of(stack)
    assert all(small.same(undisturbed[0][name], rows[name]) for name in rows if not name.startswith("bad"))
    assert set(repairs) <= {"bad.f0.s0", "bad.f1.s0"}
    assert SICK not in evidence
    assert stack.lost()[SICK].cause.startswith("diverged by step ")


def test_lane_is_retired_after_its_repairs_and_never_looked_at_again(small: ModuleType) -> None:
    stack, repairs, evidence = trained(small, {step: (3, float("nan")) for step in range(LENGTH)})
    assert len(repairs[SICK]) == REPAIRS
    ((lane, failure),) = stack.lost().items()
    assert lane == SICK
    assert failure.cause == f"diverged by step {round(failure.fraction * LENGTH)}, at the third rate that was tried"
    later = small.stack(stack.lanes, length=LENGTH)
    tensors, rest = stack.state()
    later.restore(tensors, json.loads(json.dumps(rest)))
    assert later.lost() == stack.lost()
    retired = rest["guard"]["retired"]
    retired.update({row: failure.cause for row in retired})  # as checkpoints of old have it
    later.restore(tensors, rest)
    assert later.lost() == {SICK: replace(failure, fraction=0.0)}
    assert SICK not in evidence
    assert len(evidence) == len(stack.lanes) - 1


def test_overflowed_second_moment_is_divergence(small: ModuleType) -> None:
    # The weights stay finite and never move again: 1 / sqrt(inf) is zero.
    stack = small.stack(small.lanes([small.candidate("adam"), small.candidate("bad")]), length=LENGTH)
    stack.advance(0.5)
    state = stack.optimizer.state()
    (moment,) = [name for name in state if "square" in name or "sq" in name]
    row = next(row for row, lane in enumerate(stack.lanes) if lane.id == SICK)
    state[moment][row] = float("inf")
    stack.optimizer.restore(state)
    stack.advance(1.0)
    assert set(stack.repairs()) == {SICK}
    assert stack.optimizer.state()[moment].isfinite().all()


def test_snapshot_of_a_lane_that_is_not_finite_is_kept(small: ModuleType) -> None:
    stack = small.stack(small.lanes([small.candidate("adam"), small.candidate("bad")]), length=LENGTH)
    stack.advance(0.5)
    guard, row = stack.oversight.guard, 0
    before = {name: tensor[row].clone() for name, tensor in guard.snapshot.items()}
    taken = guard.taken[row]
    stack.buffer.values[row, 0] = float("nan")
    guard.remember(stack.buffer, stack.optimizer, stack.average)
    assert guard.taken[row] == taken
    assert all(small.same(guard.snapshot[name][row], kept) for name, kept in before.items())
    assert guard.taken[row + 1] == stack.optimizer.taken
    assert small.same(guard.snapshot["values"][row + 1], stack.buffer.values[row + 1])


def test_rates_multiply(small: ModuleType) -> None:
    stack = small.stack(small.lanes([small.candidate("adam"), small.candidate("bad")]), length=LENGTH)
    stack.advance(0.2)
    for _ in range(REPAIRS):
        stack.buffer.values[1, 0] = float("nan")
        stack.oversight.guard.check(stack.oversight.loss_sum, stack.buffer, stack.optimizer, stack.average)
    factors = stack.optimizer.state()["rate_factor"]
    assert factors[1] == pytest.approx(RATE_FACTOR**REPAIRS)
    assert (torch.cat([factors[:1], factors[2:]]) == 1.0).all()
