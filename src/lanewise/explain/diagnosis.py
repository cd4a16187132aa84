"""Whether the winner fits too little, well, or too much, and what to do about it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lanewise.explain.sensitivity import RATES
from lanewise.formatting.figures import places_beside, written
from lanewise.formatting.metric_labels import metric_label
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric

Verdict = Literal["underfit", "good", "overfit"]

LARGE_GAP = 0.3
"""Share of what was learned on the training rows that is lost on new rows, above which the model overfits."""
SMALL_GAP = 0.1
"""Such a share up to which it is said without qualification that what was learned holds for new rows."""
FAR_APART = 100.0
"""Times by which an error on training rows exceeds that on new rows from which the two tell of different things."""
LEAST_TOLD = 0.005
"""Share of what was learned, lost on new rows, from which it is told: less would read as 0%."""
STILL_LEARNING = 0.02
"""Share of all that was learned that the last tenth of the training must bring to call it unfinished."""
TURNED = 0.1
"""Share of all that was learned that is lost between the best look and the end: then the curve has turned."""
SQUARED_METRICS = ("rmse", "r2")
"""Metrics under which an R squared below 0 is a failure; a median can be right where its R squared is not above 0."""

PENALTIES = {
    "dropout": "dropout",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "l1": "L1 penalty",
    "l2": "L2 penalty",
    "lambda_l1": "L1 penalty",
    "lambda_l2": "L2 penalty",
}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The winner's scores: on rows it trained on, on rows it did not, and that of a guess (NaN where unknown).

    On the test rows ``behind`` tells that the final model scores no better than a guess, ``ahead`` that it beats one by
    more than chance, and ``r2`` is its R squared there. ``curve`` is the validation score at the shares ``fractions``
    of the full length. ``error`` is the standard error of ``valid``, 0 where unknown. The scores of answers to two
    classes are at a threshold of 0.5, and ``at_half`` tells that the final model answers at another.
    """

    train: float
    valid: float
    guess: float
    curve: tuple[float, ...] = ()
    fractions: tuple[float, ...] = ()
    error: float = 0.0
    behind: bool = False
    r2: float = math.nan
    ahead: bool = False
    at_half: bool = False


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The verdict in a word and in words, both scores, and advice: first what was done, then what can be.

    ``stop`` is the share of the full length at which the training was stopped, where both scores are read; ``lost`` the
    share of what was learned on training rows that is lost on new ones, None where that cannot be told from chance.
    """

    verdict: Verdict
    words: str
    train: float
    valid: float
    advice: tuple[str, ...]
    stop: float = 1.0
    lost: float | None = None


def diagnose(
    fit: Fit,
    metric: Metric,
    candidate: Candidate | None,
    *,
    stop: float = 1.0,
    columns: tuple[int, int] | None = None,
    read: tuple[int, int] | None = None,
) -> Diagnosis | None:
    """Read the fit of the winner; None without a validation score.

    With losses g of a guess, t on training rows and v on new rows, the model learned ``g - t``, of which
    ``(v - t) / (g - t)`` is lost on new rows. *Overfit*: more than 0.3 is lost and v - t is more than two
    standard errors; or the validation curve turned, lost a tenth of ``g - v`` before its end, and nothing
    stopped it. *Underfit*: v is within two standard errors of the guess and so is t, and the test rows do not show that
    the model beats it; or less than 0.1 is lost and the last tenth of the training still brought 2% of ``g - v``. Else
    *good*, and the words say how much is lost where that is more than 0.1. A training score far better than the
    validation score is usual for boosted trees and no fault as long as little is lost. These shares are rules of thumb.

    A final model that does not beat the guess on the test rows, or whose R squared there is below 0 (where RMSE or
    R squared decides), is read as if v did not beat it. An error over 100 times larger on training rows than on new
    ones is *underfit*: a few extreme rows decide it.

    Args:
        fit: the scores.
        metric: of the scores.
        candidate: the winner; its settings say what regularization it had. None for an ensemble, whose members each
            have their own.
        stop: share of the full length at which its training was stopped.
        columns: how many columns, and how many of them an L1 penalty removed: ``(removed, all)``.
        read: how many columns the winner reads, where it was trained on some of them only: ``(read, all)``.
    """
    train, valid, guess = (metric.sign * value for value in (fit.train, fit.valid, fit.guess))
    if not np.isfinite(valid):
        return None
    curve = metric.sign * np.asarray(fit.curve, dtype=np.float64)
    noise = 2 * fit.error if np.isfinite(fit.error) else 0.0
    shape = _Shape.of(train, valid, guess, curve, noise)
    if fit.behind or (fit.r2 < 0 and metric.name in SQUARED_METRICS):
        shape = replace(shape, beats_guess=False, nearer=False)
    elif fit.ahead and shape.nearer:  # a paired lead tells more than two scores with errors of their own
        shape = replace(shape, beats_guess=True)
    if metric.sign > 0 and train > FAR_APART * valid > 0:
        shape = replace(shape, comparable=False)
    verdict, words = _read(shape, stopped=stop < 1)
    known = [value for value in (fit.valid, fit.train) if np.isfinite(value)]
    kept = places_beside(metric.name, known, 1.96 * fit.error)  # as the tables have it
    where = "in cross-validation" if candidate is not None else "on rows that chose none of its members"
    at = " at a threshold of 0.5" if fit.at_half else ""
    scores = f"{metric_label(metric.name)}{at} is {written(metric.name, fit.valid, kept)} {where}"
    if np.isfinite(train):
        scores += f" and {written(metric.name, fit.train, kept)} on training rows"
    if shape.turned and stop < 1:
        words += f" Longer training made it worse again, so it was stopped at {stop:.0%}."
    done = () if candidate is None else _done(candidate, stop, columns, read)
    if verdict == "good" and shape.lost >= LEAST_TOLD and not shape.partly:
        there = " at 0.5" if metric.of_positive and metric.uses_threshold else ""  # at another it may have more
        scores += f". {_from_a_guess(shape)} (a guess has {written(metric.name, fit.guess, kept)}{there})"
    at_first = 0 < stop < 1 and len(fit.fractions) > 1 and stop <= fit.fractions[0]
    return Diagnosis(
        verdict=verdict,
        words=f"{words} Its {scores}.",
        train=fit.train,
        valid=fit.valid,
        advice=(*done, *_to_do(verdict, shape), *([_shorter(candidate)] if candidate and at_first else [])),
        stop=stop,
        lost=shape.lost if shape.knows_rows else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What the scores say: all in losses; the shares are NaN where they cannot be told.

    ``beats_guess`` is by more than chance, ``nearer`` by any amount.
    """

    lost: float
    knows_rows: bool
    beats_guess: bool
    turned: bool
    learning: bool
    nearer: bool
    comparable: bool = True

    @classmethod
    def of(cls, train: float, valid: float, guess: float, curve: np.ndarray, noise: float) -> "_Shape":
        reach = guess - valid
        learned = guess - train
        known = curve[np.isfinite(curve)]
        # Without a guess the fall of the curve itself says how much there was to learn.
        scale = reach if reach > 0 else float(known[0] - known.min()) if len(known) else np.nan
        spread = max(noise / 2, 1e-9 * abs(valid))
        return cls(
            lost=(valid - train) / learned if learned > noise else np.nan,
            knows_rows=bool(learned > noise and valid - train > noise),
            beats_guess=bool(not np.isfinite(reach) or reach > noise),
            turned=len(known) > 1 and bool(known[-1] - known.min() > max(TURNED * scale, spread)),
            learning=len(known) > 1 and bool(known[-2] - known[-1] > STILL_LEARNING * scale > 0),
            nearer=bool(reach > 0),
        )

    @property
    def partly(self) -> bool:
        """Whether more than little of what was learned holds for training rows only."""
        return self.knows_rows and self.lost > SMALL_GAP


