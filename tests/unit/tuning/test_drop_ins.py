"""What a race hands over does in a loop of one's own what the lane did."""

import pytest
import torch
from torch import nn

from lanewise.lanes.candidate import Event
from lanewise.tuning import tune
from lanewise.tuning.drop_ins import DROP_INS, RACED, drop_in, steady_rate
from lanewise.tuning.proposing import listed

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
STEPS = 20


def test_the_usual_optimizers_are_offered() -> None:
    assert {"sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "lion", "muon"} <= set(RACED)
    assert "gd" not in RACED
    assert set(RACED) <= set(DROP_INS)


@pytest.mark.parametrize("name", RACED)
def test_the_lane_and_the_drop_in_take_the_same_steps(name: str) -> None:
    # One batch of all rows in whatever order: what is left is the optimizer and its schedule.
    def make() -> nn.Module:
        return nn.Linear(3, 1).double()

    found = tune(
        make,
        train=(X, Y),
        valid=(X, Y),
        loss=nn.functional.mse_loss,
        # A schedule that ends: a lane whose rate stays up is judged by averages of its weights.
        candidates=[{"optimizer": name, "lr": 0.01, "batch_size": 64, "schedule": "linear"}],
        budget=f"{STEPS}steps",
    )
    torch.manual_seed(0)
    module = make()
    optimizer = drop_in(found.winner, module.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, found.schedule)
    for _ in range(found.steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(X), Y)
        loss.backward()
        optimizer.step(lambda loss=loss: loss.item())
        schedule.step()
    getattr(optimizer, "eval", lambda: None)()  # Schedule-Free is judged by other weights than it trains
    for one, other in zip(module.parameters(), found.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_winner_that_was_slowed_down_is_handed_over_at_the_lower_rate() -> None:
    (candidate,) = listed([{"optimizer": "adamw", "lr": 0.5, "betas": (0.8, 0.9)}], model="m", batch_size=8)
    event = Event(fraction=0.5, restored=0.4, rate_factor=0.3, cause="diverged by step 10")
    slowed = candidate.repaired(event, id="again").repaired(event, id="and again")
    assert steady_rate(slowed) == pytest.approx(0.045)
    group = drop_in(slowed, [nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert group["lr"] == pytest.approx(0.045)
    assert group["betas"] == (0.8, 0.9)
