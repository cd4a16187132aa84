"""Lanes of a network that is a chain of torch's own layers: batched products instead of a vectorized call.

Under ``torch.func.vmap`` every operation is dispatched twice and every gradient is made first and copied into the lane
buffer afterwards. A chain of linear layers, activations, dropout and layer norms, an embedding before them, runs as
the networks of :mod:`lanewise.models.mlp` do: its products are batched over lanes, and their gradients are written in
place.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import BufferLayout
from lanewise.models.base import Inputs, Noise, Weights
from lanewise.models.held_draws import Cursor, held_draws
from lanewise.models.layers import stacked_layer_norm, stacked_linear, stacked_lookup
from lanewise.models.same_operations import altered

ELEMENTWISE: Final = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)
"""Layers that look at one element at a time: they do the same to many lanes as to one."""

Draw = Callable[[Sequence[int], float], Tensor]
"""``(shape [B, ...], p)`` to factors ``[G, B, ...]`` of dropout, the next draws of each group."""

Layer = Callable[[Tensor, Weights, Inputs, Draw | None], Tensor]


@final
class Chain:
    """The layers of a module one after another, over ``hidden [L, B, ...]``."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, module: nn.Module, layout: BufferLayout) -> "Chain | None":
        """The chain that ``module`` is; None where it has any layer that is not known here.

        Known are ``nn.Sequential``, ``Linear``, ``LayerNorm`` over the last dim, ``Dropout``, ``Flatten``, ``Identity``
        and activations element by element, and as the first layer ``Embedding``: these very classes without hooks, each
        weight used once and trained.

        >>> from lanewise.models.blueprint import Blueprint
        >>> make = lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> Chain.of(make(), Blueprint.of(make, torch.zeros(5, 3)).layout) is not None
        True
        """
        parts = list(_leaves(module, ""))
        names = [name for name, weight in module.named_parameters(remove_duplicate=False) if weight is not None]
        if layout.statistics or any(True for _ in module.buffers()):
            return None
        if len({id(part) for _, part in parts}) != len(parts):
            return None
        if sorted(names) != sorted(own.name for own in layout.parameters):
            return None
        layers: list[Layer] = []
        for place, (name, part) in enumerate(parts):
            follows = place > 0 and type(parts[place - 1][1]) is nn.Linear
            if type(part) is nn.ReLU and follows:
                continue  # the product before rectifies
            rectifies = place + 1 < len(parts) and type(parts[place + 1][1]) is nn.ReLU
            if type(part) is nn.Embedding and place == 0:  # later its codes would have a lane axis of their own
                layer = _lookup(name, part)
            else:
                layer = _layer(name, part, rectifies=rectifies)
            if layer is None:
                return None
            layers.append(layer)
        return cls(layers)

    def __call__(self, weights: Weights, inputs: Inputs, *, layer: str, noise: Noise | None) -> Tensor:
        """Outputs ``[L, B, ...]``. The draws of a group come from a generator of its own, keyed for ``layer``."""
        hidden = inputs.per_lane(inputs.dense)
        draw = _Draws(weights, inputs, noise, layer) if noise is not None else None
        for step in self._layers:
            hidden = step(hidden, weights, inputs, draw)
        return hidden


