"""Adafactor against torch's in float64, and what is the paper's."""

import math

import pytest
import torch
from torch import nn

import lanewise.optim as ours


def weights() -> list[nn.Parameter]:
    """A matrix, a vector, a number, a transposed matrix and a convolution; torch's takes no empty tensor."""
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((4, 3), (5,), (), (4, 2, 3, 2))]
    return [nn.Parameter(one) for one in (*tensors, torch.randn(3, 4, generator=draw, dtype=torch.float64).t())]


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"lr": 0.1}, {"lr": 0.1}),
        ({"lr": 0.8, "weight_decay": 0.3}, {"lr": 0.8, "weight_decay": 0.3}),
        (
            {"lr": 0.1, "decay_rate": 0.6, "clip_threshold": 1.5, "floor": 2.0, "eps": 1e-2},
            {"lr": 0.1, "beta2_decay": -0.6, "d": 1.5, "eps": (1e-2, 2.0)},
        ),
    ],
    ids=["plain", "decay", "settings"],
)
def test_seven_steps_equal_torch(mine: dict[str, float], theirs: dict[str, object], *, maximize: bool) -> None:
    found, expected = weights(), weights()
    one = ours.Adafactor(found, maximize=maximize, **mine)
    other = torch.optim.Adafactor(expected, maximize=maximize, **theirs)  # pyright: ignore[reportArgumentType]  # settings by name
    for step in range(1, 8):
        draw = torch.Generator().manual_seed(step)
        for at, (left, right) in enumerate(zip(found, expected, strict=True)):
            grad = torch.randn(left.shape, generator=draw, dtype=torch.float64)
            grad = grad * torch.linspace(1e-3, 1.0, grad.numel(), dtype=torch.float64).view(grad.shape)
            missing = (at == 2 and step % 2 == 1) or (at == 1 and 3 <= step <= 5)
            left.grad, right.grad = (None, None) if missing else (grad, grad.clone())
        one.step()
        other.step()
    for left, right, first in zip(found, expected, weights(), strict=True):
        assert float((left - right).detach().abs().max()) <= 1e-10 * max(1.0, float(right.detach().abs().max()))
        assert float((right - first).detach().abs().max()) > 1e-3


def test_the_relative_step_falls_once_it_is_below_the_rate() -> None:
    lengths = []
    weight = nn.Parameter(torch.full((4, 4), 2.0, dtype=torch.float64))
    optimizer = ours.Adafactor([weight], lr=0.5)
    for _ in range(9):
        before = weight.detach().clone()
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        lengths.append(float(((before - weight.detach()) / before).mean()))
    assert lengths == pytest.approx([0.5, 0.5, 0.5, 0.5, *(1 / math.sqrt(step) for step in range(5, 10))])


def test_the_state_of_a_matrix_is_a_row_and_a_column() -> None:
    weight = nn.Parameter(torch.ones(30, 20))
    optimizer = ours.Adafactor([weight])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state[weight]
    assert {name: state[name].numel() for name in ("row_square", "column_square", "mean_square")} == {
        "row_square": 30,
        "column_square": 20,
        "mean_square": 0,
    }
