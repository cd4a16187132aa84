"""Constraints as a user states them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Equality:
    """``g(x) = 0`` in every entry; ``g`` takes the point as the objective does.

    ``jac``, if given, returns the derivatives ``[M, P]``; else they are found as those of the objective.

    >>> Equality(lambda x: x.sum() - 1).kind
    'equality'
    """

    function: Callable[..., Any]
    jac: Callable[..., Any] | None = None

    @property
    def kind(self) -> str:
        return "equality"


@dataclass(frozen=True)
class Inequality:
    """``h(x) >= 0`` in every entry; ``h`` takes the point as the objective does.

    ``jac``, if given, returns the derivatives ``[M, P]``; else they are found as those of the objective.

    >>> Inequality(lambda x: 1 - x.square().sum()).kind
    'inequality'
    """

    function: Callable[..., Any]
    jac: Callable[..., Any] | None = None

    @property
    def kind(self) -> str:
        return "inequality"


Constraint = Equality | Inequality
