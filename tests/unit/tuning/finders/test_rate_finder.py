"""``lanewise.find_rate`` on problems whose answer is known."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lanewise
from lanewise.errors import TrainingError, UsageError
from lanewise.tuning import RateFinding, find_rate, tune


def bowl(rows: int = 48, columns: int = 4) -> tuple[Tensor, Tensor]:
    """Least squares of unequal curvatures."""
    draw = torch.Generator().manual_seed(3)
    X = torch.randn(rows, columns, generator=draw) * torch.tensor([2.0, 1.0, 0.7, 0.3])
    return X, X @ torch.tensor([[1.0], [-2.0], [0.5], [1.5]])


def linear() -> nn.Module:
    return nn.Linear(4, 1, bias=False)


X, y = bowl()
CURVATURE = float(torch.linalg.eigvalsh(2 / len(X) * X.T @ X).max())


@pytest.fixture(scope="module")
def found() -> RateFinding:
    return find_rate(linear, train=(X, y), loss=nn.MSELoss(), optimizer="sgd", batch_size=len(X), low=1e-4)


def test_the_edge_of_gradient_descent_is_two_over_the_curvature(found) -> None:
    """All rows in each batch: this is gradient descent, which is stable below 2 / L and nowhere above."""
    step = (10 / 1e-4) ** (1 / 63)
    assert len(found.curve.rates) == 64
    assert 2 / CURVATURE / step <= found.edge <= 2 / CURVATURE * step
    assert found.suggested <= found.edge / 2


def test_a_loss_of_the_curve_is_that_of_a_plain_loop(found) -> None:
    place = 35
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = linear()
    weight = model.weight
    average = weight.detach().clone()
    for step in range(1, found.steps + 1):
        (gradient,) = torch.autograd.grad(nn.functional.mse_loss(model(X), y), weight)
        with torch.no_grad():
            weight -= found.curve.rates[place] * gradient
            average.lerp_(weight, 1 / (0.2 * step + 1))  # what a race judges at a constant rate
    loss = float((X @ average.T - y).square().mean())
    assert found.curve.losses[place] == pytest.approx(loss, rel=1e-3)
    assert found.curve.start == pytest.approx(float((X @ start_of().T - y).square().mean()), rel=1e-5)


def start_of() -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return linear().weight.detach()


def test_it_is_public_and_says_what_it_found(found, tmp_path) -> None:
    assert lanewise.find_rate is find_rate
    assert found.words[0].startswith("sgd: train with a rate of ")
    assert found.words[-1] == "after 100 steps of 48 rows at a constant rate, judged on 48 rows that it trains on"
    assert f"{found.suggested:.2g}" in repr(found)
    table = found.table
    assert table.columns == ["optimizer", "rate", "loss", "standard_error"]
    assert len(table) == 64
    assert table["loss"].null_count() == sum(map(math.isnan, found.curve.losses))
    page = found.report(tmp_path / "rates.html").read_text()
    assert "stable edge" in page
    assert "suggested" in page
    assert "http" not in page.replace("http-equiv", "")
    assert found._repr_html_().startswith("<iframe")
    document = json.loads(json.dumps(found.document, allow_nan=False))
    assert document["curves"][0]["suggested"] == found.suggested


def moons(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    label = (torch.arange(rows) % 2).long()
    angle = math.pi * torch.rand(rows, generator=draw)
    side = 1.0 - 2.0 * label
    points = torch.stack([angle.cos() + label, side * angle.sin() + 0.5 * label], 1)
    return points + 0.25 * torch.randn(rows, 2, generator=draw), label


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_the_suggestion_trains_as_well_as_the_best_rate_at_four_times_the_steps(optimizer) -> None:
    train, valid = moons(512, 0), moons(400, 1)
    given = {"train": train, "valid": valid, "loss": nn.CrossEntropyLoss(), "batch_size": 32}
    found = find_rate(network, optimizer=optimizer, rates=33, low=1e-5, steps=60, **given)
    assert found.rows == 400
    rates = [found.suggested, *found.curve.rates[::2]]
    entrants = [{"optimizer": optimizer, "lr": rate, "schedule": "constant"} for rate in rates]
    raced = tune(network, candidates=entrants, budget="240steps", policy="never", **given)
    assert raced.selection.standing(raced.plan.candidates[0].id).tied


def test_several_optimizers_at_once_and_their_settings() -> None:
    wanted = ["sgd", {"optimizer": "adamw", "weight_decay": 0.1}]
    found = find_rate(linear, train=(X, y), loss=nn.MSELoss(), optimizer=wanted, rates=9, steps=40, low=1e-4)
    assert {curve.optimizer for curve in found.curves} == {"sgd", "adamw"}
    assert found.curves[0].least <= found.curves[1].least
    assert found.suggested == found.curves[0].suggested
    starts = [curve.start for curve in found.curves]
    assert starts[0] == starts[1]
    alone = find_rate(linear, train=(X, y), loss=nn.MSELoss(), optimizer=wanted[1], rates=9, steps=40, low=1e-4)
    both = next(curve for curve in found.curves if curve.optimizer == "adamw")
    np.testing.assert_allclose(both.losses, alone.curve.losses, rtol=1e-4)


def test_a_batch_size_among_the_settings_is_that_of_the_start_too() -> None:
    given = {"train": (X, y), "loss": nn.MSELoss(), "rates": 4, "steps": 30, "low": 1e-4, "high": 0.1}
    one = find_rate(linear, optimizer={"optimizer": "sgd", "batch_size": 24}, **given)
    other = find_rate(linear, optimizer="sgd", batch_size=24, **given)
    assert one.batch_size == 24
    assert one.curve == other.curve


def test_an_optimizer_that_learns_nothing_stands_last(tmp_path) -> None:
    """Inputs a thousand times too large: every plain step is far too long, and Adam's is not."""
    grid = {"rates": 3, "low": 1e-3, "high": 0.1, "steps": 40}
    found = find_rate(linear, train=(1e3 * X, y), loss=nn.MSELoss(), optimizer=["sgd", "adam"], **grid)
    assert [curve.optimizer for curve in found.curves] == ["adam", "sgd"]
    assert found.curves[1].suggested is None
    assert "no rate from 0.001 to 0.1 got better than the start" in found.words[1]
    assert "diverged" in found.report(tmp_path / "rates.html").read_text()


