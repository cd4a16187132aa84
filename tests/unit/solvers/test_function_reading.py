"""How a user's function is read."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.form import Form
from lanewise.solvers.function_reading import Reading, read_function


def reading(fun, x0, *, scalar: bool = True, **settings) -> Reading:
    form, start = Form.of(x0)
    return read_function(fun, form, start, scalar=scalar, name="fun", **settings)


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


def test_data_in_float32_is_told() -> None:
    data = torch.ones(2)  # float32
    assert reading(lambda x: (data * x[0]).sum() ** 2, torch.ones(2)).words == (
        "derivatives by autograd, in float32: convert its data"
    )
    with pytest.raises(UsageError, match=r"fun fails on a float64 point .* convert the data that it uses with .double"):
        reading(lambda x: (torch.ones(3, 2) @ x).sum(), torch.ones(2))


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
