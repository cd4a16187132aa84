"""The geometry of the L1 penalty, by its definitions."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lanewise.solvers.orthant import align, free, orthant, penalty, project, pseudo_gradient

COORDINATE = st.sampled_from([0.0, -0.0, 1.5, -2.0, 0.3])
TRIPLES = st.lists(st.tuples(COORDINATE, st.floats(-3, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=6)


def columns(triples: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    points, gradients, weights = torch.tensor(triples, dtype=torch.float64).T[:, None]
    return points, gradients, weights


@settings(deadline=None)
@given(TRIPLES)
def test_the_pseudo_gradient_is_the_smallest_subgradient(triples: list[tuple[float, float, float]]) -> None:
    points, gradients, weights = columns(triples)
    ends = torch.stack((gradients - weights, gradients + weights))
    nearest = torch.where(ends[0] > 0, ends[0], torch.where(ends[1] < 0, ends[1], 0.0))
    expected = torch.where(points == 0, nearest, gradients + weights * points.sign())
    torch.testing.assert_close(pseudo_gradient(points, gradients, weights), expected, rtol=0, atol=1e-15)


@settings(deadline=None)
@given(TRIPLES, st.floats(1e-3, 10))
def test_a_projected_step_stays_in_the_orthant(triples: list[tuple[float, float, float]], step: float) -> None:
    points, gradients, weights = columns(triples)
    descents = -pseudo_gradient(points, gradients, weights)
    signs = orthant(points, descents, weights)
    assert (signs[weights == 0] == 0).all()
    directions = align(torch.ones_like(points) * 1.7, points, descents, weights)
    moved = project(points + step * directions, signs)
    crossed = (moved * points < 0) & (weights > 0)
    assert not crossed.any()
    left_zero = (points == 0) & (moved != 0) & (weights > 0)
    assert (moved * descents > 0)[left_zero].all()
    fixed = ~free(points, descents, weights)
    assert (moved == 0)[fixed].all()


def test_the_penalty_counts_weighted_sizes() -> None:
    points = torch.tensor([[1.0, -2.0, 4.0], [0.0, 3.0, 1.0]])
    weights = torch.tensor([[1.0, 0.5, 0.0], [2.0, 2.0, 2.0]])
    assert penalty(points, weights).tolist() == [2.0, 8.0]
