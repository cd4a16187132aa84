"""The decision rule of a race, for many draws of the rows at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanewise.selection.contender import Array, Contender, default_index
from lanewise.statistics import SelectRule

ROUNDING = 1e-12
"""Losses closer than this share of their size are equal: candidates may differ by rounding only."""


def pick(losses: Array, errors: Array, costs: Array, default: int | None) -> NDArray[np.intp]:
    """The rule, for R sets of losses at once.

    A candidate is tied with the best when it is behind by at most one paired standard error. If
    the default is tied, it wins. Else the cheapest wins of those that are tied and beat the
    default by more than one paired standard error; of equally cheap ones, the better.

    Args:
        losses: ``[R, M]``, smaller is better; one that is not finite never wins against a finite one.
        errors: ``[M, M]``, standard errors of the differences.
        costs: ``[M]``.
        default: index of the default, or None.

    Returns:
        index of the winner, ``[R]``.

    >>> errors = np.full((3, 3), 0.2)
    >>> pick(np.array([[1.0, 0.9, 0.5], [1.0, 0.9, 0.85]]), errors, np.array([1.0, 1.0, 9.0]), 0)
    array([2, 0])
    """
    worst = np.finfo(np.float64).max / 4
    losses = np.where(np.isfinite(losses), losses, worst)
    best = losses.argmin(axis=1)
    least = np.take_along_axis(losses, best[:, None], axis=1)
    slack = ROUNDING * np.where(np.abs(least) < worst, np.abs(least), 0.0)
    tied = losses - least <= errors[best] + slack
    eligible = tied
    if default is not None:
        of_default = losses[:, [default]]
        eligible = tied & (of_default - losses > errors[default] + slack)
    price = np.where(eligible, np.nan_to_num(costs, nan=np.inf, posinf=np.inf), np.inf)
    cheapest = eligible & (price == price.min(axis=1, keepdims=True))
    winner = np.where(cheapest, losses, np.inf).argmin(axis=1)
    return winner if default is None else np.where(tied[:, default], default, winner)


def selection_rule(contenders: Sequence[Contender]) -> SelectRule:
    """The rule for these contenders, as :func:`lanewise.statistics.bias_corrected_interval` takes it."""
    default = default_index(contenders)
    costs = np.array([contender.cost for contender in contenders])
    return lambda losses, errors: pick(losses, errors, costs, default)
