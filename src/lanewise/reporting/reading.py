"""Reading the run document, in which any part may be missing, empty or null."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from lanewise.formatting import figures
from lanewise.formatting.certainty import errors_shown
from lanewise.formatting.labels import told_apart
from lanewise.formatting.metric_labels import AT_A_THRESHOLD, metric_label
from lanewise.formatting.plain_text import clean
from lanewise.reporting import words
from lanewise.reporting.words import finite

OVERRUN = 1.05
"""A budget of which more than this was used is named beside what was used."""
TESTED = re.compile(r"On [\d,]+ untouched test rows? its .* \((?:lower|higher) is better\)\.")
"""The sentence on the test score that says no more than the table of it."""
TIED = "Within one paired standard error of the best score, so not told apart"
"""How the sentence begins that names the candidates which tie with the winner."""
LEAKS = ("leaks_target", "sums_to_target", "trained_on_test")
"""Codes of findings that a column gives the target away, or test rows trained: no score then holds for new rows."""
SCREEN_ONLY = "screen only: "
"""How the verdict of a choice begins that one fold of the screen alone has seen."""
STAGES = {
    "start": "loading the program",
    "read": "reading",
    "prepare": "preparing features",
    "start workers": "starting processes",
    "plan": "measuring and planning",
    "screen": "screen",
    "confirm": "confirmation",
    "race": "rest of the race",
    "measure": "measuring what lanes cost alone",
    "choose": "choosing",
    "refit": "training on all rows",
    "save": "saving",
    "evaluate": "evaluating and explaining",
    "report": "the report",
}
"""The stages of a run in their order, in words."""


def part(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The mapping at the end of a path of keys; an empty one where there is none."""
    for key in keys:
        found = document.get(key)
        document = found if isinstance(found, Mapping) else {}
    return document


