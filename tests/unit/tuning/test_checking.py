"""Whatever is wrong with what a user hands over, one clear line says so before anything is trained."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import DataError, UsageError
from lanewise.tuning import tune
from lanewise.tuning.checking import accuracy

X, Y = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 2


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def attempt(make: Any = linear, **settings: Any) -> None:
    train, valid = (X[:40], Y[:40]), (X[40:], Y[40:])
    usual = {"train": train, "valid": valid, "loss": nn.CrossEntropyLoss(), "budget": "20steps"}
    given: dict[str, Any] = {**usual, "candidates": [{"lr": 0.1}], **settings}
    tune(make, **given)


class Wavering(nn.Module):
    """Returns one more column at every other call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Linear(3, 2), 0

    def forward(self, rows: Tensor) -> Tensor:
        self.calls += 1
        out = self.inner(rows)
        return out if self.calls % 2 else torch.cat([out, out], 1)


class Widening(nn.Module):
    """Returns twice as many columns as soon as its weights have moved, with which the loss still goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.start = float(self.inner.weight.detach().sum())

    def forward(self, rows: Tensor) -> Tensor:
        out = self.inner(rows)
        return out if abs(float(self.inner.weight.detach().sum()) - self.start) < 1e-6 else torch.cat([out, out], 1)


class Returning(nn.Module):
    """Makes of its outputs what it is told."""

    def __init__(self, change) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.change = change

    def forward(self, rows: Tensor):
        return self.change(self.inner(rows))


class Clamping(nn.Module):
    """Holds its weights within bounds by changing them where they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner.weight.clamp_(-1, 1)
        return self.inner(rows)


class Doubling(nn.Module):
    """Changes its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(rows.mul_(2.0))


class Writing(nn.Module):
    """Writes its outputs into a tensor of zeros, which vmap refuses, and trains well without it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        out = torch.zeros(len(rows), 2)
        out[:, :] = self.inner(rows)
        return out


def frozen() -> nn.Module:
    return nn.Linear(3, 2).requires_grad_(requires_grad=False)


def growing():
    sizes = iter((4, 5, 6))

    def make() -> nn.Module:
        size = next(sizes)
        return nn.Sequential(nn.Linear(3, size), nn.Linear(size, 2))

    return make


with_nan = X.clone()
with_nan[7, 1] = float("nan")

MODELS = [
    (
        Wavering,
        r"the module returned \(16, 4\) for a batch of 16 rows, and \(2,\) for each row before; .* in every call",
    ),
    (Widening, r"the module returned \(16, 4\) for a batch of 16 rows, and \(2,\) for each row before; equal shapes"),
    (Clamping, r"not trained for two steps .* inplace; it must change neither weights nor inputs in place"),
    (Doubling, r"not trained for two steps .*; it must change neither weights nor inputs in place"),
    (lambda: nn.Linear(3, 2, device="meta"), r"weight is on meta; make_model must build the module on the CPU"),
    (lambda: Returning(lambda out: (out, out)), r"the loss failed on outputs tuple\(\(16, 2\) .*: pick what it needs"),
    (lambda: Returning(lambda out: {"logits": out}), r"the loss failed on outputs dict\(logits: \(16, 2\) float32\)"),
    (lambda: Returning(lambda out: out.mean(0)), r"returned a tensor \(2,\) for a batch of 16 rows"),
    (lambda: Returning(lambda out: out.detach()), r"has no weights to train"),
    (frozen, r"has no weights to train"),
    (lambda: Returning(lambda out: out.exp().mul_(2) + out.exp_()), r"no gradient can be taken through the module"),
    (lambda: nn.Linear(4, 2), r"the module failed on a batch of inputs \(16, 3\) float32: RuntimeError: mat1"),
    (lambda: "model", r"make_model must return a torch.nn.Module, got str"),
    (lambda width: nn.Linear(3, width), r"make_model needs width, of which adamw-00 says nothing"),
    (
        lambda *sizes: nn.Sequential(nn.Linear(*sizes)),
        r"make_model failed: TypeError: .*; it is called without arguments",
    ),
    (lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).double()), r"one floating dtype, got float32, float64"),
    (
        lambda: nn.DataParallel(linear()),
        r"is a DataParallel, which cannot be called .*; give the module that it was made",
    ),
    (
        lambda: nn.Sequential(nn.DataParallel(linear())),
        r"^0 is a DataParallel, which cannot be called with the weights",
    ),
    (nn.Identity, r"has no weights, so there is nothing to train"),
    (lambda: nn.LazyLinear(2), r"weight is of a lazy layer, whose shape the first batch decides; give its size"),
    (nn.Linear(3, 2), r"make_model must be a function that builds the module anew, got Linear"),
]


