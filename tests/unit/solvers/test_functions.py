"""Functions over rows: batching, first and second derivatives, differences."""

import pytest
import torch
from torch import Tensor

from lanewise.solvers.functions import PlainFunction, TorchFunction


def wavy(x: Tensor) -> Tensor:
    return torch.stack((x[0].sin() * x[1], x[1].exp() - x[2] * x[0], x.prod(), x.square().sum()))


POINTS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_torch_function_is_batched_and_exact() -> None:
    function = TorchFunction(single=wavy)
    values, jacobians = function.jacobians(POINTS)
    assert function.batched is True
    for row, point in enumerate(POINTS):
        torch.testing.assert_close(values[row], wavy(point))
        torch.testing.assert_close(jacobians[row], torch.func.jacrev(wavy)(point))
    pulled = function.linearize(POINTS)[1](torch.ones_like(values))
    torch.testing.assert_close(pulled, jacobians.sum(1))


@pytest.mark.parametrize("outputs", [1, 3, 4])
def test_jacobians_by_rows_and_by_columns(outputs: int) -> None:
    function = TorchFunction(single=lambda x: wavy(x)[:outputs])
    expected = torch.stack([torch.func.jacrev(wavy)(point)[:outputs] for point in POINTS])
    torch.testing.assert_close(function.jacobians(POINTS)[1], expected)


@pytest.mark.parametrize("exact", [True, False])
def test_second_derivatives(exact: bool) -> None:
    if exact:
        function, tolerance = TorchFunction(single=wavy), 1e-10
    else:
        function, tolerance = PlainFunction(single=wavy), 1e-4
    weights = torch.linspace(-1, 2, 20, dtype=torch.float64).reshape(5, 4)
    multiply = function.second(POINTS, weights)
    vectors = torch.ones_like(POINTS).cumsum(1)
    found = multiply(vectors)
    for row, point in enumerate(POINTS):
        hessian = torch.autograd.functional.hessian(lambda x, w=weights[row]: (wavy(x) * w).sum(), point)
        torch.testing.assert_close(found[row], hessian @ vectors[row], rtol=tolerance, atol=tolerance)


def test_what_vmap_cannot_batch_is_evaluated_row_by_row() -> None:
    def branching(x: Tensor) -> Tensor:
        return (x.square().sum() if x[0] > 0 else x.abs().sum())[None]

    function = TorchFunction(single=branching)
    values, pull = function.linearize(POINTS)
    assert function.batched is False
    gradients = pull(torch.ones_like(values))
    for row, point in enumerate(POINTS):
        assert torch.equal(values[row], branching(point))
        torch.testing.assert_close(gradients[row], 2 * point if point[0] > 0 else point.sign())


def test_what_vmap_batches_wrongly_is_evaluated_row_by_row() -> None:
    """A function that looks at the shape of more than its point: here through a hidden counter."""
    calls = [0]

    def counting(x: Tensor) -> Tensor:
        calls[0] += 1
        return x.square().sum()[None] + (1.0 if calls[0] > 3 else 0.0)

    function = TorchFunction(single=counting)
    function.values(POINTS)
    assert function.batched is False


def test_a_constant_has_no_slope() -> None:
    function = TorchFunction(single=lambda x: torch.ones(2, dtype=torch.float64))
    values, jacobians = function.jacobians(POINTS)
    assert values.shape == (5, 2)
    assert (jacobians == 0).all()


def test_differences_stay_within_bounds() -> None:
    low, high = torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 1e-7], dtype=torch.float64)

    def root(x: Tensor) -> Tensor:
        assert bool((x >= low).all() and (x <= high).all()), x
        return (x[0].exp() + 3 * x[1])[None]

    function = PlainFunction(single=root, low=low, high=high)
    points = torch.tensor([[0.0, 0.0], [1.0, 1e-7], [0.5, 5e-8]], dtype=torch.float64)
    found = function.jacobians(points)[1]
    torch.testing.assert_close(found[:, 0, 0], points[:, 0].exp(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found[:, 0, 1], torch.full((3,), 3.0).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("at_once", [1, 40, 1 << 20])
def test_differences_are_those_of_the_formula_however_many_points_are_made_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanewise.solvers.functions.AT_ONCE", at_once)
    asked: list[Tensor] = []

    def single(x: Tensor) -> Tensor:
        asked.append(x.clone())
        return wavy(x)

    jacobians = PlainFunction(single=single).jacobians(POINTS)[1]
    step = torch.finfo(torch.float64).eps ** (1 / 3) * POINTS.abs().clamp_min(1.0)
    values, expected = torch.stack([wavy(point) for point in POINTS]), list(POINTS)
    for place in range(3):
        moved = [POINTS.clone(), POINTS.clone()]
        moved[0][:, place] += step[:, place]
        moved[1][:, place] -= step[:, place]
        a, b = ((one - POINTS)[:, place, None] for one in moved)
        first, second = (torch.stack([wavy(point) for point in one]) - values for one in moved)
        assert torch.equal(jacobians[:, :, place], (first * (b / a) - second * (a / b)) / (b - a))
        expected += [*moved[0], *moved[1]]
    assert torch.equal(torch.stack(asked), torch.stack(expected))
