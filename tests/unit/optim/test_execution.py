import numpy as np
import pytest
import torch

from lanewise.errors import UsageError
from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.execution import LaneOptimizer, soft_threshold
from lanewise.optim.registry import RULES

LAYOUT = BufferLayout.of(
    [
        Parameter(name="weight", shape=(3,), fan_in=3),
        Parameter(name="bias", shape=(1,), fan_in=3, penalised=False),
    ]
)


def stack(
    *settings: dict[str, float | str], optimizer: str = "sgd", length: int = 10
) -> tuple[LaneBuffer, LaneOptimizer]:
    lanes = [
        Lane(candidate=Candidate(id=f"c{i}", model="linear", optimizer=optimizer, settings=one), fold=0, seed=0)
        for i, one in enumerate(settings)
    ]
    buffer = LaneBuffer(LAYOUT, torch.ones(len(lanes), 4, dtype=torch.float64))
    return buffer, LaneOptimizer(Roster.of(lanes), buffer, length=length)


def test_clipping_is_per_lane() -> None:
    buffer, optimizer = stack(
        {"lr": 1.0, "clip_norm": 1.0, "schedule": "constant"}, {"lr": 1.0, "schedule": "constant"}
    )
    buffer.gradients.copy_(torch.tensor([[3.0, 4.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0]]))
    optimizer.step()
    assert torch.allclose(buffer.values[0], torch.tensor([0.4, 0.2, 1.0, 1.0], dtype=torch.float64))
    assert buffer.values[1].tolist() == [-2.0, -3.0, 1.0, 1.0]


def test_l2_reaches_weights_and_not_biases() -> None:
    buffer, optimizer = stack({"lr": 0.5, "l2": 0.2, "schedule": "constant"})
    optimizer.step()
    assert torch.allclose(buffer.values[0], torch.tensor([0.9, 0.9, 0.9, 1.0], dtype=torch.float64))


def test_l1_makes_weights_exactly_zero() -> None:
    buffer, optimizer = stack({"lr": 0.5, "l1": 4.0, "schedule": "constant"})
    optimizer.step()
    assert buffer.values[0].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_averages_of_weights_that_l1_holds_at_zero_are_zero() -> None:
    averages = torch.ones(2, 4, dtype=torch.float64)
    for penalty, kept in ((4.0, [0.0, 0.0, 0.0, 1.0]), (0.0, [1.0, 1.0, 1.0, 1.0])):
        buffer, optimizer = stack({"lr": 0.5, "l1": penalty, "schedule": "constant"})
        optimizer.step()
        buffer.values[0, :3] = 0.0
        assert optimizer.sparse(averages[: len(buffer)])[0].tolist() == kept
    assert averages.tolist() == torch.ones(2, 4).tolist()


STILL = {"sgld", "centred_rmsprop_momentum"}
"""Rules that come to rest nowhere: one draws noise, the other divides by a spread that vanishes at rest."""

NEAR = {
    "adagrad": {"lr": 0.8},
    "ademamix": {"lr": 0.04, "beta3": 0.99},
    "radam": {"lr": 0.1},
    "radamw": {"lr": 0.1},
    "adadelta": {"lr": 8.0},
}
"""Settings by which 400 steps suffice; a rate of at least .04 does for the others."""


@pytest.mark.parametrize("rule", [name for name, own in RULES.items() if own.proximal and name not in STILL])
def test_weights_rest_where_the_loss_and_l1_together_are_least(rule: str) -> None:
    """``(w - c)^2 / 2 + l1 |w|`` is least at ``sign(c) max(|c| - l1, 0)``, whatever memory a rule has of gradients."""
    rate = next(hyper.default for hyper in RULES[rule].hypers if hyper.name == "lr")
    own = {"lr": max(rate, 0.04), "weight_decay": 0.0, "l1": 0.3, "schedule": "linear", **NEAR.get(rule, {})}
    buffer, optimizer = stack(own, optimizer=rule, length=400)
    least = torch.tensor([1.0, 0.2, -1.0, 0.3], dtype=torch.float64)
    buffer.values.fill_(0.5)
    for _ in range(400):
        buffer.gradients.copy_(buffer.values - least)
        optimizer.step()
    np.testing.assert_allclose(buffer.values[0], [0.7, 0.0, -0.7, 0.3], atol=0.02)
    assert buffer.values[0, 1] == 0.0


