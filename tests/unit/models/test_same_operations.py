"""Which modules are known to do the same tensor operations at every call."""

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import gelu

from lanewise.models.same_operations import same_operations

HEADS = 2
seen: list[int] = []
scale = 2.0


def halved(x: Tensor, by: float = 0.5) -> Tensor:
    return x * by


def counted(x: Tensor) -> Tensor:
    seen.append(len(x))
    return x


class Block(nn.Module):
    """What a usual module does: layers in a list, residuals, shapes, a method and a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.mix = nn.MultiheadAttention(4, HEADS, batch_first=True, dropout=0.1)
        self.act, self.width, self.places = F.relu, 4, nn.Parameter(torch.zeros(1, 1, 4))

    def heads(self, x: Tensor) -> Tensor:
        rows, width = x.shape
        return x.reshape(rows, HEADS, width // HEADS)

    def forward(self, x: Tensor) -> Tensor:
        """Docstrings are no operations."""
        parts: list[Tensor] = []
        for at, layer in enumerate(self.layers):
            if at and self.training:
                x = x + self.act(layer(x))
            parts.append(halved(F.dropout(x, 0.1, self.training)))
        x = torch.cat([gelu(part) for part in parts], dim=-1)[:, : self.width]
        x, _ = self.mix(*[(x[:, None] + self.places)] * 3, need_weights=False)
        x[:, 0] += self.heads(x[:, 0]).flatten(1)
        assert x.dim() == 3, f"{x.shape}"
        return x.mean(1)


class Given(nn.Module):
    """A linear layer in whose forward other things are done."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls, self.cache, self.rate = nn.Linear(4, 4), 0, {}, 0.1


class Counts(Given):
    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class Remembers(Given):
    def forward(self, x: Tensor) -> Tensor:
        self.cache["x"] = x
        return self.inner(x)


class Asks(Given):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if random.random() < 0.5 else x


class Reads(Given):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * x.mean().item()


class Calls(Given):
    def forward(self, x: Tensor) -> Tensor:
        return counted(self.inner(x))


class Varies(Given):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * scale


class Seeds(Given):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return self.inner(x)


class Prints(Given):
    def forward(self, x: Tensor) -> Tensor:
        print(x.shape)
        return self.inner(x)


class Learns(Given):
    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("last", x)
        return self.inner(x)


class Keeps(Given):
    def forward(self, x: Tensor, kept: list[Tensor] = []) -> Tensor:  # noqa: B006  # that is what is asked
        kept.append(x)
        return self.inner(x)


class Wraps(Given):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Inherits(nn.Linear):
    """torch's own forward in a class of one's own."""


def hooked() -> nn.Module:
    module = nn.Linear(4, 4)
    module.register_forward_hook(lambda *_: seen.append(1))
    return module


@pytest.mark.parametrize(
    "module", [Block(), nn.Sequential(Block(), nn.Linear(4, 4)), Inherits(4, 4), nn.TransformerEncoderLayer(4, 2)]
)
def test_plain(module: nn.Module) -> None:
    assert same_operations(module)


@pytest.mark.parametrize(
    "module",
    [*(kind() for kind in Given.__subclasses__()), hooked()],
    ids=lambda module: type(module).__name__,
)
def test_not_known(module: nn.Module) -> None:
    assert not same_operations(module)
    assert not same_operations(nn.Sequential(nn.ReLU(), module))


def test_without_a_source() -> None:
    space: dict[str, Any] = {"nn": nn, "__name__": "made"}
    exec("class Made(nn.Module):\n    def forward(self, x):\n        return x", space)  # as a notebook or a shell would
    assert not same_operations(space["Made"]())
