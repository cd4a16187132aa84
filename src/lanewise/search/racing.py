"""Racing: a candidate leaves once its rows show that it is behind (Maron & Moore 1994; Moore & Lee 1994)."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lanewise.search.policy import Decision, Policy, Standing, ranked, with_reserved

FEWEST_UNITS = 30
"""Validation rows below which a mean is not near enough to normal for so strict a test."""

ROUNDING = 1e-9
"""Of the size of a mean loss: smaller differences are those of arithmetic."""


@final
@dataclass(frozen=True, kw_only=True)
class Racing(Policy):
    """Drops a candidate whose losses are significantly above those of the best on the same rows, at each look.

    With the paired differences ``d_i = loss_mi - loss_bi`` to the candidate b of the lowest mean loss, candidate m
    leaves if ``mean(d) / (sd(d) / sqrt(N))`` is above the quantile of Student's t with ``N - 1`` degrees of freedom
    at ``1 - a``, where ``a = alpha / (K (M - 1))`` for the K looks at a race that M candidates entered. That is
    Bonferroni's bound over every comparison that could be made, so the probability that the candidate that is truly
    the best at the looks is ever dropped is at most ``alpha``, whatever the others do and however its looks depend on
    each other; the t test itself is exact for normal differences and near it for many rows of any kind. Nobody leaves
    on fewer than 30 rows, except who has no score.

    Equal candidates all go on, so a race among them saves nothing; it is for candidates that differ. What is tested
    is who leads at a look. With rates that fall later, leads turn, and no test of rows knows that: looks before half of
    the length drop winners with great confidence (``benchmarks/policies.py``). Protected ones, the best by score and
    the best of every family stay.

    Source: Moore and Lee (1994), Efficient algorithms for minimizing cross validation error, ICML; Maron and Moore
    (1994), Hoeffding races, NIPS 6 (their delta is ``alpha``).
    """

    reads_losses: ClassVar[bool] = True

    alpha: float = 0.05
    looks: tuple[float, ...] = (1 / 2, 3 / 4)

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return self.looks if candidates > 1 else ()

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        behind = self._behind(standing)
        going = [place for place in order if place == order[0] or not behind[place]]
        keep = with_reserved(going, standing)
        dropped = len(order) - len(keep)
        words = f"{dropped} of {len(order)} were behind the best by more than chance allows, and left"
        return Decision(keep=tuple(keep), words=words if dropped else f"nobody of {len(order)} was clearly behind")

    def _behind(self, standing: Standing) -> np.ndarray:
        """Who ``[M]`` is shown to be worse than the best."""
        lost = np.isnan(standing.scores)
        if standing.losses is None or standing.losses.shape[1] < FEWEST_UNITS or lost.all():
            return lost
        means = np.where(lost, np.nan, standing.losses.mean(1))
        best = int(np.nanargmin(means)) if not np.isnan(means).all() else 0
        level = self.alpha / (len(self.looks) * max(standing.entrants - 1, 1))
        return lost | (_p_values(standing.losses - standing.losses[best], abs(means[best])) < level)


def _p_values(differences: np.ndarray, size: float) -> np.ndarray:
    """One-sided p values ``[M]`` of "the mean of ``differences [M, N]`` is not above zero"; 1 where it is unknown."""
    from scipy.special import stdtr

    count = differences.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = differences.mean(1)
        errors = differences.std(1, ddof=1) / np.sqrt(count)
        p = stdtr(count - 1, -means / errors)
    return np.where(means > ROUNDING * size, np.nan_to_num(p, nan=1.0), 1.0)
