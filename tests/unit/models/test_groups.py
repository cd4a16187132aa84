"""Groups of a user's parameters."""

from typing import Any

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.lanes.buffer import BufferLayout, Parameter
from lanewise.models.groups import factors_of, words_of
from lanewise.tuning import tune
from lanewise.tuning.drop_ins import drop_in

NETWORK = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def half(network: Any) -> list[dict[str, Any]]:
    return [{"params": network[0].parameters(), "lr_factor": 0.5}]


WRONG = [
    (lambda net: [{"params": [torch.zeros(2)]}], r"a tensor that is no parameter .*, got a tensor \(2,\)"),
    (lambda net: [*half(net), {"params": net[0].bias}], r"has 0.bias in two groups"),
    (lambda net: [{"params": net[0].bias, "lr": 0.1}], r"a group has params, lr_factor and .*, got 'lr'"),
    (lambda net: [{"params": net[0].bias, "lr_factor": -1}], r"factor of the rate is a finite number, .* got -1"),
    (lambda net: [{"lr_factor": 1.0}], r"groups must return a list such as .* got \{'lr_factor': 1.0\} in it"),
    (lambda net: net.head, r"groups failed on the module: AttributeError: 'Sequential' object has no attribute 'head'"),
]


@pytest.mark.parametrize(("groups", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_no_group(groups, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        factors_of(groups, NETWORK)
    assert "\n" not in str(caught.value)


def test_what_is_in_no_group_is_trained_as_the_candidates_say() -> None:
    found = factors_of(half, NETWORK)
    assert [own.rate for own in found.values()] == [0.5, 0.5, 1.0, 1.0]
    assert words_of(found) == "groups: 2 at 0.5 times the rate; 2 as the candidates say"
    assert words_of(factors_of(None, NETWORK)) == ""


def test_parameters_of_a_group_lie_side_by_side() -> None:
    names = {"a": 1.0, "b": 0.1, "c": 1.0}
    layout = BufferLayout.of([Parameter(name=name, shape=(2,), fan_in=1, rate=rate) for name, rate in names.items()])
    assert [own.name for own in layout.parameters] == ["b", "a", "c"]
    assert [(own.columns, own.rate) for own in layout.groups] == [(slice(0, 2), 0.1), (slice(2, 6), 1.0)]


def test_what_is_handed_over_has_the_groups() -> None:
    X, y = torch.randn(40, 2), torch.randn(40, 1)
    found = tune(
        lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)),
        train=(X, y),
        valid=0.2,
        loss=nn.functional.mse_loss,
        groups=half,
        candidates=[{"optimizer": "sgd", "lr": 0.2}],
        budget="20steps",
        workers=1,
    )
    optimizer = found.optimizer(found.model)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2]
    with pytest.raises(UsageError, match="give the module, so that its parameters are in the same groups"):
        found.optimizer(found.model.parameters())
    assert len(drop_in(found.winner, found.model).param_groups) == 1
