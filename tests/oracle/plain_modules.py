"""Ordinary modules of many kinds and the ordinary loop that trains one of them: torch alone, nothing of lanes."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS, TRAIN, BATCH, CLASSES, TOKENS, TIME = 40, 30, 8, 3, 7, 5
NODES, FEATURES = 4, 3


def logistic_regression() -> nn.Module:
    return nn.Linear(6, CLASSES).double()


def mlp_with_dropout() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, CLASSES)
    ).double()


def mlp_over_tokens() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(TOKENS, 4), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * TIME, 9), nn.ReLU(), nn.Linear(9, CLASSES)
    ).double()


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 6),
        nn.ReLU(),
        nn.Linear(6, CLASSES),
    ).double()


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(4, momentum=0.3),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return F.relu(hidden + self.inner(hidden))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        _Residual(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, CLASSES),
    ).double()


def group_norm_conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(36, CLASSES)
    ).double()


class _LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, 4)
        self.lstm = nn.LSTM(4, 5, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.table(tokens))[0][:, -1])


def lstm() -> nn.Module:
    return _LSTM().double()


class _GRU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, 4)
        self.gru = nn.GRU(4, 3, bidirectional=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.gru(self.table(tokens.t()))[0].mean(0))


def gru() -> nn.Module:
    return _GRU().double()


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, 8)
        self.places = nn.Parameter(torch.randn(TIME, 8) / 4)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.unused = nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.frozen(self.table(tokens)) + self.places).mean(1))


def transformer_encoder() -> nn.Module:
    return _Encoder().double()


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8), nn.Dropout(0.1))

    def forward(self, hidden: Tensor) -> Tensor:
        split = self.qkv(self.before(hidden)).unflatten(-1, (3, 2, 4)).movedim(-3, 0).transpose(-2, -3)
        mixed = F.scaled_dot_product_attention(*split, dropout_p=0.1 if self.training else 0.0, is_causal=True)
        hidden = hidden + self.out(mixed.transpose(-2, -3).flatten(-2))
        return hidden + self.inner(self.after(hidden))


class _GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, 8)
        self.register_buffer("places", torch.linspace(-1, 1, TIME * 8).view(TIME, 8))
        self.blocks = nn.Sequential(_Block(), _Block())
        self.head = nn.Linear(8, TOKENS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.table(tokens) + self.places))


def tied_gpt() -> nn.Module:
    return _GPT().double()


class _DeepSets(nn.Module):
    """A sum over the members of a set, between two networks."""

    def __init__(self) -> None:
        super().__init__()
        self.member = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 6))
        self.whole = nn.Sequential(nn.LeakyReLU(), nn.Linear(6, CLASSES))

    def forward(self, sets: Tensor) -> Tensor:
        return self.whole(self.member(sets).sum(-2))


def deep_sets() -> nn.Module:
    return _DeepSets().double()


class _GraphConvolution(nn.Module):
    """Two convolutions over dense graphs ``[B, N, N + F]``: adjacency, then the features of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, 7), nn.Linear(7, CLASSES, bias=False)
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, graphs: Tensor) -> Tensor:
        edges, nodes = graphs.split((NODES, FEATURES), -1)
        edges = edges + self.share * torch.eye(NODES, dtype=edges.dtype)
        edges = edges / edges.sum(-1, keepdim=True)
        return self.second(edges @ F.elu(self.first(edges @ nodes))).mean(-2)


def graph_convolution() -> nn.Module:
    return _GraphConvolution().double()


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, 2), nn.Linear(2, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 6)
    ).double()


def token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over rows and places: ``outputs [B, T, V]``, ``targets [B, T]``."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


Loss = Callable[[Tensor, Tensor], Tensor]
ENTROPY: Loss = nn.CrossEntropyLoss()
ARCHITECTURES: Mapping[str, tuple[Callable[[], nn.Module], str, Loss]] = {
    "logistic_regression": (logistic_regression, "numbers", ENTROPY),
    "mlp_with_dropout": (mlp_with_dropout, "numbers", ENTROPY),
    "lenet": (lenet, "images", ENTROPY),
    "resnet": (resnet, "images", ENTROPY),
    "group_norm_conv_net": (group_norm_conv_net, "images", nn.CrossEntropyLoss(reduction="none")),
    "lstm": (lstm, "tokens", ENTROPY),
    "gru": (gru, "tokens", ENTROPY),
    "transformer_encoder": (transformer_encoder, "tokens", ENTROPY),
    "tied_gpt": (tied_gpt, "text", token_loss),
    "deep_sets": (deep_sets, "sets", ENTROPY),
    "graph_convolution": (graph_convolution, "graphs", ENTROPY),
    "autoencoder": (autoencoder, "themselves", nn.MSELoss()),
    "mlp_over_tokens": (mlp_over_tokens, "tokens", ENTROPY),
}
"""What builds the module, which rows it reads, and its loss."""

