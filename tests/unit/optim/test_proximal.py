"""Proximal maps against their definition, and what they must do as maps."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.projections import l2_ball
from lanewise.optim.proximal import L1, ElasticNet, GroupL1, Penalty, SquaredL2, Within

PENALTIES: dict[str, Penalty] = {
    "l1": L1(0.7),
    "group l1": GroupL1(0.9, torch.tensor([0, 1, 1, 0])),
    "squared l2": SquaredL2(1.3),
    "elastic net": ElasticNet(0.6, 0.8),
    "within": Within(partial(l2_ball, radius=2.0)),
}
rows = hnp.arrays(np.float64, (3, 4), elements=st.floats(-5, 5, width=64)).map(torch.from_numpy)
steps = st.floats(0.01, 3.0)


@pytest.mark.parametrize("name", PENALTIES)
@given(points=rows, others=rows, step=steps)
@settings(max_examples=25, deadline=None)
def test_no_point_is_better(name: str, points: Tensor, others: Tensor, step: float) -> None:
    penalty = PENALTIES[name]

    def cost(z: Tensor) -> Tensor:
        return step * penalty.value(z) + (z - points).square().sum(1) / 2

    found = penalty.prox(points, step)
    near = found + 1e-3 * (others - found)
    for other in (others, near, points, torch.zeros_like(points)):
        assert (cost(found) <= cost(other) + 1e-9).all()


@pytest.mark.parametrize("name", PENALTIES)
@given(points=rows, others=rows, step=steps)
@settings(max_examples=25, deadline=None)
def test_firmly_nonexpansive(name: str, points: Tensor, others: Tensor, step: float) -> None:
    penalty = PENALTIES[name]
    apart = penalty.prox(points, step) - penalty.prox(others, step)
    assert (apart.square().sum(1) <= (apart * (points - others)).sum(1) + 1e-9).all()


@pytest.mark.parametrize("name", ["l1", "squared l2", "elastic net"])
def test_by_brute_force(name: str) -> None:
    penalty = PENALTIES[name]
    line = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    for point in (-3.1, -0.2, 0.0, 0.4, 2.7):
        cost = 0.8 * penalty.value(line[:, None]) + (line - point).square() / 2
        found = penalty.prox(torch.tensor([[point]], dtype=torch.float64), 0.8)
        assert found.item() == pytest.approx(line[cost.argmin()].item(), abs=2e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_rows_have_steps_of_their_own(name: str) -> None:
    penalty = PENALTIES[name]
    points = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = torch.tensor([0.1, 1.0, 2.0], dtype=torch.float64)
    found = penalty.prox(points, own)
    for row in range(3):
        torch.testing.assert_close(found[row], penalty.prox(points[row : row + 1], float(own[row]))[0])


def test_separable_penalties_take_a_step_per_entry() -> None:
    points = torch.tensor([[2.0, 2.0]])
    assert L1(1.0).prox(points, torch.tensor([[0.5, 1.5]])).tolist() == [[1.5, 0.5]]
    with pytest.raises(UsageError, match="GroupL1 is not separable: its step must be one number per row"):
        GroupL1(1.0, torch.tensor([0, 0])).prox(points, torch.tensor([[0.5, 1.5]]))


def test_zero_is_exact() -> None:
    points = torch.tensor([[0.3, -0.3, 5.0]])
    assert L1(0.5).prox(points, 1.0)[0, :2].tolist() == [0.0, 0.0]
    assert GroupL1(9.0, torch.tensor([0, 0, 1])).prox(points, 1.0).tolist() == [[0.0, 0.0, 0.0]]


def test_within_is_infinite_outside() -> None:
    values = Within(partial(l2_ball, radius=1.0)).value(torch.tensor([[0.6, 0.8], [1.0, 1.0], [0.0, 0.0]]))
    assert values.tolist() == [0.0, torch.inf, 0.0]


@pytest.mark.parametrize("build", [lambda: L1(-1), lambda: SquaredL2(-1), lambda: ElasticNet(l1=-1, l2=0)])
def test_negative_weights_are_refused(build) -> None:
    with pytest.raises(UsageError, match="must be zero or more, got -1"):
        build()


def test_groups_must_number_every_entry() -> None:
    with pytest.raises(UsageError, match=r"groups must number each of the 3 entries of a row, got \[2\]"):
        GroupL1(1.0, torch.tensor([0, 1])).prox(torch.ones(1, 3), 1.0)