@pytest.mark.parametrize(
    "rule", ["lion", "rprop", "muon", "soap", "shampoo", "adafactor", "schedule_free_sgd", "schedule_free_adamw"]
)
def test_l1_is_refused_where_a_weight_has_no_rate_of_its_own(rule: str) -> None:
    with pytest.raises(UsageError, match=f"l1 must be 0 with {rule}, got 0.01: .*; take a weight_decay or l2 with it"):
        stack({"l1": 0.01}, optimizer=rule)
    stack({"l1": 0.0}, optimizer=rule)


def test_soft_threshold_shrinks_towards_zero() -> None:
    weights = torch.tensor([[2.0, -0.5, 0.1]])
    soft_threshold(weights, torch.tensor([[0.5]]), torch.tensor([[1.0]]))
    assert weights.tolist() == [[1.5, 0.0, 0.0]]


def test_a_slowed_lane_keeps_its_factor_when_others_go() -> None:
    buffer, optimizer = stack({"lr": 1.0, "schedule": "constant"}, {"lr": 1.0, "schedule": "constant"})
    optimizer.slow(1, 0.25)
    buffer.keep(torch.tensor([1]))
    optimizer.keep(
        [1],
        Roster.of(
            [
                Lane(
                    candidate=Candidate(
                        id="c1", model="linear", optimizer="sgd", settings={"lr": 1.0, "schedule": "constant"}
                    ),
                    fold=0,
                    seed=0,
                )
            ]
        ),
        buffer,
    )
    buffer.gradients.fill_(1.0)
    optimizer.step()
    assert buffer.values[0].tolist() == [0.75] * 4


def test_state_round_trip_goes_on_bit_for_bit() -> None:
    pair = [stack({"lr": 0.1}, {"lr": 0.3}, optimizer="adam") for _ in range(2)]
    for buffer, optimizer in pair:
        for step in range(3):
            buffer.gradients.copy_(buffer.values * (step + 1))
            optimizer.step()
    (first, one), (second, two) = pair
    two.restore(one.state())
    for buffer, optimizer in pair:
        buffer.gradients.copy_(buffer.values)
        optimizer.step()
    assert torch.equal(first.values, second.values)


@pytest.mark.parametrize("name", ["adamw", "ademamix"])
def test_decay_within_a_fused_kernel_is_that_before_the_update(name: str) -> None:
    """adamw has such a kernel, ademamix none; with an unpenalised weight the decay is applied apart."""
    found = []
    draw = torch.randn(2, 5001, generator=torch.Generator().manual_seed(0))
    for penalised in (True, False):
        layout = BufferLayout.of(
            [
                Parameter(name="weight", shape=(5000,), fan_in=1),
                Parameter(name="last", shape=(1,), fan_in=1, penalised=penalised),
            ]
        )
        lanes = [
            Lane(
                candidate=Candidate(
                    id=str(decay), model="m", optimizer=name, settings={"lr": 0.1, "weight_decay": decay}
                ),
                fold=0,
                seed=0,
            )
            for decay in (0.0, 0.5)
        ]
        buffer = LaneBuffer(layout, torch.ones(2, 5001))
        optimizer = LaneOptimizer(Roster.of(lanes), buffer, length=10)
        for step in range(3):
            buffer.gradients.copy_(draw + step)
            optimizer.step()
        found.append(buffer.values[:, :5000])
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found[0][0], found[0][1])