@pytest.mark.parametrize(("make", "words"), MODELS, ids=[words for _, words in MODELS])
def test_a_module_that_cannot_be_trained(make, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        attempt(make)
    assert "\n" not in str(caught.value)


def test_gradients_that_are_sparse_are_refused_with_the_reason() -> None:
    codes = torch.arange(50)[:, None] % 7

    def sparse() -> nn.Module:
        return nn.Sequential(nn.Embedding(7, 2, sparse=True), nn.Flatten())

    with pytest.raises(UsageError, match=r"gradients must be dense: build embeddings without sparse=True$"):
        attempt(sparse, train=(codes[:40], Y[:40]), valid=(codes[40:], Y[40:]))


class Idle(nn.Module):
    """Has weights that it never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.idle = nn.Linear(3, 2), nn.ModuleList(nn.Linear(1, 1) for _ in range(3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(rows)


@pytest.mark.parametrize("by_step", [False, True])
def test_weights_that_are_not_trained_are_named(by_step: bool) -> None:
    given: dict[str, Any] = {"train": (X, Y), "valid": (X, Y), "candidates": [{"lr": 0.1}], "budget": "20steps"}
    if by_step:
        given |= {"step": lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")}
    else:
        given |= {"loss": nn.CrossEntropyLoss()}
    words = tune(Idle, **given, workers=1).plan.words
    names = "idle.0.weight, idle.0.bias, idle.1.weight, idle.1.bias and 2 more"
    assert f"not trained, because no gradient reached them in 16 batches: {names}" in words


class Weighing(nn.Module):
    """A loss with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.heat = nn.Parameter(torch.ones(()))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs * self.heat, targets)


def test_weights_of_the_loss_are_said_not_to_be_trained() -> None:
    given: dict[str, Any] = {"train": (X, Y), "valid": (X, Y), "candidates": [{"lr": 0.1}], "budget": "20steps"}
    words = tune(lambda: nn.Linear(3, 2), **given, loss=Weighing(), workers=1).plan.words
    assert "weights of the loss stay as they are: heat; to have them trained, make them part of the module" in words


def hooked(*, after: bool) -> nn.Module:
    made = nn.Linear(3, 2)
    if after:
        made.bias.register_post_accumulate_grad_hook(lambda weight: None)
    else:
        made.bias.register_hook(lambda grad: 2 * grad)
    return made


@pytest.mark.parametrize("after", [False, True])
def test_hooks_on_gradients_of_weights_are_refused_by_name(after: bool) -> None:
    with pytest.raises(UsageError, match=r"^bias has a hook on its gradient, which lanes would not call"):
        attempt(lambda: hooked(after=after))


def test_complex_weights_are_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"got complex64; keep a complex weight as its real and imaginary part"):
        attempt(lambda: nn.Linear(3, 2, dtype=torch.complex64))


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype:UserWarning")
@pytest.mark.parametrize("kind", ["sparse", "nested"])
def test_rows_that_are_not_dense_are_refused(kind: str) -> None:
    rows = X.to_sparse() if kind == "sparse" else torch.nested.nested_tensor(list(X))
    with pytest.raises(
        UsageError, match=f"^X of train is a {kind} tensor, of which no rows can be drawn; give a dense"
    ):
        attempt(lambda: nn.Linear(3, 2), train=(rows, Y))


def test_what_vmap_refuses_is_trained_one_by_one_and_says_why_in_a_sentence() -> None:
    rates = [{"lr": 0.1}, {"lr": 0.01}]
    found = tune(
        Writing, train=(X, Y), valid=(X, Y), loss=nn.CrossEntropyLoss(), candidates=rates, budget="20steps", workers=1
    )
    (said,) = [words for words in found.plan.words if "one by one" in words]
    assert "stacking them failed (RuntimeError: vmap: inplace" in said
    assert ". " not in said


