"""The result in a few plain sentences: who won, how well, how sure, why, and what to heed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from lanewise.data.wording import counted
from lanewise.explain.aspects import listed
from lanewise.explain.decisions import OVER_DEFAULT, Decision
from lanewise.formatting.certainty import CLEAR, TIE, errors_shown
from lanewise.formatting.figures import between, gap, places, places_beside, places_in_column, written
from lanewise.formatting.metric_labels import metric_label, short_of_the_end
from lanewise.metrics import Metric
from lanewise.statistics import Difference, Interval

FAMILIES = {"mlp": "MLP", "lightgbm": "LightGBM"}
"""Families whose names begin a sentence otherwise than with one capital."""
CHANCE = 0.5
"""ROC AUC of any order that knows nothing."""
OF_PROBABILITIES = frozenset({"log_loss", "brier", "ece"})
"""Metrics of the probabilities themselves, not of classes or an order made of them."""
MOST_NAMED = 3
"""Ties, choices and warnings beyond these are counted, not named."""
GROUPS_OF_AN_INTERVAL = 4
"""Groups of like size that an interval takes: they have more degrees of freedom than the least."""
GROUPS_OF_A_TABLE = GROUPS_OF_AN_INTERVAL + 2
"""Groups that a table must have for that: two folds take one each beside those of the test rows."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score with its 95% interval; bounds are NaN where unknown."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, interval: Interval) -> "Score":
        return cls(value=interval.value, low=interval.low, high=interval.high)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the sentences are made of.

    ``test``, ``default_test`` and ``guess`` are scores on the ``rows`` test rows, untouched but for those ``trained``
    on, and ``weighed`` says by what they are; ``over_guess`` is the paired lead over the guess there, positive where
    the winner is better; ``over_default`` is the paired out-of-fold lead over the default, positive where the winner is
    better. ``alone`` says that no other candidate ran, ``some_beat`` that out of fold some confirmed candidate, or the
    ensemble, is better than a guess by more than chance; ``ranks`` is the ROC AUC on the test rows, where that does not
    decide. ``ties`` are labels of the candidates within one paired standard error; ``stand_in`` (that the default is
    not the documented one), ``effects``, ``threshold`` and ``widths`` (of the prediction interval) are sentences. None
    and empty where there is nothing to say. ``reads`` says that the model reads some of the columns only; ``cut_short``
    that the budget left no room to confirm anything but the default; ``sample`` that it was trained on a part of the
    rows; ``mixed`` that the winner is an ensemble, ``as_asked`` that it is one which the evidence alone would not have
    taken. ``scored_best`` is the label of one that scored better than the winner, which ties with it and is simpler.
    ``few_groups`` are those of the test rows where they are too few for an interval, and ``more_groups`` says that the
    table has enough for more test rows to help. ``positive`` is that one of two classes.
    """

    target: str
    winner: str
    is_default: bool
    test: Score | None
    rows: int
    positive: str | None = None
    trained: int = 0
    weighed: str = ""
    guess: Score | None = None
    over_guess: Difference | None = None
    default: str | None = None
    stand_in: str = ""
    default_test: Score | None = None
    over_default: Difference | None = None
    alone: bool = False
    some_beat: bool = False
    ranks: Score | None = None
    ties: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    effects: tuple[str, ...] = ()
    threshold: str = ""
    widths: str = ""
    reads: str = ""
    cut_short: str = ""
    sample: str = ""
    as_asked: bool = False
    mixed: bool = False
    scored_best: str = ""
    few_groups: int = 0
    more_groups: bool = True
    warnings: tuple[str, ...] = ()


def summary(outcome: Outcome, metric: Metric) -> list[str]:
    """Sentences from the result down to the warnings; the first stands alone as a headline."""
    lines = [
        _headline(outcome, metric),
        _tested(outcome, metric),
        _unsure(outcome),
        _unbeatable(outcome, metric),
        _ranking(outcome, metric),
        outcome.stand_in,
        _against_default(outcome, metric),
        _ties(outcome.ties),
        *_choices(outcome, metric),
        outcome.sample,
        outcome.reads,
        *outcome.effects,
        outcome.threshold,
        outcome.widths,
        *_warnings(outcome.warnings),
    ]
    return [line for line in lines if line]


def _headline(outcome: Outcome, metric: Metric) -> str:
    target, winner, who = outcome.target, outcome.winner, _sentence_start(outcome.winner)
    known = outcome.test is not None and outcome.guess is not None
    if known and not (_finite(outcome.test) and _beats(outcome, metric)):
        return _not_beaten(outcome, metric)
    default = f"The default, {winner}, stays"
    why = outcome.cut_short if outcome.is_default else ""
    if outcome.alone:  # it stays where nobody challenged it
        better = f" predicts {target} better than a guess" if known else " was trained"
        return f"{who}{better}; no other candidate ran to compare it with{': ' if why else ''}{why}."
    if why:
        return f"{default}: {why}."
    if outcome.is_default:
        return f"{default}: nothing that ran predicts {target} reliably better."
    return _won(outcome, who, metric)


def _not_beaten(outcome: Outcome, metric: Metric) -> str:
    target, winner = outcome.target, outcome.winner
    scored, lead = _finite(outcome.test) is not None, outcome.over_guess
    if outcome.some_beat:
        crossed = f"In cross-validation at least one model predicts {target} better than a guess"
        shown = f"on the test rows {winner}, which was kept, was not shown to"
        unknown = f"whether {winner}, which was kept, does so on the test rows cannot be told"
        untold = not scored or outcome.few_groups or (lead is not None and not isfinite(lead.low))
        return f"{crossed}; {unknown if untold else shown}."
    by = metric_label(metric.name, outcome.positive)
    if not scored:
        return f"Whether {winner}, which was kept, predicts {target} better than a guess by {by} cannot be told."
    return f"No model was shown to predict {target} better than a guess by {by}; {winner} was kept."


def _won(outcome: Outcome, who: str, metric: Metric) -> str:
    """That ``who`` predicts best, or as well as who does, for a tie may go to another than the best score."""
    words = f"{who} predicts {outcome.target}"
    if outcome.as_asked:
        return f"{words}, as asked for; by the evidence one model would have been kept."
    if not outcome.scored_best:  # the next sentence says that the test rows do not bear it out
        return f"{words} best{' in cross-validation' if _trails(outcome, metric) else ''}."
    return (
        f"{words} as well as any, as far as the evidence tells: {outcome.scored_best} scored better by no more than "
        "one paired standard error, and of those that tie the simplest is taken."
    )


def _sentence_start(label: str) -> str:
    if label.startswith("ensemble"):
        return f"An {label}"
    first = re.match(r"\w*", label)
    family = first[0] if first else ""
    return FAMILIES.get(family, family[:1].upper() + family[1:]) + label[len(family) :]


def _beats(outcome: Outcome, metric: Metric) -> bool:
    """The paired lead over the guess is above zero with its whole interval; one without an interval shows nothing.

    Without one, the whole interval of the score lies on the better side of the guess; without either, the score itself.
    """
    lead, test, guess = outcome.over_guess, outcome.test, outcome.guess
    if lead is not None and isfinite(lead.mean):
        return lead.low > 0
    assert test is not None
    assert guess is not None
    near = max((metric.sign * end for end in (test.low, test.high) if isfinite(end)), default=metric.sign * test.value)
    return not isfinite(guess.value) or not isfinite(near) or near < metric.sign * guess.value


def _tested(outcome: Outcome, metric: Metric) -> str:
    test = outcome.test
    if test is None or not isfinite(test.value):
        return ""
    better = "lower is better" if metric.direction == "min" else "higher is better"
    guess, default = _rivals(outcome)
    kept = _places(outcome, test, metric)
    words = f"{_rows(outcome)} its {metric_label(metric.name, outcome.positive)} is {_estimate(test, metric, kept)}"
    if guess is not None:
        words += f"; a guess has {_at(guess, metric, kept)}"
    if default is not None:
        words += f", the default {_at(default, metric, kept)}"
    note = " Here the default did better: the choice was made before these rows were looked at, and is not undone."
    return f"{words} ({better}).{note if _trails(outcome, metric) else ''}"


def _unsure(outcome: Outcome) -> str:
    """Why the score on the test rows has no interval, where their groups are too few."""
    if not outcome.few_groups:
        return ""
    kind = "unequal group" if outcome.few_groups >= GROUPS_OF_AN_INTERVAL else "group"
    return (
        f"How sure the score on the test rows is cannot be told: they are of {counted(outcome.few_groups, kind)}, and "
        f"an interval takes {GROUPS_OF_AN_INTERVAL} of like size; "
        f"{'a larger share of test rows has more' if outcome.more_groups else 'all rows together have too few'}."
    )


def _rivals(outcome: Outcome) -> tuple[Score | None, Score | None]:
    """The scores on the test rows of a guess and, unless it is the winner, of the default; None where there is none."""
    guess, default = outcome.guess, None if outcome.is_default else outcome.default_test
    return _finite(guess), _finite(default)


def _finite(found: Score | None) -> Score | None:
    return found if found is not None and isfinite(found.value) else None


def _places(outcome: Outcome, test: Score, metric: Metric) -> int:
    """Digits of the score on the test rows and of those beside it."""
    values = [test.value, *(one.value for one in _rivals(outcome) if one is not None)]
    return places_beside(metric.name, values, test.half)


def _unbeatable(outcome: Outcome, metric: Metric) -> str:
    """That a guess has the best score there is: the recall, say, of a class that it gives every row."""
    guess = _finite(outcome.guess)
    if guess is None or metric.sign > 0 or guess.value < 1 or _finite(outcome.test) is None:
        return ""
    by = metric_label(metric.name, outcome.positive)
    return f"Nothing can beat a guess by {by} on these rows: it has the best there is. Another metric tells more."


def _ranking(outcome: Outcome, metric: Metric) -> str:
    """That the model orders rows better than chance where its deciding score does not show that it knows anything."""
    ranks = outcome.ranks
    if outcome.guess is None or outcome.test is None or ranks is None or not ranks.low > CHANCE:
        return ""
    if _beats(outcome, metric):
        return ""
    shown = f"{written('roc_auc', ranks.value, places('roc_auc', ranks.value, ranks.half))}"
    trust = " What is not shown is that its probabilities can be trusted." if metric.name in OF_PROBABILITIES else ""
    return (
        f"Yet it puts the rows into a better order than chance does: its ROC AUC is {shown} (95% interval "
        f"{between('roc_auc', ranks.low, ranks.high)}).{trust}"
    )


def _rows(outcome: Outcome) -> str:
    weighed = f", weighed by {outcome.weighed}" if outcome.weighed else ""
    if not outcome.trained:
        return f"On {outcome.rows:,} untouched test rows{weighed}{',' if weighed else ''}"
    many = "all" if outcome.trained == outcome.rows else f"{outcome.trained:,}"
    return f"On {outcome.rows:,} test rows, {many} of which trained it too{weighed},"


def _trails(outcome: Outcome, metric: Metric) -> bool:
    """Whether the default did better on the test rows, by as much as the digits show."""
    test, (_, default) = _finite(outcome.test), _rivals(outcome)
    if test is None or default is None:
        return False
    kept = _places(outcome, test, metric)
    return _at(default, metric, kept) != _at(test, metric, kept) and (
        metric.sign * default.value < metric.sign * test.value
    )


def _estimate(found: Score, metric: Metric, kept: int) -> str:
    value = written(metric.name, found.value, kept)
    if not (isfinite(found.low) and isfinite(found.high)):
        return value
    own = places(metric.name, found.low, found.half)
    # A score with digits more, to be told from others, is not beside a bound "<0.1" that may lie above it.
    short = any(short_of_the_end(metric.name, end, own) for end in (found.low, found.high))
    digits = max(own, kept) if short else own
    return f"{value} (95% interval {between(metric.name, found.low, found.high, kept=digits)})"


def _at(found: Score, metric: Metric, kept: int) -> str:
    """A score with the digits of the one that it stands beside."""
    return written(metric.name, found.value, places_in_column(metric.name, found.value, found.half, kept))


def _against_default(outcome: Outcome, metric: Metric) -> str:
    lead = outcome.over_default
    if outcome.is_default or outcome.default is None or lead is None or not isfinite(lead.mean):
        return ""
    where = "On rows that chose none of its members" if outcome.mixed else "In cross-validation"
    words = f"{where} the winner is {gap(metric.name, lead.mean)} better than the default, {outcome.default}"
    if lead.mean <= 0:
        return f"{where} the winner is not better than the default, {outcome.default}."
    return (
        f"{words}: {errors_shown(lead.mean / lead.standard_error)} paired standard errors."
        if lead.standard_error
        else f"{words}."
    )


def _ties(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    named, rest = labels[:MOST_NAMED], len(labels) - MOST_NAMED
    more = [f"{rest} more"] if rest > 0 else []
    commas = any("," in label for label in named)
    who = "; ".join([*named, *(f"and {words}" for words in more)]) if commas else listed([*named, *more])
    return f"Within one paired standard error of the best score, so not told apart from it: {who}."


def _choices(outcome: Outcome, metric: Metric) -> list[str]:
    """The choices that made a difference, largest lead first; or that none did."""
    judged = [one for one in outcome.decisions if one.standard_errors is not None]
    known = [one for one in judged if one.question != OVER_DEFAULT]
    if not known:
        return []
    made = [one for one in known if (one.standard_errors or 0) > TIE]
    if not made and not outcome.is_default and any((one.standard_errors or 0) > TIE for one in judged):
        return [
            "No single choice explains its lead over the default: each time a candidate that chose otherwise did as "
            "well, as far as the evidence tells."
        ]
    if not made:
        return ["No single choice made a difference that the evidence can tell from chance."]
    made.sort(key=lambda one: -(one.standard_errors or 0))
    return [_choice(one, metric) for one in made[:MOST_NAMED]]


def _choice(one: Decision, metric: Metric) -> str:
    errors = one.standard_errors or 0.0
    sure = "" if errors >= CLEAR else ", likely but not certain"
    lead = gap(metric.name, one.difference or 0.0)
    question = one.question.removeprefix("Which ").removesuffix("?")
    subject = question[:1].upper() + question[1:]
    also = one.verdict[one.verdict.index(" (") :] if " (" in one.verdict else ""
    unit, size = metric_label(metric.name), errors_shown(errors)
    return f"{subject}: {one.chosen} over {one.over}, {unit} better by {lead}, {size} standard errors{sure}{also}."


def _warnings(warnings: Sequence[str]) -> list[str]:
    shown = [f"Heed: {line[:1].upper()}{line[1:].rstrip('.')}." for line in warnings[:MOST_NAMED]]
    rest = len(warnings) - MOST_NAMED
    return (
        [*shown, f"Heed: {rest} more {'warning' if rest == 1 else 'warnings'} about the data."] if rest > 0 else shown
    )