MISTAKES = [
    ({"rates": 1}, "rates must be at least 2, got 1"),
    ({"low": 1.0, "high": 0.1}, "low and high must be rates above zero, low below high, got low=1 and high=0.1"),
    ({"low": 0.0}, "low and high must be rates above zero"),
    ({"margin": 0.5}, "margin must be at least 1, got 0.5"),
    ({"optimizer": []}, "optimizer is empty; name at least one"),
    ({"optimizer": {"optimizer": "sgd", "lr": 0.1}}, "the rates are what is looked for; leave lr out of"),
    ({"optimizer": "sdg"}, "there is no optimizer 'sdg'"),
    ({"steps": 5}, "steps must be at least 20, got 5"),
    ({"rates": 2.5}, "rates must be a whole number, at least 2, got 2.5"),
]


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_mistakes_are_told_before_anything_is_trained(given, words) -> None:
    with pytest.raises(UsageError, match=words):
        find_rate(linear, train=(X, y), loss=nn.MSELoss(), **given)


def test_all_mistakes_in_the_settings_are_told_at_once() -> None:
    given = {"rates": 1, "low": 0.0, "steps": 5, "margin": 0.5, "optimizer": ["sdg", "adan"], "workers": 0}
    with pytest.raises(UsageError) as caught:
        find_rate(nn.Linear(3, 1), train=(X, y), device="tpu", batch_size=0, **given)
    heading, *lines = str(caught.value).split("\n  ")
    begins = ("rates", "low and high", "steps", "margin", "make_model", "give either loss", "there is no optimizer 's")
    ends = ("there is no optimizer 'ad", "batch_size", "workers", "device")
    assert heading == "11 settings are off:"
    assert all(any(line.startswith(own) for line in lines) for own in (*begins, *ends))


def test_who_watches_is_told_of_rates_only() -> None:
    seen = []
    find_rate(linear, train=(X, y), loss=nn.MSELoss(), rates=5, low=1e-4, high=30.0, steps=40, watch=seen.append)
    assert max(pulse.lanes for pulse in seen) == 5
    assert max(pulse.candidates for pulse in seen) == 5
    assert not [pulse.leader for pulse in seen if pulse.leader.endswith("sgd, lr 0")]
    with pytest.raises(TrainingError):
        find_rate(
            linear, train=(X, y), loss=nn.MSELoss(), optimizer="sgd", rates=3, low=1e3, high=1e5, steps=20,
            watch=seen.append,
        )  # fmt: skip
    assert seen[-1].leader == "without training: no rate is better yet"


def test_a_range_in_which_nothing_learns_is_told() -> None:
    with pytest.raises(TrainingError, match="at no rate from 1000 to 100000 did 20 steps make the loss better; 3 of 3"):
        find_rate(linear, train=(X, y), loss=nn.MSELoss(), optimizer="sgd", rates=3, low=1e3, high=1e5, steps=20)


def test_a_loader_of_rows_and_batches_that_are_read_once_give_the_same_curve() -> None:
    asked = {
        "loss": nn.MSELoss(),
        "optimizer": "sgd",
        "rates": 4,
        "low": 1e-3,
        "high": 1.0,
        "steps": 20,
        "device": "cpu",
    }
    pair = find_rate(linear, train=(X, y), batch_size=16, **asked)
    batches = zip(X.split(16), y.split(16), strict=True)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=16)
    for train in (loader, (own for own in batches)):
        again = find_rate(linear, train=train, **asked)
        assert again.batch_size == 16
        assert again.curve == pair.curve
