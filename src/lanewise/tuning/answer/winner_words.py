"""What a tuning race says of its winner, in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lanewise.explain.diagnosis import TURNED
from lanewise.formatting.figures import four_digits
from lanewise.formatting.labels import told_apart, with_labels
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.selection import Selection
from lanewise.statistics import CorrectedScore
from lanewise.training.fitted import Fitted
from lanewise.training.judging import Confirmed
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.tuning.averaging import Averaged
from lanewise.tuning.checking import Judge
from lanewise.tuning.drop_ins import steady_rate
from lanewise.tuning.inputs.rows import Rows

LEAST_SHARE = 0.01
"""Share of redrawn rows below which no number is given."""


def until(own: Fitted, rows: Rows) -> tuple[str, ...]:
    """That the model was trained once more, where it was, and how far."""
    if not rows.parting.folds and own.stop == 1:
        return ()
    on = f" on all {rows.count:,} rows" if rows.parting.folds else ""
    early = f", up to {own.stop:.0%} of the steps, where the rows held out were judged best" if own.stop < 1 else ""
    return (f"the model is the winner trained once more{on}{early}",)


def turned(
    confirmed: Sequence[Confirmed],
    won: Candidate,
    metric: Metric,
    *,
    grid: Sequence[float],
    error: float,
    labels: Mapping[str, str],
) -> tuple[str, ...]:
    """That one of the confirmed was better on the way than the winner at its end: the race trained for too long.

    Better is by a tenth of what was learned after the first look and by the ``error`` of the score; where nobody knows
    that nothing is said. The looks were at the shares ``grid`` of the steps.
    """
    losses = {own.candidate.id: metric.sign * np.asarray(own.curve) for own in confirmed}
    ends = losses[won.id]
    best, at, name = min((float(np.nanmin(own)), int(np.nanargmin(own)), name) for name, own in losses.items())
    first = next(loss for loss in ends if np.isfinite(loss))
    if not (np.isfinite(error) and ends[-1] - best > max(TURNED * (first - best), error)):
        return ()
    who, than = ("the winner", "") if name == won.id else (labels[name], ", better than the winner at its end,")
    had = f"{who} had a validation {metric.name} of {four_digits(metric.sign * best)} after {grid[at]:.0%} of the steps"
    return (
        f"Training was too long: {had}{than} and then got worse; early stopping judges candidates where they were best "
        "(early_stopping=True, --early-stopping)",
    )


def named(found: Selection, labels: Mapping[str, str]) -> Selection:
    """The selection with its reasons in the labels of candidates instead of their ids.

    The verdict names the winner and its score, so the first reason is only why.
    """
    reasons = (found.why, *found.reasons[1:])
    return replace(found, reasons=tuple(with_labels(words, labels) for words in reasons))


def exchanged(compared: Sequence[Averaged], judge: Judge) -> tuple[str, ...]:
    """What each candidate whose workers train apart exchanges, and for which loss."""
    return tuple(own.words(judge.metric) for own in compared)


def labels(result: Result, *, arguments: Sequence[str]) -> dict[str, str]:
    """What tells the confirmed candidates apart, by id; one without one of ``arguments`` leaves it to make_model."""
    known, usual = [item.candidate for item in result.confirmed], dict.fromkeys(arguments, "by default")
    told = told_apart((f"{one.optimizer} at {one.number('lr'):.2g}", {**usual, **one.settings}) for one in known)
    return dict(zip((one.id for one in known), told, strict=True))


def corrected_words(found: CorrectedScore, metric: Metric, contenders: int, entrants: int) -> list[str]:
    """What the score of the winner is worth once it is corrected for having been picked of the confirmed.

    The correction may come out better than the score itself, for redrawn rows may pick another candidate.
    """
    if contenders == 1 or not np.isfinite(found.value):
        return []
    of = f"{contenders}" if contenders >= entrants else f"the {contenders} that were confirmed"
    better = metric.sign * found.optimism > 0 and four_digits(found.value) != four_digits(found.naive)
    sure = f"95% interval {four_digits(found.low)} to {four_digits(found.high)}"
    return [
        f"corrected for having been picked of {of} on these rows, it is {four_digits(found.value)} "
        f"({sure}){f'; {_no_worse(found)}' if better else ''}"
    ]


def _no_worse(found: CorrectedScore) -> str:
    """Why a corrected score is better than the one that it corrects."""
    others = 1 - float(found.shares[found.chosen])
    if others > 0:
        share = f"{others:.0%}" if others >= LEAST_SHARE else "some"
        why = f"{share} of the redrawn sets of rows pick another candidate, which may score better"
    else:
        why = "every redrawn set of rows picks the same candidate, so the difference is chance"
    return f"no worse than the {four_digits(found.naive)} above, because {why}: read both as the same"


def winner_words(
    plan: Plan, selection: Selection, won: Candidate, judge: Judge, alike: Sequence[str]
) -> tuple[str, ...]:
    """The winner, its settings, what it went through, why it won, which are ``alike``, and the plan."""
    standing = selection.standing(won.id)
    settings = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in won.settings.items()
    )
    repairs = [
        f"it {event.cause} and was set back; its rate is {steady_rate(won):.3g} since then, and is handed over so"
        for event in [event for event in won.events if event.rewinds][-1:]
    ]
    return (
        f"{won.optimizer}{', the default,' * won.is_default} wins with a validation {judge.metric.name} of "
        f"{four_digits(standing.score)}.",
        settings,
        *repairs,
        *_copies(won),
        *selection.reasons,
        *alike,
        *plan.words,
    )


def _copies(won: Candidate) -> list[str]:
    """How the winner came about, if copies of better lanes took the place of others."""
    found = []
    for event in (own for own in won.events if not own.rewinds):
        others = "".join(f", {name} {value:.3g}" for name, value in event.changes)
        found.append(f"at {event.fraction:.0%} the rate times {event.rate_factor:.3g}{others}")
    rest = " and its changes" if any(own.changes for own in won.events) else ""
    return [f"its rate was changed on the way: {'; '.join(found)}; its schedule repeats that{rest}"] if found else []
