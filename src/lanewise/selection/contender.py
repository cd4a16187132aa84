"""Who takes part in the decision of a race."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A candidate that reached the end: its out-of-fold predictions and its cost.

    ``prediction`` is ``[N]`` or ``[N, C]``, the mean over seeds; ``cost`` is in any unit that the
    contenders share, such as seconds per training or per thousand predictions.
    """

    id: str
    prediction: Array
    cost: float
    is_default: bool = False


def default_index(contenders: Sequence[Contender]) -> int | None:
    """Index of the default, or None.

    Raises:
        UsageError: no contender, several defaults, or an id given twice.
    """
    if not contenders:
        message = "no contender was given; a race needs at least one with out-of-fold predictions"
        raise UsageError(message)
    ids = [contender.id for contender in contenders]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        message = f"contender {twice[0]} was given {ids.count(twice[0])} times; give each id once"
        raise UsageError(message)
    defaults = [index for index, contender in enumerate(contenders) if contender.is_default]
    if len(defaults) > 1:
        named = ", ".join(ids[index] for index in defaults)
        message = f"{len(defaults)} contenders are marked as the default ({named}); mark at most one"
        raise UsageError(message)
    return defaults[0] if defaults else None


def stacked_predictions(contenders: Sequence[Contender]) -> Array:
    """Predictions of all contenders, ``[M, N]`` or ``[M, N, C]``.

    Raises:
        UsageError: their shapes differ.
    """
    shapes = {np.shape(contender.prediction) for contender in contenders}
    if len(shapes) > 1:
        listed = ", ".join(str(shape) for shape in sorted(shapes))
        message = f"contenders predict different shapes ({listed}); give all of them the same rows and classes"
        raise UsageError(message)
    return np.stack([np.asarray(contender.prediction, dtype=np.float64) for contender in contenders])
