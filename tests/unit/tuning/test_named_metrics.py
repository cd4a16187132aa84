"""Metrics of all rows together: what scikit-learn says of the winner's outputs, and errors by drawing rows again."""

import pickle  # noqa: TID251  # what users do to a result
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sklearn import metrics as reference
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

from lanewise.errors import DataError, Interrupted, UsageError
from lanewise.metrics import METRICS
from lanewise.metrics.metric import over_trainings
from lanewise.runs.comparing import differences
from lanewise.search.halving import Halving
from lanewise.tuning import TuneResult, tune
from lanewise.tuning.named_metrics import NAMES

ROWS, HELD = 360, slice(240, 360)
draw = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 4, generator=draw)
NUMBERS = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * torch.randn(ROWS, generator=draw)
TWO = (NUMBERS > 0.8).long()
THREE = torch.bucketize(NUMBERS, torch.tensor([-0.5, 0.8]))
LOGIT, NUMBER = TWO.float()[:, None], NUMBERS[:, None]

Score = Callable[[Tensor, Tensor], Any]
RATES = [{"optimizer": "adamw", "lr": 1e-3}, {"optimizer": "adamw", "lr": 0.03}, {"optimizer": "adamw", "lr": 0.01}]


def network(outputs: int, *last: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs), *last)


def race(make_model: Callable[[], nn.Module], y: Tensor, loss: Any, metric: Any, **settings: Any) -> TuneResult:
    usual: dict[str, Any] = {
        "train": (X[:240], y[:240]), "valid": (X[HELD], y[HELD]), "candidates": RATES, "budget": "40steps",
        "policy": "never", "workers": 1,
    }  # fmt: skip
    return tune(make_model, loss=loss, metric=metric, **{**usual, **settings})


def outputs_of(found: TuneResult) -> Tensor:
    with torch.no_grad():
        return found.model(X[HELD]).double()


def chance(logits: Tensor) -> Tensor:
    return logits.reshape(-1).sigmoid()


def error(score: Score) -> Score:
    return lambda y, out: score(y, out.reshape(-1))


CROSS, BINARY, SQUARES = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.MSELoss()
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, Any, str, Score]] = {
    "two scores": (network(2), TWO, CROSS, "roc_auc", lambda y, out: reference.roc_auc_score(y, out.softmax(1)[:, 1])),
    "a logit": (
        network(1), LOGIT, BINARY, "average_precision",
        lambda y, out: reference.average_precision_score(y, chance(out)),
    ),
    "one number a row": (
        network(1, nn.Flatten(0)), LOGIT[:, 0], BINARY, "F1", lambda y, out: reference.f1_score(y, chance(out) >= 0.5),
    ),
    "a probability": (
        network(1, nn.Sigmoid()), LOGIT, nn.BCELoss(), "f1", lambda y, out: reference.f1_score(y, out[:, 0] >= 0.5),
    ),
    "logarithms": (
        network(3, nn.LogSoftmax(1)), THREE, nn.NLLLoss(), "log_loss",
        lambda y, out: reference.log_loss(y, out.exp() / out.exp().sum(1, keepdim=True)),
    ),
    "balanced": (
        network(3), THREE, CROSS, "balanced_accuracy",
        lambda y, out: reference.balanced_accuracy_score(y, out.argmax(1)),
    ),
    "three classes": (
        network(3), THREE, CROSS, "auc",
        lambda y, out: reference.roc_auc_score(y, out.softmax(1), multi_class="ovr", average="macro"),
    ),
    "macro": (
        network(3), THREE, CROSS, "f1_macro", lambda y, out: reference.f1_score(y, out.argmax(1), average="macro"),
    ),
    "r2": (network(1), NUMBER, SQUARES, "r2", error(reference.r2_score)),
    "rmse": (network(1), NUMBER, SQUARES, "rmse", error(reference.root_mean_squared_error)),
    "median": (network(1, nn.Flatten(0)), NUMBERS, SQUARES, "median_ae", error(reference.median_absolute_error)),
}  # fmt: skip


