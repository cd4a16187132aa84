"""The stacked-model contract: one network architecture, many sets of weights. Documented here only."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import BufferLayout, Parameter, Weight
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import generator
from lanewise.lanes.hyper import Hyper

Weights = Mapping[str, Weight]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch as the lanes see it: one per group of lanes, not one per lane.

    ``dense [G, B, D]`` numbers, ``codes [G, B, K]`` int64 for embedded categories (K may be 0).
    ``sizes`` says how many consecutive lanes belong to each of the G groups.
    """

    dense: Tensor
    codes: Tensor
    sizes: tuple[int, ...]

    def per_lane(self, shared: Tensor) -> Tensor:
        """``shared [G, ...]`` as ``[L, ...]``; a view where all lanes are of one group."""
        if len(self.sizes) == 1:
            return shared.expand(self.sizes[0], *shared.shape[1:])
        return shared.index_select(0, _groups_of_lanes(self.sizes, shared.device))


@lru_cache(maxsize=64)
def _groups_of_lanes(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """The group of every lane ``[L]``; kept, for a step asks several times and a copy to a GPU makes it wait."""
    return torch.repeat_interleave(torch.tensor(sizes)).to(device)


@dataclass(frozen=True, kw_only=True)
class Width:
    """What the data decide about a model's shape.

    ``dense`` D; ``levels`` the vocabulary size of each of the K embedded categories; ``outputs`` C.
    """

    dense: int
    levels: tuple[int, ...]
    outputs: int


@dataclass(frozen=True, kw_only=True)
class PartOfBatch:
    """The rows ``start .. stop`` of a batch of ``rows``, the others of which are elsewhere."""

    start: int
    stop: int
    rows: int

    @property
    def share(self) -> float:
        return (self.stop - self.start) / self.rows


class Noise(ABC):
    """Where dropout gets its uniform draws, keyed by layer and step and shared by the lanes of a seed.

    Where only a ``part`` of the batch is here, its rows get what they would get in the whole of it.
    """

    part: PartOfBatch | None = None

    def rows(self, draw: Callable[[tuple[int, ...]], Tensor], shape: Sequence[int]) -> Tensor:
        """``draw(shape)``, the first dim of ``shape`` being rows of the batch: drawn for all of it, cut to the part."""
        if self.part is None:
            return draw(tuple(shape))
        return draw((self.part.rows, *shape[1:]))[self.part.start : self.part.stop]

    @abstractmethod
    def uniform(self, layer: str, shape: Sequence[int]) -> Tensor:
        """Uniform draws ``[G, *shape]``, one block per group of lanes."""

    @abstractmethod
    def key(self, layer: str, group: int) -> int:
        """The seed of a generator for what a layer draws in this step for one group, of whatever distribution."""


class StackedModel(ABC):
    """A network architecture whose weights carry a lane axis.

    ``structure`` names the settings that decide shapes or operations: lanes share a stack only if
    they agree in all of them. Everything else may differ from lane to lane.
    """

    name: ClassVar[str]
    hypers: ClassVar[tuple[Hyper, ...]]
    structure: ClassVar[tuple[str, ...]]

    layout: BufferLayout
    footprint: int = 256
    """Elements that the prediction of one row by one lane may hold at once."""

    @abstractmethod
    def forward(self, weights: Weights, inputs: Inputs, *, noise: Noise | None = None) -> Tensor:
        """Outputs ``[L, B, C]``; ``noise`` is given in training and absent in prediction."""

    def backward(self) -> AbstractContextManager[object]:
        """What the backward pass of a training step is to happen in; nothing for most."""
        return nullcontext()

    def place(self, device: torch.device) -> None:
        """Move what the model keeps beside its weights to where these lie; nothing for most."""
        del device

    @abstractmethod
    def solo(self, row: Mapping[str, Tensor]) -> nn.Module:
        """The same network as an ordinary module with the weights ``row`` of one lane.

        Its forward takes ``dense [B, D]`` and ``codes [B, K]`` and returns ``[B, C]``.
        """

    def init(self, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Initial rows ``[L, P]``: weights uniform within ``1 / sqrt(fan_in)``, drawn per seed and name.

        That is the bound of ``torch.nn.Linear``; fan-in is a lane's own, never the stack's.
        """
        rows = {}
        for seed in dict.fromkeys(seeds):
            row = torch.empty(1, self.layout.width, dtype=torch.float64)
            for parameter in self.layout.parameters:
                view = self.layout.views(row)[parameter.name]
                view.copy_(self.initial(parameter, seed))
            rows[seed] = row[0].to(dtype)
        return torch.stack([rows[seed] for seed in seeds])

    def initial(self, parameter: Parameter, seed: int) -> Tensor:
        """Initial values of one parameter of one lane; a model overrides what it wants otherwise."""
        draw = torch.rand(parameter.shape, generator=generator(seed, "init", parameter.name), dtype=torch.float64)
        return (2 * draw - 1) / max(parameter.fan_in, 1) ** 0.5


def structure_key(candidate: Candidate, names: Sequence[str]) -> tuple[tuple[str, object], ...]:
    """The settings that decide whether two candidates may share a stack."""
    return tuple((name, candidate.settings.get(name)) for name in names)