class _Draws:
    """Dropout of the layers in their order, as torch's generator gives it to a module that runs alone."""

    def __init__(self, weights: Weights, inputs: Inputs, noise: Noise, layer: str) -> None:
        self._held = held_draws()
        self._cursors: list[Cursor] = []
        self._generators: list[torch.Generator] = []
        self._layer, self._groups = layer, len(inputs.sizes)
        dense = inputs.dense
        # Codes are looked up before anything is dropped out.
        self._dtype = dense.dtype if dense.is_floating_point() else next(iter(weights.values())).value.dtype
        self._device, self._noise = dense.device, noise

    def __call__(self, shape: Sequence[int], p: float) -> Tensor:
        if not self._generators:  # at the first draw: most chains have none
            keys = [self._noise.key(self._layer, group) for group in range(self._groups)]
            self._generators = [torch.Generator().manual_seed(key) for key in keys]
            if self._held is not None:
                self._cursors = [self._held.of(*own) for own in zip(keys, self._generators, strict=True)]
        if self._held is not None:
            drawn = [own.kept(shape, p, self._dtype, self._device) for own in self._cursors]
        else:
            drawn = [
                self._noise.rows(
                    lambda whole, own=own: torch.empty(whole, dtype=self._dtype).bernoulli_(1 - p, generator=own), shape
                )
                for own in self._generators
            ]
        kept = (drawn[0].unsqueeze(0) if len(drawn) == 1 else torch.stack(drawn)).to(self._device)
        return kept / (1 - p) if p < 1 else kept


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested ``nn.Sequential`` with their names, in the order in which they are called."""
    if type(module) is nn.Sequential and not altered(module):
        for own, child in module.named_children():
            yield from _leaves(child, f"{name}.{own}" if name else own)
        return
    yield name, module


def _layer(name: str, part: nn.Module, *, rectifies: bool) -> Layer | None:
    """What a layer does to lanes; None for one that is not known."""
    if altered(part) or getattr(part, "inplace", False):
        return None
    prefix = f"{name}." if name else ""
    if type(part) is nn.Linear:
        return _linear(prefix, biased=part.bias is not None, rectifies=rectifies)
    if type(part) is nn.LayerNorm:
        return _layer_norm(prefix, part)
    return _without_weights(part)


def _without_weights(part: nn.Module) -> Layer | None:
    if type(part) is nn.Dropout:
        return _dropout(float(part.p))
    if type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
        return lambda hidden, weights, inputs, draw: hidden.flatten(2)
    if type(part) is nn.Identity:
        return lambda hidden, weights, inputs, draw: hidden
    if type(part) in ELEMENTWISE:
        return lambda hidden, weights, inputs, draw: part(hidden)
    return None


def _linear(prefix: str, *, biased: bool, rectifies: bool) -> Layer:
    def run(hidden: Tensor, weights: Weights, inputs: Inputs, draw: Draw | None) -> Tensor:
        bias = weights[f"{prefix}bias"] if biased else None
        rows = hidden if hidden.dim() == 3 else hidden.flatten(1, -2)
        out = stacked_linear(rows, weights[f"{prefix}weight"], bias, relu=rectifies)
        return out if hidden.dim() == 3 else out.unflatten(1, hidden.shape[1:-1])

    return run


def _lookup(name: str, part: nn.Embedding) -> Layer | None:
    if altered(part) or part.max_norm is not None or part.scale_grad_by_freq or part.sparse:
        return None
    weight, padding = f"{name}.weight" if name else "weight", -1 if part.padding_idx is None else part.padding_idx
    return lambda hidden, weights, inputs, draw: stacked_lookup(
        inputs.dense, weights[weight], inputs.sizes, padding=padding
    )


def _layer_norm(prefix: str, part: nn.LayerNorm) -> Layer | None:
    if len(part.normalized_shape) != 1 or part.weight is None or part.bias is None:
        return None
    eps = part.eps

    def run(hidden: Tensor, weights: Weights, inputs: Inputs, draw: Draw | None) -> Tensor:
        rows = hidden if hidden.dim() == 3 else hidden.flatten(1, -2)
        out = stacked_layer_norm(rows, weights[f"{prefix}weight"], weights[f"{prefix}bias"], eps)
        return out if hidden.dim() == 3 else out.unflatten(1, hidden.shape[1:-1])

    return run


def _dropout(p: float) -> Layer:
    def run(hidden: Tensor, weights: Weights, inputs: Inputs, draw: Draw | None) -> Tensor:
        return hidden * inputs.per_lane(draw(hidden.shape[1:], p)) if draw is not None and p else hidden

    return run
