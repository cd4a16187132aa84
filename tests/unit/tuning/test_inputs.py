"""What people have goes into a race: data sets, dict batches, steps, models with arguments, folds."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lanewise.errors import UsageError
from lanewise.lanes.draws import RowStream
from lanewise.training.modules import seats as module_seats
from lanewise.training.modules.choosing import choose_way
from lanewise.tuning import posing, racing, tune

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] - X[:, 1] > 0).long()
TRAIN, VALID = (X[:60], Y[:60]), (X[60:], Y[60:])
RATES = [{"optimizer": "sgd", "lr": 1e-3}, {"optimizer": "sgd", "lr": 0.5}]


def linear() -> nn.Module:
    return nn.Linear(4, 2)


def race(make: Any = linear, **settings: Any) -> Any:
    usual: dict[str, Any] = {
        "train": TRAIN,
        "valid": VALID,
        "candidates": RATES,
        "budget": "20steps",
        "policy": "never",
    }
    if "step" not in settings:
        usual["loss"] = F.cross_entropy
    return tune(make, **{**usual, **settings})


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def plain():
    return race(batch_size=16)


FORMS = {
    "data sets": (TensorDataset(*TRAIN), TensorDataset(*VALID)),
    "loaders": tuple(DataLoader(TensorDataset(*own), batch_size=16, shuffle=True) for own in (TRAIN, VALID)),
    "batches": tuple(list(zip(own[0].split(16), own[1].split(16), strict=True)) for own in (TRAIN, VALID)),
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_the_same_rows_give_the_same_race_whatever_they_come_in(plain, given) -> None:
    train, valid = given
    found = race(train=train, valid=valid, batch_size=16)
    assert found.selection == plain.selection
    assert same(found.model, plain.model)


@pytest.mark.parametrize("given", [FORMS["loaders"], FORMS["batches"]], ids=["loader", "batches"])
def test_the_batch_size_of_a_loader_is_the_default(given) -> None:
    found = race(train=given[0], candidates=[*RATES, {"batch_size": 8}])
    assert [own.settings["batch_size"] for own in found.plan.candidates] == [16, 16, 8]


class Named(nn.Module):
    """Called by name, returns an object with logits, as language models do."""

    @dataclass
    class Output:
        logits: Tensor
        loss: Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.inner(torch.cat([left, right], 1))
        return self.Output(logits, None if labels is None else F.cross_entropy(logits, labels))


def named(rows: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"left": rows[0][:, :1], "right": rows[0][:, 1:], "labels": rows[1]}


def of_logits(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs.logits, targets)


def test_dict_batches_and_outputs_with_logits(plain) -> None:
    found = race(Named, train=named(TRAIN), valid=named(VALID), loss=of_logits, batch_size=16)
    assert isinstance(found.model, Named)
    assert found.score == pytest.approx(plain.score, rel=1e-5)
    assert torch.allclose(found.model.inner.weight, plain.model.weight, atol=1e-5)
    by_metric = race(Named, train=named(TRAIN), valid=named(VALID), loss=of_logits, metric="accuracy")
    right = (by_metric.model(**named(VALID)).logits.argmax(1) == VALID[1]).double().mean()
    assert by_metric.score == pytest.approx(float(right))


def test_accuracy_reads_the_logits_of_a_dict() -> None:
    given = {"train": named(TRAIN), "valid": named(VALID), "metric": "accuracy"}
    by_object = race(Named, loss=of_logits, **given)
    by_dict = race(ByKey, loss=lambda outputs, targets: F.cross_entropy(outputs["logits"], targets), **given)
    assert by_dict.selection.standings == by_object.selection.standings


class ByKey(Named):
    def forward(self, left: Tensor, right: Tensor, labels: Tensor | None = None) -> Any:
        return vars(super().forward(left, right, labels))


def test_a_step_may_be_given_inputs_alone() -> None:
    def error(model: nn.Module, inputs: Any) -> Tensor:
        return (model(inputs) - inputs).pow(2).mean(1)

    found = race(lambda: nn.Linear(4, 4), train=X[:60], valid=X[60:], step=error)
    paired = race(lambda: nn.Linear(4, 4), train=(X[:60],) * 2, valid=(X[60:],) * 2, loss=paired_error)
    assert found.score == pytest.approx(paired.score, rel=1e-5)
    assert torch.allclose(found.model.weight, paired.model.weight, atol=1e-5)


def paired_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).pow(2).mean(1)


def test_a_step_of_ones_own(plain) -> None:
    def step(model: nn.Module, batch: Any) -> Tensor:
        return model(**batch).loss

    found = race(Named, train=named(TRAIN), valid=named(VALID), step=step, batch_size=16)
    assert found.score == pytest.approx(plain.score, rel=1e-5)
    assert torch.allclose(found.model.inner.weight, plain.model.weight, atol=1e-5)


def test_a_step_whose_loss_is_no_mean_over_rows_is_told() -> None:
    def step(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    found = race(step=step, candidates=[{"optimizer": "sgd", "lr": 0.01}])
    (said,) = [line for line in found.plan.words if "by which they are judged" in line]
    assert "rows one by one" in said
    with torch.no_grad():
        assert found.score == pytest.approx(float(F.cross_entropy(found.model(VALID[0]), VALID[1])), rel=1e-5)


def test_a_step_that_needs_other_rows_needs_a_metric() -> None:
    def contrast(model: nn.Module, batch: Any) -> Tensor:
        seen = model(batch[0])
        return F.cross_entropy(seen @ seen.T, torch.arange(len(seen)))

    with pytest.raises(UsageError, match=r"cannot be judged; return one loss per row, or give metric="):
        race(step=contrast)
    found = race(step=contrast, metric="accuracy")
    assert 0 <= found.score <= 1
    nameless = race(step=contrast, metric=(lambda out, y: out[:, 0] - y, "min"))
    assert nameless.document["metric"]["name"] == "metric"


def of_rows(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch["x"]), batch["y"], reduction="none")


def backward(model: nn.Module, batch: Any) -> Tensor:
    loss = F.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    return loss


BATCH_MISTAKES = [
    ({"step": backward}, r"no gradient can be taken .* Trying to backward through the graph a second time .*; it must"),
    ({"train": {"x": X, "y": Y}, "valid": {"x": X, "y": Y}, "step": of_rows, "metric": "accuracy"}, r"and no metric"),
    ({"step": lambda model, batch: model(batch[0]).mean(1)[:3]}, r"it must be a scalar or have one loss for each of"),
    ({"step": lambda model, batch: 0.5}, r"the loss must be a tensor, a scalar or one loss per row, got float"),
    ({"step": lambda model, batch: model(batch["x"]).mean()}, r"step failed on a batch tuple\(\(16, 4\) float32, "),
    ({"train": {"x": X, "y": Y}, "valid": {"x": X, "y": Y}}, r"does not say what the targets are: give \(inputs, tar"),
    (
        {"train": {"x": X, "labels": Y}, "valid": {"x": X, "labels": Y}},
        r"unexpected keyword argument 'x'; what is in a dict is given by name, but for 'labels', the targets: to call",
    ),
    (
        {"metric": (lambda out, y: out.mean(), "max"), "train": (X, X, Y), "valid": (X, X, Y)},
        r"positional argument.*; of 3 tensors the last is the targets, and those before it are given by place: to call",
    ),
]


@pytest.mark.parametrize(("settings", "words"), BATCH_MISTAKES, ids=[words for _, words in BATCH_MISTAKES])
def test_mistakes_with_batches_are_told_in_one_line(settings, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        race(**settings)
    assert "\n" not in str(caught.value)


class Augmented(Dataset):
    def __init__(self, rows: tuple[Tensor, Tensor]) -> None:
        self.rows, self.read = rows, 0

    def __len__(self) -> int:
        return len(self.rows[0])

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        self.read += 1
        return self.rows[0][at] + 0.05 * torch.randn(4), self.rows[1][at]


def test_rows_that_are_drawn_anew_are_the_same_for_all_lanes_and_in_each_race() -> None:
    one, two = (race(train=Augmented(TRAIN), budget="20steps", workers=workers) for workers in (1, 2))
    assert one.selection == two.selection
    assert same(one.model, two.model)
    assert any("batches are loaded as they are needed" in line for line in one.plan.words)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.gru(rows.unsqueeze(1))[0][:, -1])


def test_a_batch_is_read_once_for_all_lanes_even_where_they_cannot_be_stacked() -> None:
    def reads(count: int) -> int:
        rows = Augmented(TRAIN)
        found = race(Recurrent, train=rows, candidates=[{"lr": 0.01 * (1 + place)} for place in range(count)])
        assert any("one by one" in line and "share the batches" in line for line in found.plan.words)
        return rows.read

    assert reads(1) == reads(3) > 20 * 16


def hidden(width: int = 3, act: str = "relu", dropout: float = 0.0) -> nn.Module:
    activation = {"relu": nn.ReLU(), "tanh": nn.Tanh()}[act]
    return nn.Sequential(nn.Linear(4, width), activation, nn.Dropout(dropout), nn.Linear(width, 2))


WIDTHS = [
    {"optimizer": "sgd", "lr": 1e-4, "width": 2},
    {"optimizer": "adamw", "lr": 0.03, "width": 8, "act": "tanh", "dropout": 0.1},
    {"optimizer": "sgd", "lr": 1e-4, "width": 8},
    {"optimizer": "sgd", "lr": 1e-4},
]


def test_the_arguments_of_make_model_are_settings() -> None:
    found = race(hidden, candidates=WIDTHS)
    assert found.arguments == {"width": 8, "act": "tanh", "dropout": 0.1}
    assert found.model[0].out_features == 8
    assert isinstance(found.model[1], nn.Tanh)
    assert found.model[2].p == 0.1
    with torch.no_grad():
        assert found.score == pytest.approx(float(F.cross_entropy(found.model(VALID[0]), VALID[1])), abs=1e-5)
    costs = [found.plan.costs[own.id] for own in found.plan.candidates]
    assert costs[2] > costs[3] > costs[0]


def test_each_form_of_a_model_trains_as_it_does_alone() -> None:
    together = race(hidden, candidates=WIDTHS)
    for place, own in enumerate(WIDTHS):
        alone = race(hidden, candidates=[own])
        name = together.plan.candidates[place].id
        assert alone.score == pytest.approx(together.selection.standing(name).score, rel=1e-5)


def test_an_argument_may_be_called_as_a_column_of_the_table_is() -> None:
    found = race(lambda rank=2: nn.Sequential(nn.Linear(4, rank), nn.Linear(rank, 2)), candidates=[{"rank": 1}, {}])
    assert found.table["rank"].to_list() == [1, 2]
    assert set(found.table["model_rank"]) == {1, None}


def test_forms_that_differ_in_numbers_are_tried_once(monkeypatch) -> None:
    tried = []
    monkeypatch.setattr(posing, "choose_way", lambda *given, **how: tried.append(given) or choose_way(*given, **how))
    both = [{"dropout": 0.1}, {"dropout": 0.2}, {"act": "tanh"}]
    found = race(hidden, candidates=both)
    assert len(tried) == 2
    assert len(found.plan.candidates) == 3


def test_folds_judge_every_row_by_models_without_it() -> None:
    found = race(train=(X, Y), valid=None, folds=3, candidates=RATES)
    assert {trace.lane.fold for trace in found.race.traces} == {0, 1, 2}
    confirmed = {own.candidate.id: own for own in found.race.confirmed}
    assert found.score == pytest.approx(np.mean(confirmed[found.winner.id].predictions))
    assert found.plan.folds == 3
    assert any("trained once more on all 90 rows" in line for line in found.words)
    assert found.document["rows"]["train"] == 90


def test_the_model_of_folds_is_trained_on_all_rows() -> None:
    # A slow rate gets better to the end, so nothing ends early.
    given = {"candidates": [{"optimizer": "sgd", "lr": 0.02}], "budget": "20steps", "batch_size": 16}
    found = race(train=(X, Y), valid=None, folds=3, **given)
    again = alone(found.plan.candidates[0].number("lr"), found.steps)
    torch.testing.assert_close(found.model.weight, again.weight, rtol=1e-5, atol=1e-6)


def alone(rate: float, steps: int) -> nn.Linear:
    """Gradient descent by hand over the rows of seed 0."""
    torch.manual_seed(0)
    module = nn.Linear(4, 2)
    stream = RowStream(0, torch.arange(90), 90)
    for step in range(steps):
        at = stream.take(step * 16, 16)
        grads = torch.autograd.grad(F.cross_entropy(module(X[at]), Y[at]), list(module.parameters()))
        with torch.no_grad():
            for weight, grad in zip(module.parameters(), grads, strict=True):
                weight.sub_(grad, alpha=rate * (1 - step / steps))
    return module


def test_folds_and_forms_train_in_processes_to_the_same_bits(monkeypatch) -> None:
    given: dict[str, Any] = {"train": (X, Y), "valid": None, "folds": 2, "candidates": WIDTHS, "workers": 2}
    monkeypatch.setattr(module_seats, "WORTH_PROCESSES", 1)  # both times: lanes in other stacks round otherwise
    there = race(hidden, **given)
    monkeypatch.setattr(racing, "seated", nullcontext)
    here = race(hidden, **given)
    assert here.selection == there.selection
    for one, other in zip(here.model.state_dict().values(), there.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_share_of_train_judges() -> None:
    found = race(train=(X, Y), valid=0.2)
    assert any("18 rows were held out of train, 72 train" in line for line in found.plan.words)
    assert found.document["rows"]["train"] == 72


def test_folds_of_dict_batches_and_models_with_arguments() -> None:
    found = race(hidden, train=DataLoader(Augmented((X, Y)), batch_size=16), valid=None, folds=2, candidates=WIDTHS[:2])
    assert isinstance(found.model, nn.Sequential)
    assert found.model(X).shape == (90, 2)