def _read(shape: _Shape, *, stopped: bool) -> tuple[Verdict, str]:
    if not shape.comparable:
        return "underfit", f"It errs over {FAR_APART:.0f} times more on training rows: a few extreme rows decide there."
    if not shape.beats_guess:
        how = "was not shown to do better" if shape.nearer else "does no better"
        return (
            ("overfit", "It learned its training rows and nothing that holds for new ones.")
            if shape.knows_rows
            else ("underfit", f"It {how} than a guess: these columns may not say much about the target.")
        )
    if shape.knows_rows and shape.lost > LARGE_GAP:
        return "overfit", f"{shape.lost:.0%} of what it learned holds for its training rows only."
    if shape.turned and not stopped:
        return "overfit", "Its validation score got worse again before the training ended."
    if shape.learning and not shape.lost > SMALL_GAP:
        return "underfit", "It was still improving when the training ended."
    partly = f"Most of what it learned holds for new rows; {shape.lost:.0%} of it for its training rows only."
    return "good", partly if shape.partly else "What it learned holds for new rows."


def _from_a_guess(shape: _Shape) -> str:
    """How little a gap between both scores is, which may be a large factor where both are far better than a guess."""
    chance = "" if shape.knows_rows else ", which may be chance"
    return f"Of what training rows gained on a guess, new rows lose {shape.lost:.0%}{chance}"


def _shorter(candidate: Candidate) -> str:
    """What to do where no look came before the one at which the validation score was best."""
    lower = " or a lower learning rate" if any(name in candidate.settings for name in RATES) else ""
    return f"To try: less training{lower}; the validation score was best at its first look, and may have been before."


def _done(
    candidate: Candidate, stop: float, columns: tuple[int, int] | None, read: tuple[int, int] | None
) -> list[str]:
    """What was done against overfitting, from the candidate's own settings."""
    done = [f"Done: stopped at {stop:.0%} of the full length, where the validation score was best."] if stop < 1 else []
    if read is not None:
        done.append(f"Done: kept {read[0]} of {read[1]} columns.")
    used = [f"{words} {candidate.number(name):.2g}" for name, words in PENALTIES.items() if candidate.number(name) > 0]
    if candidate.number("l1") > 0 and columns is not None:
        used.append(f"the L1 penalty removed {columns[0]} of {columns[1]} columns")
    used += [
        f"each tree saw {candidate.number(name):.0%} of the {what}"
        for name, what in (("feature_fraction", "columns"), ("bagging_fraction", "rows"))
        if 0 < candidate.number(name, 1.0) < 1
    ]
    return [*done, f"Done: {'; '.join(used)}."] if used else done


def _to_do(verdict: Verdict, shape: _Shape) -> Sequence[str]:
    if verdict == "overfit":
        return (
            "To try: more rows, the surest cure.",
            "To try: fewer columns; drop those whose importance is not above zero.",
            "To try: stronger regularization or a simpler model.",
        )
    if verdict == "good":
        return ()
    if not shape.comparable:
        return ("To check: the extreme values of the target; correct them, leave them out, or judge by --metric mae.",)
    if not shape.beats_guess:
        return (
            "To try: columns that say more about the target.",
            "To check: the target column, and whether rows and targets still belong together.",
        )
    return ("To try: a longer training (a larger budget).", "To try: weaker regularization.")
