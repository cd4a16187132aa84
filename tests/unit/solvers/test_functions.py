"""How a user's function is read, batched and differentiated."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.form import Form
from lanewise.solvers.functions import PlainFunction, Reading, TorchFunction, read_function


def reading(fun, x0, *, scalar: bool = True, **settings) -> Reading:
    form, start = Form.of(x0)
    return read_function(fun, form, start, scalar=scalar, name="fun", **settings)


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


def test_how_functions_are_read() -> None:
    autograd, differences = "derivatives by autograd", "derivatives by central differences"
    assert reading(lambda x: x.square().sum(), torch.ones(2)).words == autograd
    assert reading(lambda x: x[0] ** 2 + x[1] * 3, [1.0, 2.0]).words == autograd
    assert reading(lambda x: np.sin(x).sum(), [1.0, 2.0]).words == differences
    # Methods that only tensors have, on numbers that came as a list.
    assert reading(lambda x: x[0].sin() * x[1].exp(), [1.0, 2.0]).words == autograd
    # A part of the function that autograd does not see must not be lost.
    assert reading(lambda x: x[0] ** 2 + math.sin(x[1]), [1.0, 2.0]).words == differences
    assert reading(lambda x: x.detach().square().sum(), torch.ones(2)).words == differences
    assert reading(lambda x: (x**2).sum(), [1.0, 2.0], jac=lambda x: 2 * x).words == "derivatives by the given jac"


def test_arrays_get_arrays() -> None:
    seen = []

    def plain(point):
        seen.append(type(point["a"]))
        return float(np.sum(np.asarray(point["a"]) ** 2))

    found = reading(plain, {"a": [1.0, 2.0]})
    seen.clear()
    found.function.values(torch.ones(1, 2, dtype=torch.float64))
    assert seen == [np.ndarray]


def test_wrong_results_are_told() -> None:
    with pytest.raises(UsageError, match=r"fun must return one number, got the shape \[2\]; .* residuals=True"):
        reading(lambda x: x, torch.ones(2))
    with pytest.raises(UsageError, match="fun must return a number, got None"):
        reading(lambda x: None, [1.0])
    with pytest.raises(UsageError, match="fun must be a function, got 3"):
        reading(3, [1.0])
    with pytest.raises(UsageError, match=r"real numbers, got torch.complex"):
        reading(lambda x: (x * 1j).sum(), torch.ones(2))


def test_a_wrong_jac_is_told() -> None:
    with pytest.raises(UsageError, match=r"jac disagrees with differences .* entry 1 is 5 where differences give 4"):
        reading(lambda x: (x**2).sum(), [1.0, 2.0], jac=lambda x: np.array([2.0, 5.0]))
    with pytest.raises(UsageError, match=r"the result of jac must have the shape of x0, \[2\]; got \[3\]"):
        reading(lambda x: (x**2).sum(), [1.0, 2.0], jac=lambda x: np.zeros(3))
    with pytest.raises(UsageError, match=r"jac must return \[residuals, 2\], got the shape \[2\]"):
        reading(lambda x: x, [1.0, 2.0], scalar=False, jac=lambda x: np.zeros(2))
    with pytest.raises(UsageError, match="one row per residual, 2; got 3"):
        reading(lambda x: x, [1.0, 2.0], scalar=False, jac=lambda x: np.zeros((3, 2)))


def test_errors_of_the_function_are_its_own() -> None:
    def failing(x: Tensor) -> Tensor:
        message = "mine"
        raise KeyError(message)

    with pytest.raises(KeyError, match="mine"):
        reading(failing, torch.ones(2))
    with pytest.raises(KeyError, match="mine"):
        reading(failing, [1.0])
