"""Whether what won is any better than the default for all practical purposes, in words."""

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from lanewise.selection import Contender, Selection

NEGLIGIBLE = 0.01
"""Share of the standard error of a score below which a lead is not worth having, however surely it is there."""


def no_difference(
    selection: Selection,
    contenders: Sequence[Contender],
    *,
    default: str,
    error_of: Callable[[np.ndarray], float],
) -> tuple[str, ...]:
    """One sentence where nobody is better than the default by more than is worth having; nothing elsewhere.

    That is so where the best lead over it is within one paired standard error, or below :data:`NEGLIGIBLE` of the
    standard error of the winner's own score, which ``error_of`` its prediction is. A paired difference of two trainings
    that are nearly the same may be sure and still be nothing.
    """
    if len(selection.standings) == 1 or all(own.id != default for own in selection.standings):
        return ()
    best = selection.standings[0]
    lead = selection.standing(default).behind_winner if selection.winner != default else best.ahead_of_default
    if lead is None or not np.isfinite(lead.mean):
        return ()
    many = f"of {len(selection.standings)} candidates that trained to the end"
    if selection.winner == default:
        if best.id == default or not np.isfinite(lead.standard_error):
            return ()
        return (f"No difference worth having: {many} none is better than the default beyond chance",)
    error = error_of(next(own for own in contenders if own.id == selection.winner).prediction)
    if not 0 <= lead.mean < NEGLIGIBLE * error:
        return ()
    half = NormalDist().inv_cdf(0.975) * error
    return (
        f"No difference worth having: {many} the best is {lead.mean:.2g} better than the default, and the score itself "
        f"is known to within {half:.2g}",
    )
