"""What a method of :func:`lanewise.minimize` is, whoever wrote it. Each has a page in ``docs/methods``."""

from collections.abc import Callable
from dataclasses import dataclass

from lanewise.optim.proximal import Penalty
from lanewise.solvers.outcome import Outcome, Setup


@dataclass(frozen=True, kw_only=True)
class Method:
    """``words`` complete "it ..."; the rest says what it can take.

    ``derivatives`` tells how many orders it asks for, ``bounds`` whether it takes bounds and ``boxed``
    whether every variable must have two, ``whole`` whether integers and categories can be searched,
    ``penalties`` which penalties that are not smooth it takes, ``options`` what can be set.
    """

    name: str
    words: str
    run: Callable[[Setup], Outcome]
    derivatives: int = 1
    bounds: bool = True
    boxed: bool = False
    constraints: bool = False
    residuals: bool = False
    whole: bool = False
    penalties: tuple[type[Penalty], ...] = ()
    options: tuple[str, ...] = ()
