"""Chains of torch's own layers: which modules are one, and that their lanes equal the module called alone."""

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs
from lanewise.models.blueprint import Blueprint
from lanewise.models.chain import Chain
from lanewise.models.module import StackedModule
from lanewise.training.step import KeyedNoise


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def codes(*shape: int) -> Tensor:
    return torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(0))


CHAINS = {
    "linear": (lambda: nn.Linear(4, 2), (5, 4)),
    "relu": (lambda: nn.Sequential(nn.Linear(4, 9), nn.ReLU(inplace=True), nn.Linear(9, 2, bias=False)), (5, 4)),
    "nested": (
        lambda: nn.Sequential(nn.Sequential(nn.Identity(), nn.Linear(4, 20)), nn.Sequential(nn.ReLU(), nn.Tanh())),
        (5, 4),
    ),
    "activations": (
        lambda: nn.Sequential(
            nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6, eps=1e-3), nn.ReLU(), nn.Linear(6, 3), nn.Softplus(beta=2.0)
        ),
        (5, 4),
    ),
    "dropout": (
        lambda: nn.Sequential(
            nn.Dropout(0.2), nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 6), nn.Dropout(1.0)
        ),
        (5, 4),
    ),
    "images": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.LeakyReLU(0.2)), (5, 1, 3, 4)),
    "codes": (
        lambda: nn.Sequential(nn.Embedding(7, 3), nn.Dropout(0.3), nn.Flatten(), nn.Linear(12, 5)),
        (5, 4),
    ),
    "padded codes": (lambda: nn.Sequential(nn.Embedding(7, 3, padding_idx=2), nn.Linear(3, 2)), (5, 2, 4)),
    "one code": (lambda: nn.Embedding(7, 3), (5,)),
    "sets": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 2)), (5, 3, 4)),
}


def shared_layer() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def tied_weight() -> nn.Module:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, second)


def frozen_layer() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4).requires_grad_(requires_grad=False), nn.Linear(4, 2))


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 2), nn.Tanh())
    module[1].register_forward_hook(lambda _module, _inputs, out: 2 * out)
    return module


def overridden() -> nn.Module:
    module = nn.Linear(4, 2)
    module.forward = lambda rows: rows @ module.weight.t()  # pyright: ignore[reportAttributeAccessIssue]  # what users do
    return module


class Own(nn.Linear):
    """A class of the user's, which may do anything."""


OTHERS = {
    "own class": lambda: nn.Sequential(Own(4, 2)),
    "shared layer": shared_layer,
    "tied weight": tied_weight,
    "frozen layer": frozen_layer,
    "hook": hooked,
    "forward of its own": overridden,
    "statistics": lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)),
    "two last dims": lambda: nn.Sequential(nn.LayerNorm((3, 4))),
    "changes its input": lambda: nn.Sequential(nn.Linear(4, 3), nn.ELU(inplace=True)),
    "parametrized": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))),
    "unknown layer": lambda: nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1)),
    "codes looked up later": lambda: nn.Sequential(nn.Identity(), nn.Embedding(7, 3)),
    "embedding of bounded norm": lambda: nn.Sequential(nn.Embedding(7, 3, max_norm=1.0)),
    "embedding scaled by frequency": lambda: nn.Sequential(nn.Embedding(7, 3, scale_grad_by_freq=True)),
    "weight of an activation": lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_chain_is_left_to_vmap(name: str) -> None:
    make = OTHERS[name]
    coded = "embedding" in name or "codes" in name
    inputs = codes(5, 4) if coded else rows(5, 3, 4) if name == "two last dims" else rows(5, 4)
    blueprint = Blueprint.of(lambda: make().double(), inputs)
    assert Chain.of(blueprint.module(), blueprint.layout) is None


def outputs_and_gradients(
    blueprint: Blueprint, batch: Tensor, sizes: tuple[int, ...], *, looped: bool, training: bool
) -> tuple[Tensor, Tensor]:
    model = StackedModule(blueprint, looped=looped)
    buffer = LaneBuffer(model.layout, model.init([0, 1, 2], torch.float64))
    buffer.gradients.fill_(float("nan"))
    noise = KeyedNoise(range(len(sizes)), 7) if training else None
    inputs = Inputs(dense=batch, codes=torch.zeros(len(sizes), 5, 0, dtype=torch.int64), sizes=sizes)
    outputs = model.forward(buffer.weights, inputs, noise=noise)
    (outputs * torch.arange(outputs.numel(), dtype=torch.float64).view_as(outputs).cos()).sum().backward()
    return outputs.detach(), buffer.gradients


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", [(3,), (2, 1)], ids=["one_group", "two_seeds"])
@pytest.mark.parametrize("name", CHAINS)
def test_lanes_of_a_chain_equal_the_module_called_alone(name: str, sizes: tuple[int, ...], training: bool) -> None:
    make, shape = CHAINS[name]
    batch = (codes if "code" in name else rows)(len(sizes), *shape)
    blueprint = Blueprint.of(lambda: make().double(), batch[0])
    assert Chain.of(blueprint.module(), blueprint.layout) is not None
    found = outputs_and_gradients(blueprint, batch, sizes, looped=False, training=training)
    truth = outputs_and_gradients(blueprint, batch, sizes, looped=True, training=training)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
