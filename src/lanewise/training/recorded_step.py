"""The step of a stack as a CUDA graph: recorded once, then started by one call.

A step of small networks is some hundred kernels of a few microseconds each, and to start them one by one from Python
takes longer than they run. What changes from step to step (rows, rates, dropout draws) is copied to where the graph
reads it; everything else changes in place.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor

from lanewise.models.base import Noise
from lanewise.models.held_draws import HeldDraws, holding
from lanewise.training.divisible import out_of_memory

Take = Callable[[Sequence[Tensor], Tensor, Noise], Tensor]
"""A whole step, ``(rows of each group, rates [L], noise)`` to the losses ``[L]``: operations on the device alone."""

WARM_STEPS = 3
"""Steps that are taken as usual before one is recorded: libraries allocate and choose their kernels in the first."""

WORTH_RECORDING = 20
"""Steps to come from which recording, which takes about as long as a few of them, pays."""


@final
class HeldNoise(Noise):
    """Dropout draws at fixed places, filled before each step by :meth:`fill`.

    ``held`` are the uniform ones by layer ``[G, *shape]``, ``of_modules`` those that modules make themselves.
    """

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}
        self.of_modules = HeldDraws()
        self._source: Noise | None = None

    def fill(self, source: Noise) -> None:
        """Take the draws of a step from ``source``."""
        self._source = source
        for layer, place in self.held.items():
            place.copy_(source.uniform(layer, place.shape[1:]))
        self.of_modules.fill(source.key)

    def uniform(self, layer: str, shape: Sequence[int]) -> Tensor:
        if layer not in self.held:
            assert self._source is not None, "a step is filled before it is taken"
            self.held[layer] = self._source.uniform(layer, shape).clone()
        return self.held[layer]

    def key(self, layer: str, group: int) -> int:
        assert self._source is not None, "a step is filled before it is taken"
        key = self._source.key(layer, group)
        self.of_modules.owner(key, layer, group)
        return key


@final
class RecordedStep:
    """Takes the steps of a stack whose lanes stay the same: a few as usual, then by replaying a graph.

    A step that cannot be recorded after all is taken as usual for ever, and ``refused`` says why: an operation waits
    for the host, or the module draws what cannot be drawn beforehand.
    """

    def __init__(self) -> None:
        self._noise = HeldNoise()
        self._rows: list[Tensor] = []
        self._rates: Tensor | None = None
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses: Tensor | None = None
        self.refused = ""

    @property
    def recorded(self) -> bool:
        """Whether steps are replayed by now."""
        return self._graph is not None

    def __call__(self, take: Take, rows: Sequence[Tensor], rates: Tensor, noise: Noise, *, left: int) -> Tensor:
        """One step, of ``left`` that are still to come; the losses ``[L]`` are overwritten by the next.

        ``take`` is the whole step, the same each time. It is not kept: a stack that keeps its steps, and is kept by
        them, would wait for the garbage collector, which must not free a graph while another is recorded.
        """
        if self.refused:
            return take(rows, rates, noise)
        self._fill(rows, rates, noise)
        with holding(self._noise.of_modules):
            losses = self._taken(take, left)
        self.refused = self.refused or self._noise.of_modules.refused
        return losses

    def _taken(self, take: Take, left: int) -> Tensor:
        assert self._rates is not None
        if self._graph is None and (self._warm < WARM_STEPS or left < WORTH_RECORDING):
            self._warm += 1
            return take(self._rows, self._rates, self._noise)
        if self._graph is None:
            self._record(take)
        if self._graph is None:
            return take(self._rows, self._rates, self._noise)
        self._graph.replay()
        assert self._losses is not None
        return self._losses

    def _fill(self, rows: Sequence[Tensor], rates: Tensor, noise: Noise) -> None:
        if self._rates is None:
            self._rows, self._rates = [own.clone() for own in rows], rates.clone()
        else:
            for place, own in zip(self._rows, rows, strict=True):
                place.copy_(own)
            self._rates.copy_(rates)
        self._noise.fill(noise)

    def _record(self, take: Take) -> None:
        assert self._rates is not None
        graph = torch.cuda.CUDAGraph()
        try:
            with _recording(graph):
                self._losses = take(self._rows, self._rates, self._noise)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            self.refused = str(error).strip().partition("\n")[0]
            return
        self._graph = graph


@contextmanager
def _recording(graph: "torch.cuda.CUDAGraph") -> Iterator[None]:
    """Record what the block does on the current stream, without what ``torch.cuda.graph`` does before.

    That empties the cache of the allocator, so that every stack would have to ask the driver for memory anew. Only this
    thread is recorded: others may use the GPU meanwhile.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            yield
        finally:
            graph.capture_end()
    finally:
        if collects:
            gc.enable()
