"""Variables that are not all real numbers: how a user states them, and how they lie in a row ``[P]``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import UsageError


@dataclass(frozen=True)
class Real:
    """A real number between ``low`` and ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("Real", self.low, self.high)


@dataclass(frozen=True)
class Integer:
    """A whole number between ``low`` and ``high``, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_range("Integer", self.low, self.high)
        if self.low != int(self.low) or self.high != int(self.high):
            message = f"Integer needs whole numbers, got {self.low} and {self.high}"
            raise UsageError(message)


@dataclass(frozen=True)
class Categorical:
    """One of ``choices``, which have no order.

    >>> Categorical(("red", "blue")).choices
    ('red', 'blue')
    """

    choices: Sequence[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            message = "Categorical needs at least one choice, got none"
            raise UsageError(message)


Variable = Real | Integer | Categorical


def _check_range(name: str, low: float, high: float) -> None:
    if not (-torch.inf < low <= high < torch.inf):
        message = f"{name} needs finite bounds with low <= high, got {low} and {high}"
        raise UsageError(message)


@dataclass(frozen=True, kw_only=True)
class Space:
    """Variables by name or by place; a row holds numbers, and of a choice its place.

    >>> space = Space.of({"size": Real(0, 1), "kind": Categorical(["a", "b"])})
    >>> space.shown(torch.tensor([0.5, 1.0]))
    {'size': 0.5, 'kind': 'b'}
    """

    variables: tuple[Variable, ...]
    names: tuple[Any, ...] | None

    @classmethod
    def of(cls, variables: Mapping[Any, Variable] | Sequence[Variable]) -> "Space":
        named = isinstance(variables, Mapping)
        members = tuple(variables.values()) if named else tuple(variables)
        wrong = [member for member in members if not isinstance(member, (Real, Integer, Categorical))]
        if wrong or not members:
            message = (
                f"variables must be Real, Integer or Categorical, by name or in a list; got {wrong or variables!r:.80}"
            )
            raise UsageError(message)
        return cls(variables=members, names=tuple(variables) if named else None)

    @property
    def torch(self) -> bool:
        return False

    @property
    def width(self) -> int:
        return len(self.variables)

    @property
    def low(self) -> Tensor:
        return torch.tensor([0.0 if isinstance(v, Categorical) else float(v.low) for v in self.variables]).double()

    @property
    def high(self) -> Tensor:
        ends = [float(len(v.choices) - 1 if isinstance(v, Categorical) else v.high) for v in self.variables]
        return torch.tensor(ends, dtype=torch.float64)

    @property
    def whole(self) -> Tensor:
        return torch.tensor([not isinstance(variable, Real) for variable in self.variables])

    @property
    def categories(self) -> Tensor:
        return torch.tensor([isinstance(variable, Categorical) for variable in self.variables])

    def shown(self, row: Tensor) -> Any:
        """The values of a row: a dict where variables have names, else a list."""
        values = [_value(variable, number) for variable, number in zip(self.variables, row.tolist(), strict=True)]
        return values if self.names is None else dict(zip(self.names, values, strict=True))

    def row(self, point: Any) -> Tensor:
        """The row of a point in the form of ``shown``; raises ``UsageError`` where it is none."""
        shape = "a dict by name" if self.names is not None else "a list"
        keyed = isinstance(point, Mapping)
        if (
            keyed != (self.names is not None)
            or len(point) != self.width
            or (keyed and set(point) != set(self.names or ()))
        ):
            message = f"x0 must be {shape} of the {self.width} variables, got {point!r:.80}"
            raise UsageError(message)
        values = [point[name] for name in self.names] if self.names is not None else list(point)
        numbers = [_number(variable, value) for variable, value in zip(self.variables, values, strict=True)]
        return torch.tensor(numbers, dtype=torch.float64)

    def middle(self) -> Tensor:
        """A row in the middle of all ranges."""
        middle = (self.low + self.high) / 2
        return torch.where(self.whole, middle.floor(), middle)


def _value(variable: Variable, number: float) -> Any:
    if isinstance(variable, Categorical):
        return variable.choices[round(number)]
    return round(number) if isinstance(variable, Integer) else number


def _number(variable: Variable, value: Any) -> float:
    if isinstance(variable, Categorical):
        if value not in variable.choices:
            message = f"x0 must be one of {', '.join(map(repr, variable.choices))}, got {value!r}"
            raise UsageError(message)
        return float(list(variable.choices).index(value))
    inside = isinstance(value, (int, float)) and variable.low <= value <= variable.high
    if not inside or (isinstance(variable, Integer) and value != int(value)):
        message = f"x0 must lie within {variable}, got {value!r}"
        raise UsageError(message)
    return float(value)
