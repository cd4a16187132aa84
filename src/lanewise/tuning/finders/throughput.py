"""Rows per second against batch size: measured in turns, and where it stops growing."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lanewise.errors import LanewiseError, UsageError, first_line
from lanewise.training.stack import Stack

SHARE = 0.9
"""Of the highest throughput, from which a batch is large enough: what is left to gain is less than a machine varies."""

FEWEST_TURNS = 3
TURN_SECONDS = 0.004
"""A turn of one size takes at least this long, so that the clock's own steps do not count."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """``seconds [S]`` of a step, the least of all turns, at each of ``sizes [S]``, which rise."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def rows_per_second(self) -> tuple[float, ...]:
        """``[S]``: ``size / seconds``."""
        return tuple(size / seconds for size, seconds in zip(self.sizes, self.seconds, strict=True))

    def at(self, size: int) -> float:
        """Rows per second at one of the sizes."""
        return self.rows_per_second[self.sizes.index(size)]


def knee(sizes: Sequence[int], rows_per_second: Sequence[float], *, share: float = SHARE) -> int:
    """The smallest size whose throughput is at least ``share`` of the highest.

    With a fixed cost per step, ``t = a + c b``, that is ``b = a / c · share / (1 - share)``. Beyond it a larger batch
    takes as long per row, and gives fewer steps for the same rows.

    >>> knee([8, 16, 32, 64, 128], [100, 190, 330, 380, 390])
    64
    """
    enough = share * max(rows_per_second)
    return min(size for size, speed in zip(sizes, rows_per_second, strict=True) if speed >= enough)


def measured(stacks: Mapping[int, Stack], *, seconds: float, wanted: int) -> Throughput:
    """The throughput of stacks by their batch size; the sizes take turns, so that a busy moment hits them all alike.

    A size above the ``wanted`` is left out, and larger ones with it, where a single step takes an eighth of the
    ``seconds``.
    """
    first: dict[int, float] = {}
    for size, stack in stacks.items():
        _first(stack)  # allocates what the others find
        first[size] = min(_steps(stack, 1), _steps(stack, 1))
        if size > wanted and first[size] > seconds / 8:
            del first[size]
            break
    turns = {size: max(1, math.ceil(TURN_SECONDS / one)) for size, one in first.items()}
    least = dict(first)
    ends, round_ = time.perf_counter() + seconds, 0
    while round_ < FEWEST_TURNS or time.perf_counter() < ends:
        for size, steps in turns.items():
            least[size] = min(least[size], _steps(stacks[size], steps) / steps)
        round_ += 1
    return Throughput(sizes=tuple(least), seconds=tuple(least.values()))


def _first(stack: Stack) -> None:
    try:
        _steps(stack, 1)
    except LanewiseError:
        raise
    except Exception as error:  # whatever the user's module or loss raises
        message = f"a step with batches of {stack.batch_size} failed: {type(error).__name__}: {first_line(error)}"
        raise UsageError(message) from error


def _steps(stack: Stack, count: int) -> float:
    """Seconds that so many steps take."""
    until = (round(stack.fraction * stack.length) + count) / stack.length
    started = time.perf_counter()
    stack.advance(until)
    if stack.device.type == "cuda":
        torch.cuda.synchronize(stack.device)
    return time.perf_counter() - started
