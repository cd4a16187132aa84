"""The plateau schedule as a function of losses, and in a stack of lanes."""

import pytest
import torch

from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.schedules import plateau

LAYOUT = BufferLayout.of([Parameter(name="weight", shape=(2,), fan_in=2)])


def test_each_lane_has_a_history_and_settings_of_its_own() -> None:
    losses = torch.tensor([[4.0, 4.0, 4.0], [3.0, 4.0, 4.0], [2.0, 4.0, 4.0], [1.0, 4.0, 4.0]])
    factors = plateau(losses, gamma=torch.tensor([0.1, 0.1, 0.5]), patience=torch.tensor([1, 1, 0]))
    assert factors.tolist() == [1.0, pytest.approx(0.1), 0.125]
    for lane, (gamma, patience) in enumerate([(0.1, 1), (0.1, 1), (0.5, 0)]):
        assert plateau(losses[:, lane], gamma=gamma, patience=patience).item() == pytest.approx(factors[lane].item())


def test_under_a_negative_best_a_rise_is_not_taken_for_better() -> None:
    """torch's relative threshold, -1 (1 - 0.1), would take -0.95 for an improvement for ever."""
    rising = torch.tensor([-1.0, -0.95, -0.95])
    assert plateau(rising, gamma=0.5, patience=1, threshold=0.1).item() == 0.5
    assert plateau(-1 - torch.arange(5.0), gamma=0.5, patience=0, threshold=0.1).item() == 1.0


def test_it_never_goes_below_the_least() -> None:
    assert plateau(torch.ones(9), gamma=0.1, patience=0, least=0.03).item() == 0.03


def stack(*settings: dict[str, float | str]) -> tuple[LaneBuffer, LaneOptimizer]:
    lanes = [
        Lane(candidate=Candidate(id=f"c{i}", model="linear", optimizer="sgd", settings=one), fold=0, seed=0)
        for i, one in enumerate(settings)
    ]
    buffer = LaneBuffer(LAYOUT, torch.ones(len(lanes), 2, dtype=torch.float64))
    return buffer, LaneOptimizer(Roster.of(lanes), buffer, length=400)


WAITS: dict[str, float | str] = {"lr": 1.0, "schedule": "plateau", "schedule_patience": 2, "schedule_gamma": 0.5}


def test_lanes_lower_their_rates_each_by_its_own_losses() -> None:
    _, optimizer = stack(WAITS, {"lr": 1.0, "schedule": "constant"}, WAITS)
    for step in range(24):  # windows of 4 steps; the noise within one is averaged
        noise = 1.0 if step % 2 else -1.0
        optimizer.step(torch.tensor([10.0 - step / 4, 5.0, 5.0]) + noise)
    assert optimizer.rates(24).tolist() == [1.0, 1.0, 0.5]


def test_the_history_is_state_and_survives_the_loss_of_a_neighbour() -> None:
    _, whole = stack(WAITS, WAITS)
    buffer, parts = stack(WAITS, WAITS)
    for step in range(21):
        losses = torch.tensor([10.0 - step, 5.0])
        whole.step(losses)
        parts.step(losses)
    held = parts.state()
    assert all(bool(tensor.isfinite().all()) for tensor in held.values())
    buffer, fresh = stack(WAITS, WAITS)
    fresh.restore(held)
    fresh.taken = parts.taken
    buffer.keep(torch.tensor([1]))
    fresh.keep(
        [1],
        Roster.of(
            [Lane(candidate=Candidate(id="c1", model="linear", optimizer="sgd", settings=WAITS), fold=0, seed=0)]
        ),
        buffer,
    )
    for _ in range(10):
        whole.step(torch.tensor([1.0, 5.0]))
        fresh.step(torch.tensor([5.0]))
    assert fresh.rates(31).tolist() == whole.rates(31)[1:].tolist() == [0.25]
