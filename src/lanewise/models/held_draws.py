"""What a module drops out, at fixed places: drawn anew before each step that a graph repeats.

Dropout is drawn on the CPU, which a CUDA graph cannot do. The first step notes what is drawn, in which order and by
which key; from then on the draws of each step are made beforehand, in the same order, and the module reads them where
they lie.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

_THREAD: Final = threading.local()

KeyOf = Callable[[str, int], int]
"""``(layer, group)`` to the seed of what they draw in a step."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    kept: Tensor
    share: float

    def drawn(self, generator: torch.Generator) -> Tensor:
        return torch.empty(self.kept.shape, dtype=self.kept.dtype).bernoulli_(self.share, generator=generator)


@final
class HeldDraws:
    """The places of all that a step drops out, by layer and group in the order in which it is drawn.

    ``noted`` says whether they are known, from the second step on; ``now`` are the draws of the module that runs;
    ``refused`` says why they cannot be made beforehand, empty where they can.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], list[_Place]] = {}
        self._owners: dict[int, tuple[str, int]] = {}
        self.now: Cursor | None = None
        self.noted = False
        self.refused = ""

    def owner(self, key: int, layer: str, group: int) -> None:
        """That ``key`` seeds in this step what ``group`` draws in ``layer``; groups of one seed share their draws."""
        self._owners.setdefault(key, (layer, group))

    def fill(self, key_of: KeyOf) -> None:
        """Make the draws of the step whose keys are told by ``key_of``."""
        self._owners.clear()
        self.noted = bool(self._places)
        for (layer, group), places in self._places.items():
            generator = torch.Generator().manual_seed(key_of(layer, group))
            for place in places:
                place.kept.copy_(place.drawn(generator))

    def of(self, key: int, generator: torch.Generator | None = None) -> "Cursor":
        """The draws that ``key`` seeds; until they are noted ``generator``, just seeded by it, makes them."""
        return Cursor(self._places.setdefault(self._owners[key], []), None if self.noted else generator)

    @contextmanager
    def reading(self, key: int) -> Iterator[None]:
        """Dropout in the block is that of ``key``, as it lies there; no generator is touched."""
        self.now = self.of(key)
        try:
            yield
        finally:
            self.now = None

    @contextmanager
    def noting(self, key: int, generator: torch.Generator) -> Iterator[None]:
        """Note what the block draws from ``generator``, just seeded by ``key``; refuse if it draws anything else."""
        on_gpu = [own.get_state() for own in gpu_generator()]
        self.now = self.of(key, generator)
        try:
            yield
        finally:
            self.now = None
        again = torch.Generator().manual_seed(key)
        for place in self._places[self._owners[key]]:
            place.drawn(again)
        found = [generator.get_state(), *(own.get_state() for own in gpu_generator())]
        if not all(map(torch.equal, found, [again.get_state(), *on_gpu])):
            self.refused = "the module draws random numbers other than dropout"


@final
class Cursor:
    """Goes through the draws of one key."""

    def __init__(self, places: list[_Place], generator: torch.Generator | None) -> None:
        self._places, self._generator, self._next = places, generator, 0

    def kept(self, shape: Sequence[int], p: float, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Ones and zeros ``shape``, a share ``p`` of them zeros."""
        if self._next == len(self._places):
            place = _Place(kept=torch.empty(tuple(shape), dtype=dtype, device=device), share=1 - p)
            self._places.append(place)
        place = self._places[self._next]
        if self._generator is not None:
            place.kept.copy_(place.drawn(self._generator))
        self._next += 1
        return place.kept


@contextmanager
def holding(draws: HeldDraws) -> Iterator[None]:
    """What this thread drops out in the block is noted in ``draws``, or read from there."""
    _THREAD.draws = draws
    try:
        yield
    finally:
        _THREAD.draws = None


def gpu_generator() -> list[torch.Generator]:
    """The generator of the current GPU, if one is in use."""
    return [torch.cuda.default_generators[torch.cuda.current_device()]] if torch.cuda.is_initialized() else []


def held_draws() -> HeldDraws | None:
    """Where this thread holds what it drops out, if anywhere."""
    return getattr(_THREAD, "draws", None)
