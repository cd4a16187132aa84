"""A hyper-parameter: its default and the range that a search may draw from."""

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["linear", "log", "integer", "log_integer", "choice"]


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """One hyper-parameter, declared by the model, rule or loop that reads it.

    ``low`` and ``high`` bound a search, not what a user may state. A ``choice`` lists its values.

    >>> round(Hyper(name="lr", default=1e-3, low=1e-4, high=1.0, scale="log").at(0.5), 6)
    0.01
    """

    name: str
    default: float | int | str | bool
    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    choices: tuple[float | int | str | bool, ...] = ()
    words: str = ""

    def at(self, u: float) -> float | int | str | bool:
        """The value at coordinate ``u`` of the unit interval."""
        if self.scale == "choice":
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        assert self.low is not None, f"{self.name} has no range"
        assert self.high is not None, f"{self.name} has no range"
        if self.scale in ("log", "log_integer"):
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        return round(value) if self.scale in ("integer", "log_integer") else value
