"""Small networks of the usual architectures, each with a batch that it reads, for a processor."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10
VOCABULARY = 64


class Residual(nn.Module):
    """``x + part(x)``."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)


def perceptron() -> nn.Module:
    """A plain chain, whose lanes Lanewise runs as batched products."""
    sizes = (96, 256, 256, 256, 256)
    hidden: list[nn.Module] = []
    for before, after in pairwise(sizes):
        hidden += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU()]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], CLASSES))


def residual_perceptron(width: int = 192) -> nn.Module:
    """The same layers around skip connections, whose lanes are vectorized."""
    blocks = [
        Residual(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)))
        for _ in range(3)
    ]
    return nn.Sequential(nn.Linear(96, width), *blocks, nn.LayerNorm(width), nn.Linear(width, CLASSES))


class Encoder(nn.Module):
    """torch's transformer encoder over tokens, their mean classified."""

    def __init__(self, width: int = 64, time: int = 32) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.randn(time, width) / width**0.5)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation=F.gelu, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.table(tokens) + self.places).mean(1))


class Attention(nn.Module):
    """Causal attention of four heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inwards, self.outwards = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.inwards(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.outwards(mixed.transpose(1, 2).flatten(2))


class Gpt(nn.Module):
    """A decoder that predicts the next token at every place."""

    def __init__(self, width: int = 64, time: int = 64) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.randn(time, width) / width**0.5)
        blocks: list[nn.Module] = []
        for _ in range(2):
            wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            blocks += [Residual(nn.Sequential(nn.LayerNorm(width), part)) for part in (Attention(width), wide)]
        self.blocks = nn.Sequential(*blocks, nn.LayerNorm(width))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.table(tokens) + self.places)).transpose(1, 2)


class RootMeanSquare(nn.Module):
    """Rows divided by the root of the mean of their squares, and scaled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale


class Rotated(nn.Module):
    """Causal attention of four heads, whose queries and keys are turned by their places, and a gated layer."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.before, self.between = RootMeanSquare(width), RootMeanSquare(width)
        self.inwards, self.outwards = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)
        half = width // 8
        turns = torch.arange(time)[:, None] * 1e4 ** -(torch.arange(half) / half)
        self.cosines: Tensor
        self.sines: Tensor
        self.register_buffer("cosines", turns.cos(), persistent=False)
        self.register_buffer("sines", turns.sin(), persistent=False)

    def turned(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, -1)
        return torch.cat([one * self.cosines - other * self.sines, one * self.sines + other * self.cosines], -1)

    def forward(self, x: Tensor) -> Tensor:
        count, time, width = x.shape
        parts = self.inwards(self.before(x)).chunk(3, -1)
        queries, keys, values = (part.view(count, time, 4, -1).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(self.turned(queries), self.turned(keys), values, is_causal=True)
        x = x + self.outwards(mixed.transpose(1, 2).reshape(count, time, width))
        wide = self.between(x)
        return x + self.down(F.silu(self.gate(wide)) * self.up(wide))


class Llama(nn.Module):
    """A decoder as they are built today: places by rotation, norms without means, gated layers, tied weights."""

    def __init__(self, width: int = 64, time: int = 64) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.Sequential(*[Rotated(width, time) for _ in range(2)], RootMeanSquare(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return (self.blocks(self.table(tokens)) @ self.table.weight.T).transpose(1, 2)


def _normed(before: int, after: int, stride: int, norm: Callable[[int], nn.Module]) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), norm(after)]


class Block(nn.Module):
    """Two convolutions and what leads past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        first, second = _normed(before, after, stride, nn.BatchNorm2d), _normed(after, after, 1, nn.BatchNorm2d)
        self.inner = nn.Sequential(*first, nn.ReLU(), *second)
        self.past = nn.Conv2d(before, after, 1, stride=stride) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.inner(x) + self.past(x))


def resnet() -> nn.Module:
    """Three stages with batch normalization."""
    stages = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    first = _normed(3, 16, 1, nn.BatchNorm2d)
    return nn.Sequential(*first, nn.ReLU(), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def convnet() -> nn.Module:
    """Convolutions with group normalization."""
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [*_normed(before, after, stride, lambda width: nn.GroupNorm(8, width)), nn.SiLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class Lstm(nn.Module):
    """torch's LSTM, its last state classified."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.LSTM(16, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0][:, -1])


class Gru(nn.Module):
    """Gated units written out, one time after another."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.inwards, self.within = nn.Linear(16, 3 * width), nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.within.in_features)
        for given in self.inwards(x).unbind(1):
            (reset, update, fresh), (from_reset, from_update, from_fresh) = (
                given.chunk(3, -1),
                self.within(state).chunk(3, -1),
            )
            update = torch.sigmoid(update + from_update)
            new = torch.tanh(fresh + torch.sigmoid(reset + from_reset) * from_fresh)
            state = new + update * (state - new)
        return self.head(state)


def autoencoder() -> nn.Module:
    """Convolutions to 32 numbers and back."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.Linear(32, 512),
        nn.SiLU(),
        nn.Unflatten(1, (32, 4, 4)),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
    )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network and the rows it reads: ``shape`` of numbers, or as many ``tokens``; ``target`` says what it learns."""

    make: Callable[[], nn.Module]
    batch: int
    shape: tuple[int, ...]
    tokens: bool = False
    target: str = "class"

    @property
    def loss(self) -> nn.Module:
        return nn.MSELoss() if self.target == "itself" else nn.CrossEntropyLoss()

    def rows(self) -> tuple[Tensor, Tensor]:
        """A batch and what is to come out."""
        draw = torch.Generator().manual_seed(0)
        if self.tokens:
            x = torch.randint(0, VOCABULARY, (self.batch, *self.shape), generator=draw)
        else:
            x = torch.randn(self.batch, *self.shape, generator=draw)
        if self.target == "itself":
            return x, x.clone()
        if self.target == "next":
            return x, x.roll(-1, 1)
        return x, torch.randint(0, CLASSES, (self.batch,), generator=draw)


ARCHITECTURES = {
    "perceptron": Architecture(make=perceptron, batch=64, shape=(96,)),
    "residual-perceptron": Architecture(make=residual_perceptron, batch=64, shape=(96,)),
    "encoder": Architecture(make=Encoder, batch=32, shape=(32,), tokens=True),
    "gpt": Architecture(make=Gpt, batch=16, shape=(64,), tokens=True, target="next"),
    "llama": Architecture(make=Llama, batch=16, shape=(64,), tokens=True, target="next"),
    "resnet": Architecture(make=resnet, batch=32, shape=(3, 16, 16)),
    "convnet": Architecture(make=convnet, batch=32, shape=(3, 16, 16)),
    "lstm": Architecture(make=Lstm, batch=32, shape=(24, 16)),
    "gru": Architecture(make=Gru, batch=32, shape=(24, 16)),
    "autoencoder": Architecture(make=autoencoder, batch=32, shape=(1, 16, 16), target="itself"),
}
