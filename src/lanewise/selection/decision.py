"""Who wins a race, who ties, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from lanewise.formatting.figures import four_digits
from lanewise.formatting.text_table import text_table
from lanewise.metrics import Metric
from lanewise.selection.contender import Array, Contender, default_index, stacked_predictions
from lanewise.selection.rule import ROUNDING, selection_rule
from lanewise.statistics import (
    CorrectedScore,
    Difference,
    affordable_draws,
    bias_corrected_interval,
    bootstrap_counts,
    paired_errors,
    resampled_scores,
    sample_of,
)

WHOLE_FROM = 100
"""Costs from which on nobody asks for a fraction."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a contender ends.

    Differences are in the unit of the metric: ``behind_winner`` is positive where the winner is
    better, ``ahead_of_default`` positive where the contender is better than the default (None
    without a default). ``tied``: within one paired standard error of the best score.
    """

    id: str
    rank: int
    score: float
    cost: float
    behind_winner: Difference
    ahead_of_default: Difference | None
    tied: bool


@dataclass(frozen=True, kw_only=True, repr=False)
class Selection:
    """The outcome of a race: the winner, all contenders by score, and the reasons in words.

    The first reason names the winner and its score; ``why`` is that reason without the two.
    """

    winner: str
    metric: str
    standings: tuple[Standing, ...]
    reasons: tuple[str, ...]
    why: str = ""

    @property
    def ranking(self) -> tuple[str, ...]:
        """Ids by score, the best first; the winner need not be the first."""
        return tuple(standing.id for standing in self.standings)

    @property
    def ties(self) -> tuple[str, ...]:
        """Ids within one paired standard error of the best score."""
        return tuple(standing.id for standing in self.standings if standing.tied)

    def standing(self, contender: str) -> Standing:
        return next(standing for standing in self.standings if standing.id == contender)

    def __repr__(self) -> str:
        head = ["rank", "candidate", self.metric, "behind", "95% interval", "tied with the best"]
        rows = [_row(standing) for standing in self.standings]
        return "\n".join([f"{self.winner} wins. {self.why}".rstrip(), text_table(head, rows)])


def _row(standing: Standing) -> list[str]:
    behind = standing.behind_winner
    figures = [four_digits(standing.score), four_digits(behind.mean)]
    interval = f"{four_digits(behind.low)} to {four_digits(behind.high)}"
    return [str(standing.rank), standing.id, *figures, interval, "yes" if standing.tied else ""]


def select(
    contenders: Sequence[Contender],
    *,
    y: ArrayLike,
    metric: Metric,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    draws: int = 1000,
    cost_unit: str = "",
) -> Selection:
    """Who wins the race, by out-of-fold predictions; see :func:`pick` for the rule.

    Standard errors are paired: the spread, over bootstrap draws of the rows, of the difference of
    two scores on the same draw.

    Args:
        contenders: at most one of them the default.
        y: ``[N]``.
        metric: decides the race.
        seed: key of the draws.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are drawn together, or None.
        draws: bootstrap draws.
        cost_unit: what the costs of the contenders count, in words.

    Raises:
        UsageError: no contender, several defaults, or an id given twice.
        DataError: the rows of the contenders differ.
    """
    default = default_index(contenders)
    sample = sample_of(y, stacked_predictions(contenders), weight, clusters, seed=seed)
    scores = resampled_scores(metric, sample, np.ones((1, sample.units.count)))
    counts = bootstrap_counts(sample.units.count, affordable_draws(metric, sample, draws), seed=seed)
    errors = paired_errors(resampled_scores(metric, sample, counts))
    losses = metric.sign * scores
    winner = int(selection_rule(contenders)(losses, errors)[0])
    standings = _standings(contenders, scores[0], losses[0], errors, winner=winner, default=default)
    by_id = {standing.id: standing for standing in standings}
    won, usual = by_id[contenders[winner].id], None if default is None else by_id[contenders[default].id]
    why = _why(won, standings[0], usual)
    reasons = _reasons(standings, won, usual, why, cost_unit=cost_unit)
    alone = f"{why[0].upper()}{why[1:]}."
    return Selection(winner=won.id, metric=metric.name, standings=standings, reasons=reasons, why=alone)


def corrected_score(
    contenders: Sequence[Contender],
    *,
    y: ArrayLike,
    metric: Metric,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    trained_rows: float | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> CorrectedScore:
    """The score to expect of the winner of :func:`select`, corrected for having been picked.

    Arguments as in :func:`select`; ``trained_rows`` is how many rows the model behind an out-of-fold
    prediction was trained on. See :func:`lanewise.statistics.bias_corrected_interval`.
    """
    return bias_corrected_interval(
        y,
        stacked_predictions(contenders),
        metric,
        selection_rule(contenders),
        weight=weight,
        clusters=clusters,
        trained_rows=trained_rows,
        draws=draws,
        level=level,
        seed=seed,
    )


def _difference(mean: float, error: float) -> Difference:
    if not np.isfinite(mean):
        return Difference(mean=np.nan, standard_error=np.nan, low=np.nan, high=np.nan)
    half = NormalDist().inv_cdf(0.975) * error
    return Difference(mean=mean, standard_error=error, low=mean - half, high=mean + half)


def _standings(
    contenders: Sequence[Contender],
    scores: Array,
    losses: Array,
    errors: Array,
    *,
    winner: int,
    default: int | None,
) -> tuple[Standing, ...]:
    order = sorted(range(len(contenders)), key=lambda m: (not np.isfinite(losses[m]), losses[m], contenders[m].cost))
    best = order[0]
    slack = ROUNDING * abs(losses[best])
    return tuple(
        Standing(
            id=contenders[m].id,
            rank=rank,
            score=float(scores[m]),
            cost=contenders[m].cost,
            behind_winner=_difference(float(losses[m] - losses[winner]), float(errors[m, winner])),
            ahead_of_default=None
            if default is None
            else _difference(float(losses[default] - losses[m]), float(errors[default, m])),
            tied=m == best or bool(losses[m] - losses[best] <= errors[best, m] + slack),
        )
        for rank, m in enumerate(order, start=1)
    )


def _cost(value: float) -> str:
    """A cost to three digits, from a hundred on whole.

    >>> _cost(92.942), _cost(4084.3)
    ('92.9', '4,084')
    """
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.3g}"


def _reasons(
    standings: tuple[Standing, ...], winner: Standing, default: Standing | None, why: str, *, cost_unit: str
) -> tuple[str, ...]:
    best, reasons = standings[0], [_verdict(winner, default, why)]
    if winner is not best and winner is not default:
        costs = f"{_cost(winner.cost)} against {_cost(best.cost)} {cost_unit}".rstrip()
        reasons.append(
            f"{best.id} scores best ({four_digits(best.score)}), but within one paired standard error of {winner.id}, "
            f"which costs less ({costs})."
        )
    others = [standing.id for standing in standings if standing.tied and standing not in (winner, best)]
    if others:
        reasons.append(f"Also within one paired standard error of the best score: {', '.join(others)}.")
    lost = [standing.id for standing in standings if not np.isfinite(standing.score)]
    if lost:
        reasons.append(f"Without a score, so they could not win: {', '.join(lost)}.")
    return tuple(reasons)


def _verdict(winner: Standing, default: Standing | None, why: str) -> str:
    if not np.isfinite(winner.score):
        return f"{winner.id} is kept, because {why}."
    name = f"{winner.id}, the default," if winner is default else winner.id
    return f"{name} wins with a score of {four_digits(winner.score)}: {why}."


def _why(winner: Standing, best: Standing, default: Standing | None) -> str:
    """Why the winner won, as a clause: its name and its score are said before."""
    if not np.isfinite(winner.score):
        return "no contender has a score"
    if default is None or winner.ahead_of_default is None:
        return "no default took part"
    if winner is not default:
        if not np.isfinite(default.score):
            return f"the default, {default.id}, has none"
        lead = _in_errors(winner.ahead_of_default)
        return f"it is better than the default, {default.id} ({four_digits(default.score)}), by {lead}"
    if best is default:
        return "it has the best score"
    assert best.ahead_of_default is not None
    lead = _in_errors(best.ahead_of_default)
    return f"the best, {best.id} ({four_digits(best.score)}), is ahead by {lead}, and more than one is needed"


def _in_errors(difference: Difference) -> str:
    if not difference.standard_error > 0:
        return f"{difference.mean:.3g} in every draw of the rows"
    return f"{difference.mean:.3g}, {difference.mean / difference.standard_error:.2g} paired standard errors"
