"""Modules as they are found in other people's projects, raced as they are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import lanewise
from lanewise.errors import UsageError

X = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
WORDS = torch.randint(0, 9, (80, 4), generator=torch.Generator().manual_seed(1))
RATES = [{"optimizer": "sgd", "lr": rate} for rate in (1e-3, 0.1)]


def raced(make: Callable[[], nn.Module], rows: Tensor = X) -> lanewise.TuneResult:
    return lanewise.tune(
        make,
        train=(rows[:60], Y[:60]),
        valid=(rows[60:], Y[60:]),
        loss=nn.functional.cross_entropy,
        candidates=RATES,
        budget="20steps",
        workers=1,
    )


def weight_normed() -> nn.Module:
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 2))


def pruned() -> nn.Module:
    first = nn.Linear(6, 5)
    prune.l1_unstructured(first, "weight", amount=0.4)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(5, 2))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("make", [weight_normed, pruned])
def test_weights_that_hooks_compute_before_each_pass(make: Callable[[], nn.Module]) -> None:
    found = raced(make)
    torch.manual_seed(0)
    begun, ended = dict(make().named_parameters()), dict(found.model.named_parameters())
    assert begun.keys() == ended.keys()
    assert all(not torch.equal(begun[name], ended[name]) for name in begun)
    losses = nn.functional.cross_entropy(found.model(X[60:]), Y[60:]).item()
    assert losses == pytest.approx(found.score, rel=1e-4)


class Bagged(nn.Module):
    """torch has no batching rule for bags, and warns of that where they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(9, 4), nn.Linear(4, 2)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.bag(words))


def test_what_torch_calls_lane_by_lane_is_no_warning_to_the_user() -> None:
    found = raced(Bagged, WORDS)
    assert any("stacked" in own for own in found.plan.words)


class Asking(nn.Module):
    """Fails in evaluation, and not for shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows) if self.training else self.get_submodule("missing")(rows)


def test_an_error_in_evaluation_is_told_without_a_remedy_for_something_else() -> None:
    with pytest.raises(UsageError, match=r"rows and judged: AttributeError: .* has no attribute `missing`$"):
        raced(Asking)


class Sampling(nn.Module):
    """A variational autoencoder: it draws in evaluation as well."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.back = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, spread = self.into(rows).chunk(2, dim=1)
        return self.back(mean + torch.randn_like(mean) * spread.exp()), mean, spread


def bound(outputs: tuple[Tensor, Tensor, Tensor], rows: Tensor) -> Tensor:
    back, mean, spread = outputs
    return (back - rows).pow(2).sum(1).mean() + (mean.pow(2) + (2 * spread).exp() - 2 * spread).sum(1).mean() / 2


def test_a_module_that_draws_in_evaluation_is_not_told_of_weights_of_classes() -> None:
    found = lanewise.tune(
        Sampling,
        train=(X[:60], X[:60]),
        valid=(X[60:], X[60:]),
        loss=bound,
        candidates=RATES,
        budget="20steps",
        workers=1,
    )
    assert any("what the module draws is drawn anew for each row" in own for own in found.plan.words)
    assert not any("classes" in own for own in found.plan.words)


class Elsewhere(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.register_buffer("scale", torch.ones(2, device="meta"))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows) * self.get_buffer("scale")


def test_a_buffer_on_another_device_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="scale is on meta; make_model must build the module on the CPU"):
        raced(Elsewhere)
