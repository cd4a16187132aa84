"""The two-loop recursion against the dense BFGS update."""

import pytest
import torch
from torch import Tensor

from lanewise.solvers.curvature import CurvatureMemory, dot, relink
from lanewise.solvers.rows import Rows

LANES, PARAMETERS = 4, 6


def among(rows: Tensor) -> Rows:
    return Rows.of(rows, torch.zeros(1, dtype=torch.float64))


def pairs(count: int) -> tuple[Tensor, Tensor]:
    """Steps ``[count, L, P]`` and the gradient changes of one quadratic per row."""
    draw = torch.Generator().manual_seed(count)
    root = torch.randn(LANES, PARAMETERS, PARAMETERS, generator=draw, dtype=torch.float64)
    hessians = root @ root.transpose(1, 2) + torch.eye(PARAMETERS, dtype=torch.float64)
    steps = torch.randn(count, LANES, PARAMETERS, generator=draw, dtype=torch.float64)
    return steps, (hessians @ steps[..., None]).squeeze(-1)


def dense(steps: Tensor, changes: Tensor) -> Tensor:
    """Inverse Hessian ``[P, P]`` of one row from pairs ``[m, P]``, oldest first."""
    eye = torch.eye(steps.shape[1], dtype=torch.float64)
    if len(steps) == 0:
        return eye
    inverse = eye * (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for step, change in zip(steps, changes, strict=True):
        rho = 1 / (step @ change)
        left = eye - rho * torch.outer(step, change)
        inverse = left @ inverse @ left.T + rho * torch.outer(step, step)
    return inverse


@pytest.mark.parametrize("count", [0, 1, 3, 4, 11])
def test_equals_the_dense_update(count: int) -> None:
    memory = CurvatureMemory.empty(torch.zeros(LANES, PARAMETERS, dtype=torch.float64), memory=4)
    steps, changes = pairs(count)
    rows = torch.arange(LANES)
    for step, change in zip(steps, changes, strict=True):
        memory.push(among(rows), step, change)
    vectors = torch.randn(LANES, PARAMETERS, dtype=torch.float64)
    result = memory.apply(among(rows), vectors)
    for lane in range(LANES):
        expected = dense(steps[-4:, lane], changes[-4:, lane]) @ vectors[lane]
        torch.testing.assert_close(result[lane], expected, rtol=1e-9, atol=1e-12)


def test_rows_keep_rings_of_their_own() -> None:
    memory = CurvatureMemory.empty(torch.zeros(LANES, PARAMETERS, dtype=torch.float64), memory=3)
    steps, changes = pairs(5)
    counts = [0, 1, 5, 2]
    for k in range(5):
        rows = torch.tensor([lane for lane in range(LANES) if counts[lane] > k])
        memory.push(among(rows), steps[k, rows], changes[k, rows])
    assert memory.pushed.tolist() == counts
    vectors = torch.randn(LANES, PARAMETERS, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    result = memory.apply(among(order), vectors[order])
    for place, lane in enumerate(order.tolist()):
        recent = slice(max(0, counts[lane] - 3), counts[lane])
        expected = dense(steps[recent, lane], changes[recent, lane]) @ vectors[lane]
        torch.testing.assert_close(result[place], expected, rtol=1e-9, atol=1e-12)


def test_links_are_those_of_the_pairs() -> None:
    """Kept up to date pair by pair, also where a row is alone, they equal those computed from all pairs."""
    memory = CurvatureMemory.empty(torch.zeros(LANES, PARAMETERS, dtype=torch.float64), memory=3)
    steps, changes = pairs(8)
    for k in range(8):
        for rows in (torch.tensor([0, 2]), torch.tensor([1])):
            memory.push(among(rows), steps[k, rows], changes[k, rows])
    assert memory.pushed.tolist() == [8, 8, 8, 0]
    torch.testing.assert_close(memory.links[:3], relink(memory.pairs, memory.pushed)[:3], rtol=1e-10, atol=1e-12)


def test_pairs_without_positive_curvature_are_left_out() -> None:
    memory = CurvatureMemory.empty(torch.zeros(LANES, PARAMETERS, dtype=torch.float64), memory=3)
    rows = torch.arange(LANES)
    steps = torch.ones(LANES, PARAMETERS, dtype=torch.float64)
    changes = steps.clone()
    changes[1] = -1.0  # concave
    changes[2] = 0.0  # flat
    changes[3, :3] = -1.0 + 1e-17  # orthogonal to the step, within rounding
    memory.push(among(rows), steps, changes)
    assert memory.pushed.tolist() == [1, 0, 0, 0]
    memory.forget(among(rows))
    vectors = torch.randn(LANES, PARAMETERS, dtype=torch.float64)
    assert torch.equal(memory.apply(among(rows), vectors), vectors)


def test_free_coordinates_get_the_inverse_of_their_own_block() -> None:
    memory = CurvatureMemory.empty(torch.zeros(LANES, PARAMETERS, dtype=torch.float64), memory=8)
    steps, changes = pairs(8)
    rows = torch.arange(LANES)
    for step, change in zip(steps, changes, strict=True):
        memory.push(among(rows), step, change)
    free = torch.ones(LANES, PARAMETERS, dtype=torch.bool)
    free[1, [0, 3]] = False
    free[2, 1:] = False
    vectors = torch.randn(LANES, PARAMETERS, dtype=torch.float64) * free
    result = memory.apply(among(rows), vectors, free=free)
    assert (result[~free] == 0).all()
    full = memory.apply(among(rows), vectors)
    assert torch.equal(result[[0, 3]], full[[0, 3]])
    for lane in (1, 2):
        inner = free[lane]
        within = [k for k in range(8) if dot(steps[k, lane, inner], changes[k, lane, inner]) > 0]
        block = dense(steps[within][:, lane][:, inner], changes[within][:, lane][:, inner])
        torch.testing.assert_close(result[lane, inner], block @ vectors[lane, inner], rtol=1e-8, atol=1e-10)
