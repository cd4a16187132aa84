"""The networks of the oracle, written with ``torch.nn`` alone.

Nothing here knows of lanes. A net is filled from a mapping of named weights and gives its weights
back under the same names, so that it can be laid beside one row of a stacked run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

import torch
from torch import Tensor, nn

Uniform = Callable[[str, tuple[int, int]], Tensor]

ACTIVATIONS: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class PlainNet(nn.Module, ABC):
    """One ordinary network: ``forward`` maps ``dense [B, D]`` and ``codes [B, K]`` to ``[B, C]``."""

    @abstractmethod
    def forward(self, dense: Tensor, codes: Tensor, *, rate: float = 0.0, uniform: Uniform | None = None) -> Tensor:
        """Outputs ``[B, C]``; ``uniform`` gives the dropout draws ``[B, H]`` of a named layer."""

    @abstractmethod
    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Copy named weights into the modules."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The weights by name, detached."""

    def penalised(self) -> list[nn.Parameter]:
        """Matrices and tables: what regularization acts on. Biases, scales and shifts are left alone."""
        modules = (module for module in self.modules() if isinstance(module, nn.Linear | nn.Embedding))
        return [module.get_parameter("weight") for module in modules]

    def free(self) -> list[nn.Parameter]:
        """Biases, scales and shifts."""
        penalised = {id(weight) for weight in self.penalised()}
        return [weight for weight in self.parameters() if id(weight) not in penalised]


@final
class LinearNet(PlainNet):
    """``W x + b`` plus one row of a table per category."""

    def __init__(self, dense: int, levels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dense, outputs)
        self.tables = nn.ModuleList(nn.Embedding(count, outputs) for count in levels)

    def forward(self, dense: Tensor, codes: Tensor, *, rate: float = 0.0, uniform: Uniform | None = None) -> Tensor:
        outputs = self.linear(dense)
        for k, table in enumerate(self.tables):
            outputs = outputs + table(codes[:, k])
        return outputs

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.linear.weight.copy_(weights["weight"])
            self.linear.bias.copy_(weights["bias"])
            for k, table in enumerate(self.tables):
                table.get_parameter("weight").copy_(weights[f"levels{k}"])

    def weights(self) -> dict[str, Tensor]:
        named = {"weight": self.linear.weight, "bias": self.linear.bias}
        named |= {f"levels{k}": table.get_parameter("weight") for k, table in enumerate(self.tables)}
        return {name: weight.detach().clone() for name, weight in named.items()}


@final
class MLPNet(PlainNet):
    """Hidden layers of ``linear, optional layer norm, activation, dropout``, and a linear head.

    The first layer reads the dense columns and the embeddings as one input; ``apart``, by a matrix for each, which
    makes a difference to rules that look at whole matrices.
    """

    def __init__(
        self,
        dense: int,
        embeddings: Sequence[tuple[int, int]],
        outputs: int,
        *,
        width: int,
        depth: int,
        activation: str,
        layer_norm: bool,
        apart: bool = False,
    ) -> None:
        super().__init__()
        self.dense = dense
        self.tables = nn.ModuleList(nn.Embedding(count, size) for count, size in embeddings)
        embedded = sum(size for _, size in embeddings)
        apart = apart and embedded > 0
        self.embedded = nn.Linear(embedded, width, bias=False) if apart else None
        inputs = dense if apart else dense + embedded
        self.layers = nn.ModuleList(nn.Linear(inputs if i == 0 else width, width) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-5) for _ in range(depth if layer_norm else 0))
        self.activation = ACTIVATIONS[activation]()
        self.head = nn.Linear(width, outputs)

    def forward(self, dense: Tensor, codes: Tensor, *, rate: float = 0.0, uniform: Uniform | None = None) -> Tensor:
        found = [table(codes[:, k]) for k, table in enumerate(self.tables)]
        hidden = dense if self.embedded else torch.cat([dense, *found], dim=1)
        for i, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if self.embedded and i == 0:
                hidden = hidden + self.embedded(torch.cat(found, dim=1))
            if self.norms:
                hidden = self.norms[i](hidden)
            hidden = self.activation(hidden)
            if uniform is not None and rate > 0:
                draws = uniform(f"layer{i}", (hidden.shape[0], hidden.shape[1]))
                hidden = torch.where(draws >= rate, hidden / (1 - rate), 0.0)
        return self.head(hidden)

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        own = self._named()
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(weights[name])

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._named().items()}

    def _named(self) -> dict[str, Tensor]:
        """Views of all weights; the first layer's matrix is shown as its dense and its embedded part."""
        named: dict[str, Tensor] = {}
        for k, table in enumerate(self.tables):
            named[f"embedding{k}"] = table.get_parameter("weight")
        for i, layer in enumerate(self.layers):
            named[f"layer{i}.weight"] = layer.get_parameter("weight")
            named[f"layer{i}.bias"] = layer.get_parameter("bias")
        if self.embedded:
            named["embedded.weight"] = self.embedded.weight
        elif self.tables:
            whole = named["layer0.weight"]
            named["layer0.weight"], named["embedded.weight"] = whole[:, : self.dense], whole[:, self.dense :]
        for i, norm in enumerate(self.norms):
            named[f"norm{i}.scale"] = norm.get_parameter("weight")
            named[f"norm{i}.shift"] = norm.get_parameter("bias")
        named["head.weight"], named["head.bias"] = self.head.weight, self.head.bias
        return named