def test_what_vmap_refuses_in_a_step_is_told_as_it_is_not_as_a_mistake() -> None:
    def routed(model: nn.Module, batch: Any) -> Tensor:
        outputs = model(batch[0])
        to = (outputs[:, 0] > 0).nonzero()[:, 0]
        return nn.functional.cross_entropy(outputs.index_add(0, to, outputs[to]), batch[1])

    found = tune(lambda: nn.Linear(3, 2), train=(X, Y), valid=(X, Y), step=routed, candidates=2, budget="20steps")
    (said,) = [words for words in found.plan.words if "one by one" in words]
    assert "stacking them failed (RuntimeError: " in said


def test_a_module_whose_shapes_change_from_call_to_call() -> None:
    with pytest.raises(UsageError, match="it must build the same shapes each time"):
        attempt(growing())


LOSSES = [
    (nn.CrossEntropyLoss(reduction="sum"), r"must be a mean of the losses of its rows"),
    (lambda out, y: 0.5, r"must return a tensor, a scalar or one loss per row, got float"),
    (lambda out, y: out.mean(0), r"returned a tensor \(2,\) for outputs \(16, 2\)"),
    (
        lambda out, y: (out - nn.functional.one_hot(y, 2)).pow(2),
        r"\(16, 2\) for .*; it must be a scalar or have one loss .* rows: of what it is now take \.flatten\(1\)\.mean",
    ),
    (lambda out, y: (out[:, :1] - y).abs(), r"a tensor \(16, 16\) for .*; it must be a scalar or have one loss"),
    (lambda out, y: out.detach().mean(), r"does not depend on the weights"),
    (lambda out, y: out.mean() * float("inf"), r"is not finite before any training"),
    (nn.BCELoss(), r"the loss BCELoss compares each output .* as classes are; take the loss cross_entropy for classes"),
    (
        lambda out, y: nn.functional.nll_loss(out, y.float()),
        r"the loss failed on outputs \(16, 2\) and targets \(16,\) int64: RuntimeError",
    ),
]


