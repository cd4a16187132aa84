"""Draws that no key reaches are told where a race's are, and those of NumPy and Python are keyed as torch's are."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lanewise.errors import UsageError
from lanewise.runs.comparing import verdict
from lanewise.tuning import TuneResult, tune

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(120, 4, generator=DRAW)
Y = (X[:, 0] > 0).long()


def race(make: Any = lambda: nn.Linear(4, 2), **given: Any) -> TuneResult:
    usual: dict[str, Any] = {
        "train": (X[:80], Y[:80]),
        "valid": (X[80:], Y[80:]),
        "loss": nn.CrossEntropyLoss(),
        "candidates": [{"optimizer": "sgd", "lr": lr} for lr in (0.01, 0.1)],
        "budget": "20steps",
        "policy": "never",
    }
    return tune(make, **{**usual, **given})


class Noisy(nn.Module):
    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.inner, self.draw = nn.Linear(4, 2), draw

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(rows + self.draw() if self.training else rows)


@pytest.mark.parametrize("draw", [random.random, lambda: float(np.random.rand())])  # what users write
def test_a_module_that_draws_from_python_or_numpy_is_raced_to_the_same_bits(draw) -> None:
    one, other = race(lambda: Noisy(draw)), race(lambda: Noisy(draw), workers=1)
    assert [own.scores for own in one.race.traces] == [own.scores for own in other.race.traces]
    assert not one.warnings
    assert any("stacked" in words for words in one.plan.words)


def test_a_generator_of_the_modules_own_is_a_warning_of_the_result_and_the_report(tmp_path) -> None:
    own = np.random.default_rng(1)
    found = race(lambda: Noisy(own.random))
    assert "the race cannot be repeated exactly" in found.warnings[0]
    assert found.document["unkeyed"] == [found.warnings[0]]
    assert "cannot be repeated exactly" in found.report(tmp_path / "race.html").read_text()


def test_a_loss_that_draws_is_keyed(monkeypatch) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs + 0.1 * torch.randn(outputs.shape), targets)

    one = race(loss=loss, metric="accuracy")
    torch.manual_seed(9)
    other = race(loss=loss, metric="accuracy", workers=1)
    assert [own.train_losses for own in one.race.traces] == [own.train_losses for own in other.race.traces]
    assert not one.warnings


def test_a_loss_with_a_generator_of_its_own_is_told() -> None:
    class Loss:
        def __init__(self) -> None:
            self.draw = torch.Generator().manual_seed(4)

        def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
            noise = torch.randn(outputs.shape, generator=self.draw)
            return nn.functional.cross_entropy(outputs + 0.1 * noise, targets)

    assert race(loss=Loss(), metric="accuracy").warnings[0].startswith("draw of the loss is a generator of its own")


def test_a_loss_that_keeps_something_is_refused_by_name() -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = 1.0

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            found = nn.functional.cross_entropy(outputs, targets)
            self.mean = 0.9 * self.mean + 0.1 * float(found.detach())
            return found / self.mean

    with pytest.raises(UsageError, match=r"^mean of the loss is left by one training pass for the next"):
        race(loss=Running())


class Rows(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 80

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return X[row] + 0.1 * self.draw(), Y[row]


def test_rows_that_numpy_or_python_draw_are_keyed() -> None:
    given = Rows(lambda: float(np.random.rand()) + random.random())  # what users write
    one, other = race(train=given), race(train=given, workers=1)
    assert [own.scores for own in one.race.traces] == [own.scores for own in other.race.traces]
    assert not one.warnings


def test_rows_that_another_generator_draws_are_told() -> None:
    found = race(train=Rows(np.random.default_rng(2).random))
    assert found.warnings[0].startswith(
        "the rows of train are drawn anew each time, and not from the default generator"
    )


def test_a_repetition_says_that_it_was_not_to_be_promised() -> None:
    known = {"run": "a", "same": False, "differences": ["race"], "unkeyed": "self.noise is a generator of its own"}
    assert verdict(known, lanes=2, sha256="0" * 64) == (
        "not the same as run a: race differs; self.noise is a generator of its own"
    )
    same = verdict({**known, "same": True, "differences": []}, lanes=2, sha256="0" * 64)
    assert same.endswith(", which was not to be promised: self.noise is a generator of its own")
