"""Lanes of the rest of the rules that torch has as well are what plain loops with its optimizers make of them."""

from collections.abc import Iterator, Mapping

import pytest
import torch
from lane_cases import STRUCTURE, Value, check_every_regularizer
from plain_loop import OTHERS_OF_TORCH

LENGTH = 24

CASES: Mapping[str, Mapping[str, Value]] = {
    "dampened_momentum": {"lr": 0.05, "momentum": 0.8, "dampening": 0.6},
    "rmsprop_momentum": {"lr": 0.01, "alpha": 0.95, "momentum": 0.7, "eps": 1e-4},
    "centred_rmsprop": {"lr": 0.01, "alpha": 0.95, "eps": 1e-4},
    "centred_rmsprop_momentum": {"lr": 0.01, "alpha": 0.95, "momentum": 0.7, "eps": 1e-4},
    "adagrad": {"lr": 0.1, "lr_decay": 0.02, "initial_accumulator_value": 0.1, "eps": 1e-6},
    "adadelta": {"lr": 2.0, "rho": 0.8, "eps": 1e-4},
    "amsgrad": {"lr": 0.02, "beta1": 0.9, "beta2": 0.9, "eps": 1e-6},
    "amsgradw": {"lr": 0.03, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6},
    "adamax": {"lr": 0.02, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6},
    "nadam": {"lr": 0.02, "beta1": 0.8, "beta2": 0.99, "momentum_decay": 0.01, "eps": 1e-6},
    "nadamw": {"lr": 0.02, "beta1": 0.8, "beta2": 0.99, "momentum_decay": 0.01, "eps": 1e-6},
    "radam": {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
    "radamw": {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
}


@pytest.fixture
def numbers_in_float64() -> Iterator[None]:
    """NAdam of torch keeps the product of its momenta in the default type, which rounds at 1e-9."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("numbers_in_float64")
@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("model", STRUCTURE)
def test_rule_with_every_regularizer(model: str, rule: str) -> None:
    check_every_regularizer(model, rule, refused=("l1",), length=LENGTH, usual=CASES[rule])


def test_every_optimizer_has_a_case() -> None:
    assert set(CASES) == set(OTHERS_OF_TORCH)