OPTIMIZERS: Mapping[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "sgd": lambda weights, lr: torch.optim.SGD(weights, lr=lr, weight_decay=0.01),
    "momentum": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
    "nesterov": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr=lr, eps=EPS),
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr=lr, eps=EPS),
    "adamw": lambda weights, lr: torch.optim.AdamW(weights, lr=lr, eps=EPS, weight_decay=0.1),
}
EPS = 1e-6
"""Above rounding: the bias of a key in attention has no influence, and Adam would blow its gradient of 1e-17 up."""

RATES = {"sgd": 0.1, "momentum": 0.03, "nesterov": 0.02, "rmsprop": 0.003, "adam": 0.01, "adamw": 0.02}
DECAYS = {"sgd": 0.01, "adamw": 0.1}


SHAPES = {
    "numbers": (6,),
    "themselves": (6,),
    "images": (1, 8, 8),
    "sets": (5, FEATURES),
    "graphs": (NODES, NODES + FEATURES),
}


def rows_for(kind: str) -> tuple[Tensor, Tensor]:
    """``X [N, ...]`` and ``y [N, ...]`` that a model can learn from."""
    draw = torch.Generator().manual_seed(3)
    if kind in ("tokens", "text"):
        tokens = torch.randint(0, TOKENS, (ROWS, TIME), generator=draw)
        return tokens, tokens.roll(-1, 1) if kind == "text" else tokens.sum(1) % CLASSES
    numbers = torch.randn(ROWS, *SHAPES[kind], generator=draw, dtype=torch.float64)
    if kind == "themselves":
        return numbers, numbers
    classes = numbers.flatten(1)[:, -CLASSES:].argmax(1)
    if kind == "graphs":
        edges = numbers[..., :NODES] > 0
        numbers[..., :NODES] = (edges | edges.transpose(1, 2)).double()
    return numbers, classes


def train_alone(
    make: Callable[[], nn.Module],
    loss: Loss,
    optimizer: str,
    rows: tuple[Tensor, Tensor],
    *,
    seed: int,
    batch: Callable[[int], Tensor],
    key: Callable[[int], int],
    steps: int,
) -> nn.Module:
    """A module after ``steps`` of the plainest loop; ``key(step)`` seeds what it draws, ``batch(step)`` names rows."""
    torch.manual_seed(seed)
    module = make().train()
    draws = torch.default_generator  # torch.manual_seed remembers where it was called for devices that are not there
    method = OPTIMIZERS[optimizer](module.parameters(), RATES[optimizer])
    X, y = rows
    for step in range(steps):
        for group in method.param_groups:
            group["lr"] = RATES[optimizer] * (1 - step / steps)
        method.zero_grad()
        at = batch(step)
        draws.manual_seed(key(step))
        with dropout_in_order():
            outputs = module(X[at])
        loss(outputs, y[at]).mean().backward()
        method.step()
    return module


@contextmanager
def dropout_in_order() -> Iterator[None]:
    """Dropout that draws in the order of the dims of a tensor, where torch draws in that of memory."""
    before = F.dropout, F.scaled_dot_product_attention

    def drop(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training:
            return values
        return values * torch.bernoulli(torch.full(values.shape, 1 - p, dtype=values.dtype)) / (1 - p)

    def attend(  # noqa: PLR0917  # as torch has it
        q: Tensor, k: Tensor, v: Tensor, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False
    ) -> Tensor:
        assert attn_mask is None
        scores = torch.einsum("...qe,...ke->...qk", q, k) / math.sqrt(q.shape[-1])
        if is_causal:
            later = torch.ones(q.shape[-2], k.shape[-2]).triu(1).bool()
            scores = scores.masked_fill(later, float("-inf"))
        return torch.einsum("...qk,...ke->...qe", drop(torch.softmax(scores, -1), dropout_p, dropout_p > 0), v)

    F.dropout, F.scaled_dot_product_attention = drop, attend
    try:
        yield
    finally:
        F.dropout, F.scaled_dot_product_attention = before
