"""What a step of the user's own is given to be judged by."""

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.training.objective import StepObjective

X = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))


def slope(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """As physics-informed networks are trained: by a derivative at the inputs."""
    inputs = batch[0].detach().clone().requires_grad_()
    outputs = model(inputs)
    (found,) = torch.autograd.grad(outputs, inputs, torch.ones_like(outputs), create_graph=True)
    return (found - batch[1]).pow(2).mean()


def test_a_step_that_asks_for_gradients_of_its_inputs_judges_rows() -> None:
    objective, model = StepObjective(slope), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with torch.no_grad():
        found = objective.losses(model, (X, X))
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.stack([slope(model, (X[[at]], X[[at]])) for at in range(5)]).detach())


def test_a_step_that_fails_with_gradients_as_well_is_refused_and_not_asked_for_any_later() -> None:
    asked = []

    def failing(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        asked.append(torch.is_grad_enabled())
        if len(asked) < 3:
            message = "not yet"
            raise ValueError(message)
        return model(batch[0]).squeeze(1)

    objective, model = StepObjective(failing), nn.Linear(2, 1)
    with torch.no_grad():
        with pytest.raises(UsageError, match="not yet"):
            objective.losses(model, (X, X))
        objective.losses(model, (X, X))
    assert asked == [False, True, False]