def items(holder: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The list under a key; an empty one where there is none."""
    found = holder.get(key)
    return found if isinstance(found, list | tuple) else ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The metric of the run: its name, whether lower is better, and what it means in a phrase."""

    name: str
    minimise: bool
    words: str = ""
    positive: str | None = None

    @property
    def label(self) -> str:
        return metric_label(self.name)

    @property
    def named(self) -> str:
        """The label with the class that the metric is of, where it is of one of two."""
        return metric_label(self.name, self.positive)

    @property
    def better(self) -> str:
        return "lower is better" if self.minimise else "higher is better"

    def digits(self, rows: Iterable[Mapping[str, Any]], *, key: str = "value") -> int | None:
        """Decimals that suit most of these estimates, so that a column of them lines up."""
        kept = sorted(words.places(self.name, row.get("low"), row.get("high"), fallback=row.get(key)) for row in rows)
        return kept[len(kept) // 2] if kept else None

    def digits_beside(self, scores: Iterable[Mapping[str, Any]]) -> int | None:
        """Decimals of the first estimate, or more where the others would look the same; None without any."""
        found = [one for one in scores if finite(one.get("value")) is not None]
        if not found:
            return None
        low, high = finite(found[0].get("low")), finite(found[0].get("high"))
        half = None if low is None or high is None else high / 2 - low / 2
        return figures.places_beside(self.name, [float(one["value"]) for one in found], half)

    def estimate(
        self, value: Any, low: Any = None, high: Any = None, *, digits: int | None = None, bounds: int | None = None
    ) -> dict[str, Any]:
        """A score ready to be shown: its numbers, its words, its interval in words.

        With ``digits`` decimals, those of its column, unless these leave nothing of it or its own interval justifies
        more by two at the least. ``bounds`` are the decimals of the interval, if other ones.
        """
        known, bottom, top = finite(value), finite(low), finite(high)
        bounds = digits if bounds is None else bounds
        half = None if bottom is None or top is None else top / 2 - bottom / 2
        known = None if known is None else figures.without_noise(self.name, known, half)
        if digits is not None and known is not None:
            own = figures.places_in_column(self.name, known, half, digits)
            digits, bounds = own, bounds if own == digits else own
        return {
            "value": known,
            "low": bottom,
            "high": top,
            "words": words.score(self.name, known, low, high, digits=digits),
            "interval": words.interval(self.name, low, high, digits=bounds),
        }


def measure_of(document: Mapping[str, Any]) -> Measure:
    """The metric that decided the race."""
    metric = part(document, "metric")
    return Measure(
        name=str(metric.get("name") or "score"),
        minimise=metric.get("direction") != "max",
        words=str(metric.get("words") or "").rstrip("."),
        positive=positive_class(document),
    )


def estimate_of(measure: Measure, scores: Mapping[str, Any], **digits: int | None) -> dict[str, Any] | None:
    """The measure's estimate among several, or None where it is unknown; ``digits`` as of :meth:`Measure.estimate`."""
    found = part(scores, measure.name)
    shown = measure.estimate(found.get("value"), found.get("low"), found.get("high"), **digits)
    return shown if shown["value"] is not None else None


def contest(measure: Measure, judged: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The estimates of who was judged on the test rows, the winner first, in the digits of the sentence above them."""
    scores = [part(scores, measure.name) for _, scores in judged]
    digits, bounds = measure.digits_beside(scores), measure.digits(scores[:1])
    known = [(name, estimate_of(measure, scores, digits=digits, bounds=bounds)) for name, scores in judged]
    return [(name, shown) for name, shown in known if shown]


def default_won(document: Mapping[str, Any]) -> bool:
    winner = part(document, "winner").get("id")
    return winner is not None and winner == part(document, "default").get("id")


def ensemble_won(document: Mapping[str, Any]) -> bool:
    """Whether the winner is an average of several candidates, so that no single one is it."""
    return part(document, "winner").get("id") == "ensemble"


def positive_class(document: Mapping[str, Any]) -> str | None:
    """Of two classes the one that precision, recall, F1, PR AUC and the threshold are of."""
    positive, classes = document.get("positive"), items(document, "classes")
    if positive is None and document.get("task") == "binary" and len(classes) == 2:
        return str(classes[1])  # documents of earlier versions do not name it
    return None if positive is None else str(positive)


def together_and_alone(document: Mapping[str, Any]) -> tuple[float, float] | None:
    """Processor seconds of the race and, estimated, of its trainings one at a time; None where one is unknown."""
    found = part(document, "hardware")
    together, alone = finite(found.get("race_cpu_seconds")), finite(found.get("one_at_a_time_seconds"))
    return (together, alone) if together and alone else None


MORE = "the race also saves its progress, scores training rows and starts processes, which the estimate leaves out"
"""Why a race may take more processor time than its trainings one at a time."""

MUCH_MORE = 1.1
"""By which factor one of two processor times must be the larger to be called so."""


def took(document: Mapping[str, Any]) -> str:
    """What a run took by the clock, and its budget where that was a time; empty where that is unknown.

    >>> took({"hardware": {"seconds": 50.0, "budget_seconds": 40.0}})
    'It took 50 s, with a budget of 40 s'
    """
    found = part(document, "hardware")
    seconds, budget = finite(found.get("seconds")), finite(found.get("budget_seconds"))
    if seconds is None:
        return ""
    since = " since it was resumed" if found.get("resumed") is True else ""
    given = f", with a budget of {words.duration(budget)}" if budget else ""
    return f"It took {words.duration(seconds)}{since}{given}"


def payload_words(document: Mapping[str, Any]) -> str:
    """What gradients travelled as between ranks, and how much that changed them; empty where they were not rounded.

    >>> payload_words({"hardware": {"payload": "bfloat16", "payload_error": 0.00213}})
    'gradients travelled as bfloat16, which changed the first ones by up to 0.21% of their length'
    """
    found = part(document, "hardware")
    payload, error = found.get("payload"), finite(found.get("payload_error"))
    if not payload:
        return ""
    changed = (
        "" if error is None else f", which changed the first ones by up to {words.percent(error, 2)} of their length"
    )
    return f"gradients travelled as {payload}{changed}"


def overran(document: Mapping[str, Any]) -> bool:
    """Whether the run took clearly longer than its budget."""
    found = part(document, "hardware")
    seconds, budget = finite(found.get("seconds")), finite(found.get("budget_seconds"))
    return bool(seconds and budget and seconds > OVERRUN * budget)


def overrun_warning(document: Mapping[str, Any]) -> str:
    """That the run took clearly longer than its budget, as its summary says it; else empty.

    >>> overrun_warning({"hardware": {"seconds": 50.0, "budget_seconds": 40.0}})
    'It took 50 s, with a budget of 40 s'
    """
    return took(document) if overran(document) else ""


def stage_seconds(document: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What each stage took by the clock, in the order of the stages; empty where that is unknown.

    Stages of no more than a hundredth of the whole are put together at the end.

    >>> stage_seconds({"hardware": {"seconds_by_stage": {"screen": 4.0, "read": 0.5, "choose": 0.03, "save": None}}})
    [('read', 0.5), ('screen', 4.0), ('the rest', 0.03)]
    """
    found = part(document, "hardware", "seconds_by_stage")
    order = [*(name for name in STAGES if name in found), *(name for name in found if name not in STAGES)]
    known = [(str(name), finite(found[name])) for name in order]
    sound = [(name, seconds) for name, seconds in known if seconds is not None and seconds >= 0]
    least = sum(seconds for _, seconds in sound) / 100
    rest = sum(seconds for _, seconds in sound if seconds <= least)
    return [one for one in sound if one[1] > least] + ([("the rest", rest)] if rest else [])


def told_warnings(document: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The warnings in two lots: those by which no score holds for new rows, which belong first, and the others."""
    leaks = {str(one.get("message")) for one in items(document, "findings") if one and one.get("code") in LEAKS}
    own = overrun_warning(document)  # what it took is told at the end in the same words
    lines = [str(line) for line in items(document, "warnings") if line != own]
    return [line for line in lines if line in leaks], [line for line in lines if line not in leaks]


def said_below(line: str, document: Mapping[str, Any]) -> bool:
    """Whether a sentence of the summary has nothing that its table further down does not say."""
    if TESTED.fullmatch(line):
        return estimate_of(measure_of(document), part(document, "test")) is not None
    return line.startswith(TIED) and bool(ties_of(document))


def ties_of(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The candidates that tie with the winner, by their labels; those of an ensemble tie with the best single one."""
    board = items(part(document, "race"), "leaderboard")
    board = [one for one in board if one.get("tie") or one.get("status") == "winner"]
    labels = told_apart((str(one.get("label") or one.get("id")), part(one, "hyperparameters")) for one in board)
    ties = [(label, one) for label, one in zip(labels, board, strict=True) if one.get("status") != "winner"]
    return [] if ensemble_won(document) else ties


def cross_validated(document: Mapping[str, Any]) -> tuple[str, str]:
    """The winner's score in cross-validation as the leaderboard has it, and in a sentence, which has it corrected, too.

    Empty where they are unknown; the leaderboard has none of an ensemble.
    """
    measure, board = measure_of(document), items(part(document, "race"), "leaderboard")
    own = next((one for one in board if one.get("status") == "winner"), {})
    raw = measure.estimate(own.get("score"), own.get("low"), own.get("high"))
    scored = "" if raw["value"] is None else str(raw["words"])
    digits = measure.digits([{**own, "value": raw["value"]}]) if scored else None
    corrected = estimate_of(measure, part(document, "cross_validation"), digits=digits)
    known = [scored] if scored else []
    if corrected and len(board) > 1 and corrected["words"] != scored:
        known.append(f"{corrected['words']} corrected for having been picked of the {len(board)} confirmed")
    elif corrected and not scored:
        known.append(str(corrected["words"]))
    sentence = f"in cross-validation{crossed_at(document)} its {clean(measure.named)} is {', or '.join(known)}"
    return scored, sentence if known else ""


def crossed_at(document: Mapping[str, Any]) -> str:
    """At which threshold cross-validation has judged, where the model that was tested answers at another; else empty.

    >>> crossed_at({"metric": {"name": "f1"}, "threshold": {"value": 0.3}}), crossed_at({"metric": {"name": "f1"}})
    (' at a threshold of 0.5', '')
    """
    cut = finite(part(document, "threshold").get("value"))
    moved = cut is not None and cut != 0.5 and measure_of(document).name in AT_A_THRESHOLD
    return " at a threshold of 0.5" if moved else ""


def evidence(decision: Mapping[str, Any]) -> str:
    """How far a choice is ahead in standard errors, or why they are unknown.

    >>> evidence({"standard_errors": 2.31}), evidence({"standard_errors": -0.4})
    ('2.3 SE', '0.4 SE worse')
    >>> evidence({"verdict": "screen only: worse on one fold after 11%"})
    'worse on one fold'
    """
    steps, verdict = finite(decision.get("standard_errors")), str(decision.get("verdict") or "")
    if steps is not None:
        return f"{errors_shown(abs(steps))} SE{' worse' if steps < 0 else ''}"
    if "diverged" in verdict:
        return "diverged"
    return verdict.removeprefix(SCREEN_ONLY).split(" after ")[0].split(" (")[0] or "no SE"


def verdict_of(document: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    summary = [str(line) for line in items(document, "summary") if line]
    if summary:
        return summary[0]
    winner = part(document, "winner").get("label")
    if winner:
        return f"{winner} predicts {document.get('target', 'the target')} best."
    return f"No model was chosen for {document.get('target', 'the target')}."


def commands_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How to go on with the model, as pairs of a purpose and a command; none for a module of the user's own.

    >>> commands_of({"run": "20261121-7f3a", "winner": {"id": "a"}})[0]
    ('predict', 'lanewise predict 20261121-7f3a new.csv')
    """
    if not document.get("run") or not part(document, "winner") or document.get("kind") == "tune":
        return []
    run = quote(clean(document["run"]))
    return [("predict", f"lanewise predict {run} new.csv"), ("export", f"lanewise export {run} model.onnx")]


def question_of(decision: Mapping[str, Any]) -> str:
    """What a choice was about: where the default was chosen, whether it is better than itself was no question.

    >>> question_of({"question": "Better than the default?", "chosen": "the default, sgd"})
    'The default or another?'
    """
    question = str(decision.get("question") or "")
    own = question == "Better than the default?" and str(decision.get("chosen")).startswith("the default")
    return "The default or another?" if own else question


def settings_of(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Hyper-parameters as pairs of words; a depth of 0 is none that is limited."""
    found = part(card, "hyperparameters").items()
    return [(str(name), "unlimited" if name == "max_depth" and value == 0 else setting(value)) for name, value in found]


def winner_settings(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the winner is made of, as pairs of words: its hyper-parameters, or the members of an ensemble by weight."""
    members = [one for one in items(part(document, "ensemble"), "members") if isinstance(one, Mapping)]
    if not (ensemble_won(document) and members):
        return settings_of(part(document, "winner"))
    weights = words.whole_percents([one.get("weight") for one in members])
    return [(marked(document, one), weight) for one, weight in zip(members, weights, strict=True)]


def marked(document: Mapping[str, Any], one: Mapping[str, Any], label: str = "") -> str:
    """The label of a candidate, its own or another one, with a mark where it is the default."""
    label = label or str(one.get("label") or one.get("id"))
    default = part(document, "default").get("id")
    return f"{label} (the default)" if default is not None and one.get("id") == default else label


def setting(value: Any) -> str:
    """The value of a hyper-parameter in words.

    >>> setting(0.00300), setting(True), setting(None), setting((64, 64))
    ('0.003', 'yes', 'none', '64, 64')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, int) else words.number(value)
    if isinstance(value, list | tuple):
        return ", ".join(setting(one) for one in value)
    return str(value)
