"""What a tuning race says beside its winner: the score to expect, and what costs less."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.tuning import TuneResult, tune


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 4, generator=draw)
    return X, X[:, :1] * X[:, 1:2] + 0.3 * torch.randn(count, 1, generator=draw)


def network(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))


SIZES = [{"lr": 0.02, "width": width} for width in (8, 1, 2, 16, 32)]


def race(**settings: Any) -> TuneResult:
    usual: dict[str, Any] = {
        "train": rows(200, 0), "valid": rows(100, 1), "loss": nn.MSELoss(), "candidates": SIZES, "policy": "never",
        "budget": "200steps", "workers": 1,
    }  # fmt: skip
    return tune(network, **(usual | settings))


@pytest.fixture(scope="module")
def found() -> TuneResult:
    return race()


def test_the_front_has_the_best_and_the_smallest_and_nobody_is_dominated(found) -> None:
    assert found.pareto[0].score == min(standing.score for standing in found.selection.standings)
    small = [one for one in found.pareto if "weights" in one.cheap_in]
    assert {one.weights for one in small} >= {7}  # 4 + 1 + 1 + 1 of a width of 1
    by_size = sorted(small, key=lambda one: one.weights)
    assert [one.score for one in by_size] == sorted((one.score for one in by_size), reverse=True)
    assert all(one.weights == 6 * one.candidate.settings["width"] + 1 for one in found.pareto)
    assert all(one.seconds > 0 and one.standard_error >= 0 for one in found.pareto)


def test_the_report_shows_it_where_sizes_differ(found, tmp_path) -> None:
    page = found.report(tmp_path / "race.html").read_text()
    assert "Quality against cost" in page
    assert "beside the winner for less" in page
    assert "Pareto fronts of score against weights" in page
    same = race(candidates=[{"lr": 0.02}, {"lr": 0.01}, {"lr": 1e-5}], budget="40steps")
    assert "Quality against cost" not in same.report(tmp_path / "same.html").read_text()


def test_the_score_is_corrected_for_the_choice() -> None:
    """Of many candidates that are equally good, the best looks better than it is."""
    draw = torch.Generator().manual_seed(0)
    X, y = torch.randn(120, 8, generator=draw), torch.randn(120, 1, generator=draw)  # nothing to learn
    many = [{"optimizer": "sgd", "lr": 0.001 * place} for place in range(1, 31)]
    found = tune(
        lambda: nn.Linear(8, 1), train=(X[:40], y[:40]), valid=(X[40:], y[40:]), loss=nn.MSELoss(), candidates=many,
        policy="never", budget="100steps", workers=1,
    )  # fmt: skip
    assert found.corrected.naive == pytest.approx(found.score)
    assert found.corrected.low < found.corrected.value < found.corrected.high
    assert found.corrected.value >= found.corrected.naive
    assert any(
        words.startswith("Corrected for having been picked") and words.endswith(").")
        for words in found.document["summary"]
    )
    shown = found.document["corrected"]["loss"]
    assert shown["value"] == found.corrected.value
    assert any("corrected for having been picked of 30" in words for words in found.words)


def test_one_candidate_was_not_picked() -> None:
    found = race(candidates=SIZES[:1], budget="20steps")
    assert not any("corrected" in words for words in found.words)
    assert np.isfinite(found.corrected.value)
    assert len(found.pareto) == 1