@pytest.mark.parametrize(("loss", "words"), LOSSES, ids=[words for _, words in LOSSES])
def test_a_loss_that_cannot_be_minimized(loss, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        attempt(loss=loss)
    assert "\n" not in str(caught.value)


DATA = [
    ({"train": (with_nan, Y)}, DataError, r"X of train has NaN or infinite values in 1 of 50 rows, the first in row 7"),
    ({"valid": (with_nan, Y)}, DataError, r"X of valid has NaN"),
    ({"train": (X, Y[:30])}, DataError, r"shape \(50, 3\) and y \(30,\)"),
    ({"train": (X[:0], Y[:0])}, DataError, r"train has no rows"),
    ({"valid": (X[:, :2], Y)}, DataError, r"X of train is \[rows, 3, float32\], that of valid \[rows, 2, float32\]"),
    ({"valid": (X, Y.double())}, DataError, r"y of train is \[rows, int64\], that of valid \[rows, float64\]"),
    ({"train": X}, DataError, r"a row of train is \(1, 3\) float32, one of valid tuple\(.*; they must be alike"),
    ({"train": X, "valid": 0.2}, UsageError, r"does not say what the targets are: .* or step=, a function of"),
    ({"train": X, "valid": Y}, DataError, r"alike; where they are X and y of the same rows, both belong into train="),
    ({"train": 7}, UsageError, r"train must be a pair \(X, y\) .* or X alone where no y is needed; .*; got int"),
    ({"train": (X.tolist(), Y)}, UsageError, r"X of train must be a tensor or a NumPy array, got float in a list"),
    ({"train": (np.array(["a"]), Y)}, UsageError, r"X of train is an array of <U1; give numbers"),
]


@pytest.mark.parametrize(("settings", "kind", "words"), DATA, ids=[words for *_, words in DATA])
def test_data_that_cannot_be_used(settings, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        attempt(**settings)
    assert "\n" not in str(caught.value)


def zeros() -> nn.Module:
    module = nn.Linear(3, 1)
    for weight in module.parameters():
        nn.init.zeros_(weight)
    return module


def of_all_pairs(out: Tensor, y: Tensor) -> Tensor:
    return (out - y).pow(2).mean()


@pytest.mark.parametrize("loss", [of_all_pairs, nn.MSELoss()])  # torch's own warning of it is in the message
def test_a_loss_that_pairs_rows_with_rows_is_refused_though_its_value_is_right_at_the_start(loss) -> None:
    pairs = (X[:40], Y[:40].float())
    words = (
        r"gradient .* a mean of those of its rows, .*; outputs \(16, 1\) and targets \(16,\) are paired each with each"
    )
    with pytest.raises(UsageError, match=words):
        attempt(zeros, train=pairs, valid=pairs, loss=loss)


def test_rows_that_are_paired_with_rows_are_told_so_though_each_has_its_numbers() -> None:
    pairs = (X[:40], Y[:40].float())
    with pytest.raises(UsageError, match=r"\(16, 16\) .* 16 rows; outputs \(16, 1\) .* are paired each with each"):
        attempt(zeros, train=pairs, valid=pairs, loss=nn.MSELoss(reduction="none"))


def test_a_column_of_losses_is_one_for_each_row() -> None:
    pairs = (X[:40], Y[:40].float()[:, None])
    attempt(zeros, train=pairs, valid=pairs, loss=nn.MSELoss(reduction="none"))


def test_a_step_with_several_losses_for_a_row_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is a tensor \(16, 2\); it must be .*: of what it is now take") as caught:
        attempt(loss=None, step=lambda model, batch: model(batch[0]).pow(2))
    assert "\n" not in str(caught.value)


def test_a_weighted_mean_is_trained_by_and_told() -> None:
    def raced(loss: nn.Module, metric: Any = None) -> str:
        rates = [{"lr": 0.1}]
        found = tune(linear, train=(X, Y), valid=0.2, loss=loss, metric=metric, candidates=rates, budget="20steps")
        return " ".join(found.plan.words)

    weights = torch.tensor([1.0, 5.0])
    said = (
        r"the loss gives [\d.]+ for the first batch, by which lanes are trained, and [\d.]+ as the mean over its rows"
    )
    assert re.search(said, raced(nn.CrossEntropyLoss(weight=weights)))
    assert "the loss gives" not in raced(nn.CrossEntropyLoss(weight=weights, reduction="none"))
    assert "the loss gives" not in raced(nn.CrossEntropyLoss(weight=weights), "accuracy")


def test_accuracy_takes_classes_where_cross_entropy_has_them_or_last() -> None:
    last = torch.tensor([[[0.1, 0.9, 0.0], [0.8, 0.1, 0.1]]])  # one row of two places, three classes
    targets = torch.tensor([[1, 2]])
    assert accuracy(last, targets).tolist() == [[1.0, 0.0]]
    assert accuracy(last.transpose(1, 2), targets).tolist() == [[1.0, 0.0]]


def test_all_mistakes_in_the_settings_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        attempt(
            None,
            loss=None,
            metric="f3",
            budget="soon",
            policy="guess",
            search="sobal",
            seeds=0,
            workers=0,
            device="tpu",
            precision="half",
            full_length=0,
            candidates=6,
            space={"optimizer": ["adamw", "sgdd"], "lr": (1.0, 0.1), "momentun": [0.9], "batch_size": []},
        )
    heading, *lines = str(caught.value).split("\n  ")
    begins = ("make_model must", "give either loss", "metric must", "budget must", "search must", "policy must")
    ends = ("seeds must", "workers must", "full_length must", "device must", "precision must")
    assert heading == "11 settings are off:"
    assert all(any(line.startswith(own) for line in lines) for own in (*begins, *ends))
    with pytest.raises(UsageError) as caught:
        attempt(candidates=6, space={"optimizer": ["adamw", "sgdd"], "lr": (1.0, 0.1), "momentun": [0.9], "eps": []})
    assert [line[:24] for line in str(caught.value).split("\n  ")] == [
        "4 settings are off:",
        "there is no optimizer 's",
        "there is no setting 'mom",
        "space['lr'] must be a ra",
        "space['eps'] is an empty",
    ]
    with pytest.raises(UsageError) as caught:
        attempt(candidates=[{"lr": -1, "momentun": 0.9}, {"optimizer": "sgdd"}, {"optimizer": "sgd", "lr": -1}])
    assert len(str(caught.value).split("\n  ")) == 4  # with the heading, the rate once


SETTINGS = [
    ({"budget": "5steps"}, r"a budget of 5 steps says nothing; give at least 20steps"),
    (
        {"budget": "1ms"},
        r"a budget of 0.001 s(, of which .* s are used already,)? allows 0 steps for each of 1 candidates",
    ),
    ({"budget": "soon"}, r"budget must be a time"),
    ({"policy": "guess"}, r"policy must be one of halving, hyperband, racing, population, genetic, never, or an"),
    ({"seeds": 0}, r"seeds must be a count of at least 1"),
    ({"metric": "f3"}, r"metric must be one of accuracy, .* f1, .*, or a pair \(function, 'max'\) .* row, got 'f3'"),
    (
        {"metric": (lambda out, y: out.mean(), "max")},
        r"gave \(\) for 16 rows; it .* one number per row, whose mean counts",
    ),
    (
        {"candidates": 2, "space": {"lr": {"low": 1e-4, "high": 0.1}}},
        r"space\['lr'\] must be a range \(low, high\), a list",
    ),
    ({"metric": (lambda out, y: out.nothing, "max")}, r"the metric failed on outputs \(16, 2\) float32 and targets"),
    ({"metric": (lambda out, y: out[:, 0].log(), "max")}, r"the metric of the first batch is not finite"),
    (
        {"metric": "accuracy", "make": lambda: nn.Linear(3, 1), "loss": lambda out, y: out[:, 0] - y},
        r"accuracy is for a score of each class, .* got outputs \(16, 1\) float32",
    ),
    ({"budget": 300}, r"budget must be a time .*, got 300; say its unit: 300s, 300min or 300steps"),
    ({"seeds": "3"}, r"seeds must be a count .*, got '3'"),
    ({"batch_size": 32.0}, r"batch_size must be a whole number, at least 1, got 32.0"),
    ({"candidates": 2.5}, r"candidates must be a whole number, at least 1, or a list of settings, got 2.5"),
    ({"candidates": 2, "space": [1e-3]}, r"space must be a dict such as"),
    ({"candidates": [{"betas": (0.9,)}]}, r"betas must be two numbers such as \(0.9, 0.999\), got \(0.9,\)"),
    ({"candidates": [{"betas": (0.9, 1.5)}]}, r"AdamW: beta2 must be at least 0 and below 1, got 1.5"),
    ({"loss": nn.CrossEntropyLoss}, r"loss must be a function or an instance: give CrossEntropyLoss\(\)"),
    ({"loss": "cross_entropy"}, r"loss must be a function, .*, got 'cross_entropy'"),
    ({"batch_size": 0}, r"batch_size must be at least 1"),
    ({"workers": 0}, r"workers must be at least 1"),
    ({"space": {"lr": (0.1, 0.2)}}, r"either a list of candidates or a space"),
    ({"loss": None}, r"give either loss, .* or step, .*; got neither"),
    ({"step": lambda model, batch: model(batch[0]).mean()}, r"; got both"),
    ({"valid": None}, r"nothing to judge by: give validation rows as valid, valid=0.2 .* or folds=5"),
    ({"valid": 1.2}, r"valid is a share of the 40 rows of train between 0 and 1 .*, got 1.2"),
    ({"valid": None, "folds": 1}, r"folds must be at least 2, got 1"),
    ({"valid": None, "folds": 41}, r"folds must be from 2 to the 40 rows of train, got 41"),
    ({"folds": 3}, r"give either folds, which are made of train, or valid"),
]


@pytest.mark.parametrize(("settings", "words"), SETTINGS, ids=[words for _, words in SETTINGS])
def test_settings_that_cannot_be_used(settings, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        attempt(**settings)
    assert "\n" not in str(caught.value)
