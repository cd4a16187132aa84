"""Modules of a user's own as lanes on a GPU: stacked as alone, and as on the processor."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lanewise
from lanewise.errors import UsageError

RATES = [{"optimizer": "adamw", "lr": lr, "batch_size": 16} for lr in (1e-4, 1e-3, 1e-2)]


def rows(shape: tuple[int, ...] = (6,), classes: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    X = torch.randn(160, *shape, generator=draw)
    return X, (X.flatten(1) @ torch.randn(X[0].numel(), classes, generator=draw)).argmax(1)


class Own(nn.Module):
    """Dropout and a normalization in a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.nn.functional.dropout(self.norm(self.first(x)).relu(), 0.2, self.training)
        return self.last(hidden)


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "chain": (lambda: nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 3)), (6,)),
    "plain chain": (lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)), (6,)),
    "own": (Own, (6,)),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
        (1, 8, 8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_race_is_that_of_the_processor(name: str) -> None:
    make, shape = MODELS[name]
    data = rows(shape)
    found = {
        device: lanewise.tune(
            lambda: make().double(),
            train=data,
            valid=0.25,
            loss=nn.CrossEntropyLoss(),
            candidates=RATES,
            budget="60steps",
            device=device,
            workers=1,
        )
        for device in ("cpu", "cuda")
    }
    there, here = found["cuda"], found["cpu"]
    assert there.settings == here.settings
    assert there.score == pytest.approx(here.score, abs=1e-8)
    assert all(weight.device.type == "cpu" for weight in there.model.state_dict().values())
    for weight, other in zip(there.model.state_dict().values(), here.model.state_dict().values(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-7, atol=1e-7)
    assert there.document["hardware"]["device"] == torch.cuda.get_device_name(0)
    assert any("stacked" in words for words in there.words), there.words


def test_rows_that_lie_on_the_gpu_already(device: torch.device) -> None:
    X, y = rows()
    make, _ = MODELS["plain chain"]
    settings: dict[str, Any] = {"loss": nn.CrossEntropyLoss(), "candidates": RATES, "budget": "40steps"}
    found = lanewise.tune(make, train=(X.to(device), y.to(device)), valid=0.25, device="cuda", **settings)
    again = lanewise.tune(make, train=(X, y), valid=0.25, device=device, **settings)
    assert found.score == again.score
    with pytest.raises(UsageError, match=r"give device='cuda:0'"):
        lanewise.tune(make, train=(X.to(device), y.to(device)), valid=0.25, **settings)


def test_a_loader_and_a_step_of_ones_own() -> None:
    X, y = rows()
    found = lanewise.tune(
        MODELS["plain chain"][0],
        train=DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True),
        valid=rows(),
        step=lambda model, batch: torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none"),
        candidates=RATES,
        budget="40steps",
        device="cuda",
    )
    assert found.score < 1.2


def test_a_budget_of_time_and_folds() -> None:
    found = lanewise.tune(
        MODELS["plain chain"][0],
        train=rows(),
        folds=2,
        loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 1.0])),
        candidates=RATES,
        budget="4s",
        device="cuda",
    )
    assert found.steps >= 20
    assert found.score < 1.2


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"device cuda:99 is not there: there is cuda:0 \("):
        lanewise.tune(
            MODELS["own"][0], train=rows(), valid=0.25, loss=nn.CrossEntropyLoss(), budget="40steps", device="cuda:99"
        )


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "auto"])
@pytest.mark.parametrize("name", ["chain", "own", "convolutions"])
def test_a_race_in_a_lower_precision_comes_to_about_the_same_scores(name: str, precision: Any) -> None:
    make, shape = MODELS[name]
    found = {
        own: lanewise.tune(
            make,
            train=rows(shape),
            valid=0.25,
            loss=nn.CrossEntropyLoss(),
            candidates=RATES,
            budget="60steps",
            policy="never",
            device="cuda",
            precision=own,
        )
        for own in ("float32", precision)
    }
    scores = [{own.lane.id: own.scores[-1] for own in result.race.traces} for result in found.values()]
    assert scores[0] == pytest.approx(scores[1], rel=0.1)
    assert any("stacked" in words for words in found[precision].words)