@pytest.mark.parametrize(("make_model", "y", "loss", "metric", "score"), CASES.values(), ids=CASES)
def test_the_score_is_that_of_scikit_learn(
    make_model: Callable[[], nn.Module], y: Tensor, loss: Any, metric: str, score: Score
) -> None:
    found = race(make_model, y, loss, metric, candidates=RATES[:2], budget="20steps")
    assert found.score == pytest.approx(score(y[HELD].reshape(-1).double(), outputs_of(found)), abs=1e-6)
    standings = found.selection.standings
    best = min if found.metric.direction == "min" else max
    assert standings[0].score == best(own.score for own in standings)
    assert f"validation {found.metric.name} of" in found.words[0]


def area(y: np.ndarray, p: np.ndarray) -> float:
    """Of the ROC curve, by the sum of ranks (Mann and Whitney)."""
    positive = y == 1
    count, pairs = positive.sum(), positive.sum() * (~positive).sum()
    return float((rankdata(p)[positive].sum() - count * (count + 1) / 2) / pairs)


@pytest.mark.parametrize(("case", "score"), [("two scores", area), ("r2", reference.r2_score)])
def test_errors_are_those_of_rows_drawn_again(case: str, score: Callable[[np.ndarray, np.ndarray], float]) -> None:
    make_model, y, loss, metric, _ = CASES[case]
    found, target = race(make_model, y, loss, metric, seeds=1), y[HELD].reshape(-1).double().numpy()
    own, default = (
        next(item.predictions[HELD, -1] for item in found.race.confirmed if item.candidate.id == name)
        for name in (found.winner.id, found.plan.candidates[0].id)
    )
    generator, gaps = np.random.default_rng(1), []
    for _ in range(1000):
        rows = generator.integers(0, len(target), len(target))
        gaps.append(score(target[rows], own[rows]) - score(target[rows], default[rows]))
    behind = found.selection.standing(found.plan.candidates[0].id).behind_winner
    assert behind.mean == pytest.approx(score(target, own) - score(target, default), abs=1e-12)
    # Two standard deviations of 1,000 draws differ by 3% in one case of three.
    assert behind.standard_error == pytest.approx(np.std(gaps, ddof=1), rel=0.1)


@pytest.mark.parametrize("case", ["two scores", "r2"])
def test_several_seeds_count_by_the_mean_of_their_scores(case: str) -> None:
    make_model, y, loss, metric, score = CASES[case]
    found = race(make_model, y, loss, metric, candidates=RATES[:2], seeds=(0, 3))
    target = y[HELD].reshape(-1).double()
    best = dict(found.settings)
    alone = [race(make_model, y, loss, metric, candidates=[best], seeds=(seed,)) for seed in (0, 3)]
    assert found.score == pytest.approx(np.mean([score(target, outputs_of(own)) for own in alone]), abs=1e-6)
    (row,) = (own for own in found.document["race"]["leaderboard"] if own["id"] == found.winner.id)
    assert row["low"] < found.score < row["high"]


def test_folds_are_scored_together() -> None:
    found = race(network(2), TWO, CROSS, "roc_auc", train=(X, TWO), valid=None, folds=3)
    own = next(item for item in found.race.confirmed if item.candidate.id == found.winner.id)
    assert found.score == pytest.approx(reference.roc_auc_score(TWO, own.predictions[:, 1]), abs=1e-12)
    assert "trained once more on all 360 rows" in found.words[-1]


