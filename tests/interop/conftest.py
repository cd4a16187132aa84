"""A small regression, and the plain PyTorch loop that every framework must equal."""

import sys
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

Batches = Sequence[tuple[Tensor, Tensor]]
EPOCHS = 3


def forget_accelerate() -> None:
    state = sys.modules.get("accelerate.state")
    if state is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()


@pytest.fixture(autouse=True)
def unshared_accelerate() -> Iterator[None]:
    """Accelerate, and the Trainer by it, keep their state for the whole process: each test begins without one.

    What came before may also be a block of the documentation.
    """
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def batches() -> Batches:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 3, generator=generator)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.randn(40, 1, generator=generator)
    return list(zip(inputs.split(8), targets.split(8), strict=True))


@pytest.fixture
def network() -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    return make


@pytest.fixture
def plain_loop(batches: Batches) -> Callable[..., list[Tensor]]:
    """Train a model for three epochs, the schedule stepped after every update; returns the weights."""

    def run(
        model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: LRScheduler | None = None, epochs: int = EPOCHS
    ) -> list[Tensor]:
        for _ in range(epochs):
            for inputs, targets in batches:

                def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(model(inputs), targets)
                    loss.backward()
                    return loss

                optimizer.step(closure)
                if scheduler is not None:
                    scheduler.step()
        return weights_of(model)

    return run


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.fixture
def assert_same_weights() -> Callable[[nn.Module, Sequence[Tensor]], None]:
    def check(model: nn.Module, expected: Sequence[Tensor]) -> None:
        for own, other in zip(model.parameters(), expected, strict=True):
            assert torch.equal(own, other)

    return check
