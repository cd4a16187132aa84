"""A race whose winner has learned nothing says so."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.tuning import TuneResult, tune
from lanewise.tuning.answer import learned
from lanewise.tuning.checking import judge_of
from lanewise.tuning.tune import asked

draw = torch.Generator().manual_seed(0)
X = torch.randn(400, 3, generator=draw)
NOISE = (torch.rand(400, generator=draw) < 0.3).long()
SIGNAL = (X[:, 0] > 0.5).long()
WITHOUT = "of the module without training; train longer"
ALIKE = "of the best outputs that are the same for all; train longer"


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def own_loss(outputs: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(outputs, y)


def raced(y: Tensor, **settings: Any) -> TuneResult:
    usual = {"loss": nn.CrossEntropyLoss(), "valid": 0.5, "candidates": [{"lr": 0.05}], "budget": "60steps"}
    return tune(linear, train=(X, y), **{**usual, **settings})


def hopeless(found: TuneResult) -> str:
    assert found.warnings == tuple(found.document["warnings"])
    return next((words for words in found.warnings if words.startswith("little was learned")), "")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"metric": "accuracy"},
        {"valid": None, "folds": 3},
        {"loss": F.cross_entropy, "seeds": 2},
        {"loss": own_loss},
        {"loss": None, "step": lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])},
    ],
)
def test_what_is_learned_is_not_warned_of(settings) -> None:
    assert not hopeless(raced(SIGNAL, **settings))


@pytest.mark.parametrize(
    "settings", [{}, {"metric": "accuracy"}, {"valid": None, "folds": 3}, {"loss": F.cross_entropy}]
)
def test_shares_of_classes_alone_are_told(settings) -> None:
    """Better than at the start, for the classes are not equally frequent, and no better than knowing just that."""
    found = raced(NOISE, candidates=[{"lr": 0.02}], **settings)
    assert ALIKE in hopeless(found)
    assert any("little was learned" in line for line in repr(found).splitlines())


def test_the_best_answer_for_all_rows_is_found_for_a_regression() -> None:
    y = 5.0 + torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    given = {"train": (X, y), "valid": 0.5, "budget": "300steps", "candidates": [{"optimizer": "sgd", "lr": 0.05}]}
    for loss in (nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), F.smooth_l1_loss):
        found = tune(lambda: nn.Linear(3, 1), loss=loss, **given)
        words = hopeless(found)
        assert ALIKE in words
        best = float(words.split("better than the ")[1].split(" of ")[0])
        trained = torch.tensor(found.race.confirmed[0].predictions[:, 0]).isnan()
        train, held = y[trained], y[~trained]
        middle = train.mean() if isinstance(loss, nn.MSELoss) else train.median()
        assert best == pytest.approx(float(loss(middle.expand(held.shape), held)), rel=0.03)


@pytest.mark.parametrize(
    "learning",
    [
        {"loss": own_loss},
        {"loss": None, "step": lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])},
        {"loss": nn.CrossEntropyLoss(), "metric": "accuracy"},
    ],
)
def test_standing_still_is_told_whatever_it_learns_by(learning) -> None:
    assert WITHOUT in hopeless(raced(SIGNAL, candidates=[{"optimizer": "sgd", "lr": 1e-9}], **learning))


def test_a_loss_without_a_least_value_is_compared_with_the_start_only() -> None:
    """Of numbers that are no logarithms of probabilities this one is as low as one likes."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 2), nn.LogSoftmax(1))

    found = tune(make, train=(X, SIGNAL), valid=0.5, loss=nn.NLLLoss(), candidates=[{"lr": 0.05}], budget="60steps")
    assert not hopeless(found)


def test_so_many_outputs_that_a_sample_would_fill_the_memory_are_compared_with_the_start_only(monkeypatch) -> None:
    monkeypatch.setattr(learned, "ELEMENTS", 2 * learned.FEWEST - 1)
    monkeypatch.setattr(learned, "_same_for_all", lambda *given: pytest.fail("it was fitted"))
    assert not hopeless(raced(SIGNAL))


def test_the_best_answer_does_not_depend_on_the_unit_of_the_targets() -> None:
    y = 5.0 + torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    for unit in (1e-6, 1.0, 1e6):
        teams = asked(
            lambda: nn.Linear(3, 1), train=(X, unit * y), valid=0.5, loss=nn.L1Loss(), candidates=[{"lr": 0.1}],
            budget="20steps",
        ).teams  # fmt: skip
        (data,) = teams.data.folds.values()
        scores = learned._same_for_all(torch.zeros(len(data.valid), 1), data, teams.loss, judge_of(None))
        middle, held = data.targets(data.train).median(), data.targets(data.valid)
        assert scores.mean() == pytest.approx(float((middle - held).abs().mean()), rel=0.03)