class Named(nn.Module):
    """Takes its inputs by name, and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network(1)()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(x)}


def test_outputs_with_logits_and_rows_that_are_loaded_as_they_are_needed() -> None:
    def of_logits(outputs: Any, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs["logits"], y)

    def collated(rows: list[tuple[Tensor]]) -> dict[str, Tensor]:
        places = torch.stack([own for (own,) in rows])
        return {"x": X[places], "labels": LOGIT[places]}

    table = [{"x": X[rows], "labels": LOGIT[rows]} for rows in (slice(240), HELD)]
    plain = tune(Named, train=table[0], valid=table[1], loss=of_logits, metric="roc_auc", candidates=RATES,
                 budget="40steps")  # fmt: skip
    loaders = [
        DataLoader(Subset(TensorDataset(torch.arange(ROWS)), rows), batch_size=16, collate_fn=collated)
        for rows in (range(240), range(240, 360))
    ]
    loaded = tune(Named, train=loaders[0], valid=loaders[1], loss=of_logits, metric="roc_auc", candidates=RATES,
                  budget="40steps")  # fmt: skip
    with torch.no_grad():
        wanted = reference.roc_auc_score(TWO[HELD], plain.model(X[HELD])["logits"])
    assert plain.score == pytest.approx(wanted, abs=1e-6)
    assert loaded.score == plain.score


def test_a_race_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def once(home: str, watch: Any = None) -> TuneResult:
        asked = {"seeds": 2, "folds": 2, "home": tmp_path / home, "name": "mine", "watch": watch}
        asked |= {"policy": Halving(survivors=1), "budget": "20steps"}
        return race(network(2), TWO, CROSS, "pr_auc", train=(X, TWO), valid=None, **asked)

    def kill(pulse: Any) -> None:
        looks.append(pulse.phase)
        if looks.count("confirm") == 3:
            raise Interrupted

    looks: list[str] = []
    whole, again = once("whole"), once("again")
    assert list(differences(again.document, whole.document)) == []
    with pytest.raises(Interrupted):
        once("killed", kill)
    assert looks[0] == "screen"
    assert list(differences(once("killed").document, whole.document)) == []


def test_single_rows_are_raced_where_the_metric_has_a_number_for_each() -> None:
    def of_rows(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y, reduction="none")

    by_name, by_rows = (
        race(network(3), THREE, CROSS, metric, policy="racing", candidates=[*RATES, {"lr": 1e-6}])
        for metric in ("log_loss", (of_rows, "min"))
    )
    assert "were behind the best by more than chance allows" in by_name.race.rungs[0]
    assert by_name.race.rungs == by_rows.race.rungs
    assert by_name.score == pytest.approx(by_rows.score, abs=1e-6)
    with pytest.raises(
        UsageError, match=r"^policy racing compares .* roc_auc is a score of all .*: accuracy, log_loss,"
    ):
        race(network(2), TWO, CROSS, "roc_auc", policy="racing")


def test_workers_that_train_apart_are_compared_by_the_metric() -> None:
    candidates = [{"optimizer": "sgd", "lr": 0.1}, {"optimizer": "sgd", "lr": 0.1, "average_every": 8}]
    found = race(network(1), LOGIT, BINARY, "roc_auc", candidates=candidates, seeds=2)
    apart, together = (
        next(own.score for own in found.selection.standings if (own.id == found.averaged[0].id) == is_apart)
        for is_apart in (True, False)
    )
    assert found.averaged[0].difference == pytest.approx(apart - together, abs=1e-12)
    assert 0 < found.averaged[0].standard_error < 0.1


def test_who_learned_nothing_is_told_by_the_metric() -> None:
    noise = torch.randint(0, 2, (ROWS,), generator=torch.Generator().manual_seed(5))
    (warning,) = race(network(2), noise, CROSS, "roc_auc", candidates=RATES[:1]).warnings
    assert warning.startswith("little was learned: the winner's roc_auc of 0.")
    assert not race(network(2), TWO, CROSS, "roc_auc", candidates=RATES[1:2]).warnings


def test_a_lead_far_below_the_error_of_the_score_is_nothing_worth_having() -> None:
    found = race(network(1), NUMBER, SQUARES, "r2", candidates=[{"lr": 0.01}, {"lr": 0.0100003}], budget="20steps")
    assert any("No difference worth having" in own for own in found.words)
    other = race(network(1), NUMBER, SQUARES, "r2", candidates=[{"lr": 0.001}, {"lr": 0.03}])
    assert not any("No difference worth having" in own for own in other.words)


def test_probabilities_that_were_taken_for_logits_are_told() -> None:
    def of_ones_own(outputs: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy(outputs, y)

    found = race(network(1, nn.Sigmoid()), LOGIT, of_ones_own, "f1")
    assert any("took the outputs for logits, and they are between 0 and 1" in own for own in found.warnings)
    for loss, metric in ((of_ones_own, "roc_auc"), (F.binary_cross_entropy, "f1")):
        assert not any("took" in own for own in race(network(1, nn.Sigmoid()), LOGIT, loss, metric).warnings)


REFUSED: dict[str, tuple[int, Tensor, Any, Any, str]] = {
    "no such": (2, TWO, CROSS, "auroc2", r"^metric must be one of accuracy, .* roc_auc, .*, or a pair .* got 'auroc2'"),
    "counts": (1, NUMBER, SQUARES, "poisson_deviance", r"^metric must be one of .* got 'poisson_deviance'"),
    "three of two": (3, THREE, CROSS, "f1", r"^f1 is for two classes, got outputs \(16, 3\) .*f1_macro"),
    "outputs": (3, NUMBERS, lambda out, y: (out.mean(1) - y).pow(2), "r2", r"^r2 is of outputs \(16,\) .* \(16, 3\)"),
    "numbers": (1, NUMBER, SQUARES, "roc_auc", r"^roc_auc needs the number of its class, .*; 120 of 120 have another"),
    "several": (3, X[:, :3], SQUARES, "r2", r"^r2 needs one target for each of the 120 rows, got \(120, 3\) float32"),
    "too many": (1, 2 * LOGIT, BINARY, "roc_auc", r"^targets are classes up to 2, and the outputs tell only 2 apart"),
    "one number": (
        2,
        TWO,
        CROSS,
        (lambda out, y: 0.5, "max"),
        r"gave \(\) for 16 rows; .* together have names, such as",
    ),
}


@pytest.mark.parametrize(("outputs", "y", "loss", "metric", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_score_of_these_outputs_is_refused(
    outputs: int, y: Tensor, loss: Any, metric: Any, words: str
) -> None:
    with pytest.raises((UsageError, DataError), match=words) as caught:
        race(network(outputs), y, loss, metric)
    assert "\n" not in str(caught.value)


def test_a_step_without_targets_has_no_metric() -> None:
    settings = {"train": X[:240], "valid": X[HELD], "step": lambda model, batch: model(batch).pow(2)}
    with pytest.raises(UsageError, match=r"does not say what the targets are: .* and no metric"):
        race(network(1), NUMBER, None, "r2", **settings)


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "metric"),
    [
        (2, torch.zeros(ROWS, dtype=torch.int64), CROSS, "roc_auc"),
        (2, torch.zeros(ROWS, dtype=torch.int64), CROSS, "f1"),
        (1, torch.ones(ROWS, 1), SQUARES, "r2"),
        (1, NUMBER.round(), SQUARES, "mape"),
    ],
    ids=["roc_auc", "f1", "r2", "mape"],
)
def test_rows_of_which_there_is_no_score_are_refused_before_the_race(
    outputs: int, y: Tensor, loss: Any, metric: str
) -> None:
    with pytest.raises(DataError, match=rf"^{metric} has no score on the 120 rows that judge, whatever is predicted: "):
        race(network(outputs), y, loss, metric, watch=lambda pulse: pytest.fail("it was raced"))


def test_a_class_of_very_few_rows_that_judge_is_told() -> None:
    rare = TWO.clone()
    rare[HELD] = 0
    rare[250] = 1
    (said,) = [own for own in race(network(2), rare, CROSS, "roc_auc").warnings if "hangs" in own]
    assert said.startswith("of the 120 rows that judge only 1 is of class 1, on which roc_auc hangs")
    assert not any("hangs" in own for own in race(network(2), rare, CROSS, "log_loss").warnings)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_go_with_a_result_that_is_pickled(name: str) -> None:
    for metric in (METRICS[name], over_trainings(METRICS[name])):
        assert pickle.loads(pickle.dumps(metric)).name == name
