"""Measures several sides in turns, so that whatever else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Quotients of two sides, one for each round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def in_turns(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every side in every round; each round goes through the sides in the other direction."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            started = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> Ratio:
    """``slower / faster`` round by round: the median, the smallest and the largest."""
    quotients = [a / b for a, b in zip(slower, faster, strict=True)]
    return Ratio(median=statistics.median(quotients), low=min(quotients), high=max(quotients))


def better_of(seconds: Mapping[str, list[float]], names: tuple[str, ...]) -> str:
    """The side with the smallest median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))
