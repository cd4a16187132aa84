"""Multi-layer perceptrons with embeddings for categories of many levels."""

from collections.abc import Callable, Mapping
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import BufferLayout, Parameter
from lanewise.lanes.hyper import Hyper
from lanewise.models.base import Inputs, Noise, StackedModel, Weights, Width
from lanewise.models.layers import solo_linear, stacked_embedding, stacked_layer_norm, stacked_linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
}


def embedding_width(levels: int) -> int:
    """Width of the embedding of a category: grows slowly with its number of levels, 2 to 32."""
    return max(2, min(32, round(1.6 * levels**0.4)))


@final
class StackedMLP(StackedModel):
    """``depth`` hidden layers of ``width`` units: linear, optional layer norm, activation, dropout.

    Dropout is per lane: every lane of a seed compares the same uniform draws with its own rate.
    """

    name: ClassVar[str] = "mlp"
    hypers: ClassVar[tuple[Hyper, ...]] = (
        Hyper(name="width", default=128, scale="choice", choices=(32, 64, 128, 256), words="units per hidden layer"),
        Hyper(name="depth", default=2, scale="choice", choices=(1, 2, 3), words="hidden layers"),
        Hyper(name="activation", default="relu", scale="choice", choices=("relu", "silu"), words="activation"),
        Hyper(name="layer_norm", default=False, scale="choice", choices=(False, True), words="layer normalization"),
        Hyper(name="dropout", default=0.1, low=0.0, high=0.5, words="share of hidden units dropped in training"),
        Hyper(name="l2", default=0.0, low=1e-7, high=1e-2, scale="log", words="L2 penalty"),
    )
    structure: ClassVar[tuple[str, ...]] = ("loss", "width", "depth", "activation", "layer_norm")

    def __init__(
        self,
        width: Width,
        *,
        hidden: int,
        depth: int,
        activation: str = "relu",
        layer_norm: bool = False,
        dropout: Tensor | None = None,
    ) -> None:
        """``dropout [L]`` holds the rate of every lane; None where no lane drops."""
        self.width = width
        self.depth = depth
        self.activation = activation
        self.layer_norm = layer_norm
        self.dropout = dropout
        parameters = []
        embedded = 0
        for k, count in enumerate(width.levels):
            size = embedding_width(count)
            parameters.append(Parameter(name=f"embedding{k}", shape=(count, size), fan_in=size))
            embedded += size
        fan_in = width.dense + embedded
        for layer in range(depth):
            if layer == 0 and embedded:
                parameters.append(
                    Parameter(
                        name="embedded.weight", shape=(hidden, embedded), fan_in=fan_in, continues="layer0.weight"
                    )
                )
            columns = width.dense if layer == 0 else hidden
            parameters += _linear_parameters(f"layer{layer}", hidden, columns, fan_in)
            if layer_norm:
                for part in ("scale", "shift"):
                    parameters.append(Parameter(name=f"norm{layer}.{part}", shape=(hidden,), fan_in=1, penalised=False))
            fan_in = hidden
        parameters += _linear_parameters("head", width.outputs, hidden, hidden)
        self.layout = BufferLayout.of(parameters)

    def place(self, device: torch.device) -> None:
        if self.dropout is not None:
            self.dropout = self.dropout.to(device)

    def initial(self, parameter: Parameter, seed: int) -> Tensor:
        if parameter.name.endswith(".scale"):
            return torch.ones(parameter.shape, dtype=torch.float64)
        if parameter.name.endswith(".shift"):
            return torch.zeros(parameter.shape, dtype=torch.float64)
        draw = super().initial(parameter, seed)
        if parameter.name.startswith("embedding"):
            draw[0] = 0.0  # the code of unseen levels: it may never be trained, so it must say nothing
        return draw

    def forward(self, weights: Weights, inputs: Inputs, *, noise: Noise | None = None) -> Tensor:
        plain_relu = self.activation == "relu" and not self.layer_norm
        hidden = inputs.per_lane(inputs.dense)
        for layer in range(self.depth):
            weight, bias = weights[f"layer{layer}.weight"], weights[f"layer{layer}.bias"]
            joined = layer == 0 and bool(self.width.levels)
            hidden = stacked_linear(hidden, weight, bias, relu=plain_relu and not joined)
            if joined:
                hidden = hidden + self._embed(weights, inputs)
            if self.layer_norm:
                hidden = stacked_layer_norm(hidden, weights[f"norm{layer}.scale"], weights[f"norm{layer}.shift"])
            if not plain_relu or joined:
                hidden = ACTIVATIONS[self.activation](hidden)
            if noise is not None and self.dropout is not None:
                hidden = self._drop(hidden, f"layer{layer}", inputs, noise)
        return stacked_linear(hidden, weights["head.weight"], weights["head.bias"])

    def _embed(self, weights: Weights, inputs: Inputs) -> Tensor:
        parts = [
            stacked_embedding(inputs.codes[..., k], weights[f"embedding{k}"], inputs.sizes)
            for k in range(len(self.width.levels))
        ]
        return stacked_linear(torch.cat(parts, -1), weights["embedded.weight"], None)

    def _drop(self, hidden: Tensor, layer: str, inputs: Inputs, noise: Noise) -> Tensor:
        assert self.dropout is not None
        draws = inputs.per_lane(noise.uniform(layer, hidden.shape[1:]))
        rate = self.dropout[:, None, None]
        scale = (1 / (1 - rate)).to(hidden.dtype)
        return hidden * torch.where(draws >= rate, scale, torch.zeros_like(scale))

    def solo(self, row: Mapping[str, Tensor]) -> nn.Module:
        return SoloMLP(row, depth=self.depth, activation=self.activation, layer_norm=self.layer_norm)


def _linear_parameters(name: str, outputs: int, columns: int, fan_in: int) -> list[Parameter]:
    return [
        Parameter(name=f"{name}.weight", shape=(outputs, columns), fan_in=fan_in),
        Parameter(name=f"{name}.bias", shape=(outputs,), fan_in=fan_in, penalised=False),
    ]


class SoloMLP(nn.Module):
    """The same network with one set of weights, as plain torch modules, for prediction and export."""

    def __init__(self, row: Mapping[str, Tensor], *, depth: int, activation: str, layer_norm: bool) -> None:
        super().__init__()
        tables = [row[f"embedding{k}"] for k in range(sum(name.startswith("embedding") for name in row))]
        self.tables = nn.ModuleList(nn.Embedding.from_pretrained(table.clone(), freeze=False) for table in tables)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for layer in range(depth):
            weight = row[f"layer{layer}.weight"]
            if layer == 0 and tables:
                weight = torch.cat([weight, row["embedded.weight"]], 1)
            self.layers.append(solo_linear(weight, row[f"layer{layer}.bias"]))
            if layer_norm:
                norm = nn.LayerNorm(len(weight), dtype=weight.dtype)
                with torch.no_grad():
                    norm.weight.copy_(row[f"norm{layer}.scale"])
                    norm.bias.copy_(row[f"norm{layer}.shift"])
                self.norms.append(norm)
        self.head = solo_linear(row["head.weight"], row["head.bias"])
        self.activation = activation

    def forward(self, dense: Tensor, codes: Tensor) -> Tensor:
        hidden = torch.cat([dense, *(table(codes[:, k]) for k, table in enumerate(self.tables))], -1)
        for layer, linear in enumerate(self.layers):
            hidden = linear(hidden)
            if len(self.norms):
                hidden = self.norms[layer](hidden)
            hidden = ACTIVATIONS[self.activation](hidden)
        return self.head(hidden)
