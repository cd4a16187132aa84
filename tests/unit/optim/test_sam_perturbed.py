import copy

import pytest
import torch
from torch import nn

from lanewise import optim
from lanewise.errors import UsageError


def loss_of(model: nn.Module) -> torch.Tensor:
    return model(torch.ones(4, 3)).square().sum()


def test_the_second_gradient_inside_the_block_makes_the_step_of_the_closure() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    other = copy.deepcopy(model)
    optimizer, expected = (optim.SAM(one.parameters(), lr=0.01, base=optim.AdamW, rho=0.3) for one in (model, other))

    def closure() -> torch.Tensor:
        expected.zero_grad()
        loss = loss_of(other)
        loss.backward()
        return loss

    for _ in range(3):
        expected.step(closure)
        optimizer.zero_grad()
        loss_of(model).backward()
        with optimizer.perturbed():
            loss_of(model).backward()
        optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


def test_each_step_wants_a_second_gradient_of_its_own() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = optim.SAM([weight], lr=0.1, base=optim.SGD)
    weight.square().sum().backward()
    with optimizer.perturbed():
        weight.square().sum().backward()
    optimizer.step()
    with pytest.raises(UsageError, match="SAM needs step"):
        optimizer.step()


def test_after_an_error_the_weights_are_back_and_no_step_is_allowed() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = optim.SAM([weight], lr=0.1, base=optim.SGD)
    weight.square().sum().backward()

    def fail() -> None:
        with optimizer.perturbed():
            assert weight.item() > 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert weight.item() == 1
    with pytest.raises(UsageError, match="SAM needs step"):
        optimizer.step()


def test_a_base_with_a_rho_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match="SAM does not go around Adadelta, which has a setting rho of its own"):
        optim.SAM([nn.Parameter(torch.ones(1))], lr=0.1, base=optim.Adadelta)


def test_an_error_names_whose_setting_it_is():
    weights = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(UsageError, match=r"^SAM: rho must be"):
        optim.SAM(weights, lr=0.1, base=optim.AdamW, rho=-1.0)
    with pytest.raises(UsageError, match=r"^AdamW: eps must be"):
        optim.SAM(weights, lr=0.1, base=optim.AdamW, eps=-1.0)
