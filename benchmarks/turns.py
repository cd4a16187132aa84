"""Measures several sides in turns, so that whatever else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Quotients of two sides, one for each round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def waited(device: torch.device) -> None:
    """Until a GPU has done what it was given; calls return before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, device: torch.device | None = None
) -> dict[str, list[float]]:
    """Seconds of every side in every round, until ``device`` is done; every other round in the other order."""
    device = torch.device("cpu") if device is None else device
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            waited(device)
            started = time.perf_counter()
            sides[name]()
            waited(device)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> Ratio:
    """``slower / faster`` round by round: the median, the smallest and the largest."""
    quotients = [a / b for a, b in zip(slower, faster, strict=True)]
    return Ratio(median=statistics.median(quotients), low=min(quotients), high=max(quotients))


def better_of(seconds: Mapping[str, list[float]], names: tuple[str, ...]) -> str:
    """The side with the smallest median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))
