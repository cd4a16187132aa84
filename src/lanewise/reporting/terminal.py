"""What the command line prints at the end of a run."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from lanewise.formatting.certainty import TIE, certainty
from lanewise.formatting.metric_labels import OF_ONE_CLASS, metric_label
from lanewise.formatting.plain_text import clean, shorten
from lanewise.reporting.notes import notes_of
from lanewise.reporting.reading import (
    MORE,
    MUCH_MORE,
    STAGES,
    Measure,
    commands_of,
    contest,
    cross_validated,
    crossed_at,
    default_won,
    ensemble_won,
    estimate_of,
    evidence,
    items,
    marked,
    measure_of,
    part,
    payload_words,
    positive_class,
    question_of,
    said_below,
    stage_seconds,
    ties_of,
    together_and_alone,
    told_warnings,
    took,
    verdict_of,
    winner_settings,
)
from lanewise.reporting.words import (
    as_sentence,
    bound,
    capitalized,
    count,
    difference,
    duration,
    finite,
    listing,
    number,
    score,
    size,
    with_stop,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MOST_NAMED = 3
"""Columns set aside beyond these are counted, not named."""
ASKED_FOR = ("dropped as asked", "weight of the rows", "group of the rows")
"""Why a column is set aside, in the words of the audit, that its user need not be told."""
HEADLINE_METRICS = (
    "accuracy", "balanced_accuracy", "f1", "f1_macro", "precision", "recall", "roc_auc", "pr_auc", "log_loss", "brier",
    "rmse", "mae", "r2", "poisson_deviance",
)  # fmt: skip
"""What people look for at the end of a run; `show --json` and the report have all."""
WHOLE = "Whole candidates are compared: where several settings differ, none of these alone explains the difference."
JOINT = "\ue000"
"""Stands for the space between a number and its unit while lines are broken; it is of no language."""
TRAILING = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")
"""The end of a line that nobody sees: spaces and the codes of colours."""
STYLES = {"winner": "bold blue", "default": "yellow", "dummy": "dim"}


def summary(
    document: Mapping[str, Any],
    *,
    width: int,
    color: bool,
    report: str | None = None,
    commands: Sequence[tuple[str, str]] | None = None,
) -> str:
    """The result of a run for a terminal of ``width`` columns.

    ``report`` is where the report lies; ``commands`` are pairs of a purpose and a command to go on with, by default
    to predict with the run's model and to export it. Text of the document is cleaned: nothing in it can steer the
    terminal.
    """
    out = StringIO()
    console = _console(out, width=width, color=color)
    _verdict(console, document)
    _contest(console, document, measure_of(document))
    _decisions(console, document, measure_of(document))
    _warnings(console, document)
    _notes(console, document)
    _raced(console, document)
    _cost(console, document)
    _next(console, report, commands_of(document) if commands is None else commands)
    return _trimmed(out)


def tuned_summary(
    document: Mapping[str, Any], *, width: int, color: bool, files: Sequence[tuple[str, str]] = ()
) -> str:
    """The result of a tuning race for a terminal; ``files`` are pairs of a name and where it lies."""
    out = StringIO()
    console = _console(out, width=width, color=color)
    verdict, settings, *rest = [*items(document, "words"), "", ""]
    console.print(with_stop(clean(verdict)), style="bold")
    console.print(_indented(clean(settings), style="dim"))
    planned = _planned(document)
    for line in rest:
        if line and line not in planned:
            console.print(with_stop(as_sentence(clean(line))))
    _raced(console, document)
    _warn(console, told_warnings(document)[1])  # what it took is told at the end
    _cost(console, document)
    _next(console, None, files)
    return _trimmed(out)


def _planned(document: Mapping[str, Any]) -> list[str]:
    race = part(document, "race")
    return [str(line) for line in (*items(race, "plan"), *items(race, "rungs"))]


def _raced(console: "Console", document: Mapping[str, Any]) -> None:
    """What was planned of the race, who went on from each rung, and what the time that was left has changed."""
    planned = _planned(document)
    if planned:
        console.print()
        console.print("How it was raced")
    for line in planned:
        console.print(_indented(clean(line), style="dim"))


def _console(out: StringIO, *, width: int, color: bool) -> "Console":
    from rich.console import Console

    return Console(
        file=out,
        width=max(40, width),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _trimmed(out: StringIO) -> str:
    """What was printed, without what nobody sees at the ends of its lines."""
    lines = out.getvalue().rstrip().splitlines()
    lines = [line.replace(JOINT, " ") for line in lines]
    return "\n".join(TRAILING.sub(lambda end: end[0].replace(" ", ""), line) for line in lines) + "\n"


def _verdict(console: "Console", document: Mapping[str, Any]) -> None:
    lines = [clean(line) for line in items(document, "summary")]
    console.print(clean(verdict_of(document)), style="bold")
    _warn(console, told_warnings(document)[0])
    for line in lines[1:]:
        if not said_below(line, document):
            console.print(bound(line, JOINT))
    winner = part(document, "winner")
    made_of = winner_settings(document)
    if winner:
        name = clean(winner.get("label") or winner.get("id"))
        tag = " (the default)" if default_won(document) else ""
        settings = [f"{shorten(name, 28)} {shorten(value, 28)}" for name, value in made_of]
        if ensemble_won(document):  # labels have commas of their own
            settings = ["; ".join(f"{shorten(value, 8)} {shorten(name, 62)}" for name, value in made_of)]
        console.print(_indented(f"{name}{tag}{': ' if made_of else ''}{', '.join(settings)}", style="dim"))


def _indented(text: str, *, style: str = "", by: int = 2) -> Any:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style=style), (0, 0, 0, by))


def _table() -> "Table":
    from rich.table import Table

    return Table.grid(padding=(0, 2), pad_edge=False)


def _styled(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(bound(text, JOINT), style=style)


def _contest(console: "Console", document: Mapping[str, Any], measure: Measure) -> None:
    baselines = part(document, "baselines")
    lines = [("winner", part(document, "test"))]
    if not default_won(document):
        lines.append(("default", part(baselines, "default")))
    lines.append(("dummy", part(baselines, "dummy")))
    table, judged = _table(), contest(measure, lines)
    for name, shown in judged:
        words = {"dummy": "guessing"}.get(name, name)
        cells = (f"  {words}", shown["words"], shown["interval"])
        table.add_row(*(_styled(cell, STYLES[name]) for cell in cells))
    if table.row_count:
        test = finite(part(document, "rows").get("test"))
        trained = any(one.get("code") == "trained_on_test" for one in items(document, "findings"))
        where = f" on {count(test, 'test row' if trained else 'untouched test row')}" if test else ""
        console.print()
        sure = ", 95% interval" if any(shown["interval"] for _, shown in judged) else ""
        console.print(_styled(f"{capitalized(clean(measure.named))}{where} ({measure.better}{sure})"))
        console.print(table)
    others = [name for name in HEADLINE_METRICS if name != measure.name]
    shown = [(name, estimate_of(Measure(name=name, minimise=False), part(document, "test"))) for name in others]
    also = [f"{clean(metric_label(name))} {one['words']}" for name, one in shown if one]
    if also:
        positive, some = positive_class(document), [name for name, one in shown if one and name in OF_ONE_CLASS]
        named = listing([metric_label(name) for name in some])
        of = f" ({named} of {shorten(positive, 28)!r})" if positive is not None and some else ""
        console.print(_indented(f"the winner's {listing(also)}{of}", style="dim"))
    if whole := cross_validated(document)[1]:
        console.print(_indented(whole, style="dim"))


def _cost(console: "Console", document: Mapping[str, Any]) -> None:
    """What the run cost, beside what the same trainings would have cost one at a time."""
    found = {name: finite(value) for name, value in part(document, "hardware").items()}
    if found.get("seconds") is None:
        return
    facts = [
        (found.get("cpu_seconds"), lambda value: f"{duration(value)} of processor time"),
        (found.get("peak_memory_bytes"), lambda value: f"{size(value)} of memory at the peak"),
        (found.get("energy_wh"), lambda value: f"about {number(value, 2)} Wh"),
    ]
    known = [words(value) for value, words in facts if value is not None]
    text = f"{took(document)}{f' ({listing(known)})' if known else ''}."
    both = together_and_alone(document)
    if both:
        together, alone = both
        text += (
            f" In processor time: the race {duration(together)}, the same trainings one at a time "
            f"about {duration(alone)} (an estimate)"
        )
        text += f"; {MORE}." if together > MUCH_MORE * alone else "."
    if payload := payload_words(document):
        text += f" {capitalized(payload)}."
    console.print()
    console.print(_styled(text, "dim"))
    stages, unspent = stage_seconds(document), part(document, "hardware").get("unspent")
    if stages and found.get("budget_seconds"):
        spent = listing([f"{STAGES.get(name, name)} {duration(seconds)}" for name, seconds in stages])
        console.print(_styled(f"By stage: {spent}.{f' {with_stop(clean(unspent))}' if unspent else ''}", "dim"))


def _decisions(console: "Console", document: Mapping[str, Any], measure: Measure) -> None:
    race = part(document, "race")
    table = _table()
    among = ""
    for one in items(race, "decisions"):
        group = str(one.get("among") or "")
        if group and group != among:
            table.add_row("", _styled(f"among {shorten(group, 40)}"))
        among = group
        steps = finite(one.get("standard_errors"))
        tie = steps is None or certainty(steps) == "tie"
        words = evidence(one)
        if steps is not None:  # what is no better was chosen for another reason
            why = str(one.get("verdict") or "").partition(" (")[0]
            tied = why.removeprefix("a ") if why.startswith("a tie") else certainty(steps)
            words += f": {why}" if steps < -TIE else f", {tied if tie else certainty(steps)}"
        table.add_row(
            "",  # an empty column indents what is wrapped too
            _styled(_asked(one), "dim"),
            # Wrapped and not cut: a cut in the middle takes away just what differs.
            _styled(f"{shorten(one.get('chosen'), 120)} over {shorten(one.get('over'), 120)}"),
            _styled(words, "dim" if tie else ""),
        )
    if table.row_count:
        console.print()
        console.print("What was chosen over what (in standard errors)")
        console.print(table)
        if any(" (" in str(one.get("verdict") or "") for one in items(race, "decisions")):
            console.print(_indented(WHOLE, style="dim"))
    ties = ties_of(document)
    if ties:
        console.print()
        scored, at = cross_validated(document)[0], crossed_at(document)
        own = f", which has {scored} in cross-validation{at}" if scored else ""
        console.print(_styled(f"Not told apart from the winner{own}: {len(ties)}"))
        for label, one in ties[:3]:
            gap = difference(measure.name, one.get("difference"), one.get("standard_error"))
            name = shorten(marked(document, one, label), 86)
            words = f"{name}, {score(measure.name, one.get('score'), one.get('low'), one.get('high'))}"
            console.print(_indented(f"{words} ({gap} apart)", style="dim"))


def _asked(decision: Mapping[str, Any]) -> str:
    """What a choice was about, in few words: its question without the words that all questions have."""
    question = shorten(question_of(decision), 120).removeprefix("Which ").removesuffix("?")
    return f"{question[:1].lower()}{question[1:]}".replace("an ensemble or one model", "ensemble or one model")


def _warnings(console: "Console", document: Mapping[str, Any]) -> None:
    _, warnings = told_warnings(document)
    aside = [one for one in items(document, "columns") if one.get("role") == "set aside" and one.get("reason")]
    aside = [one for one in aside if str(one["reason"]) not in ASKED_FOR]
    if warnings or aside:
        console.print()
    if aside:
        named = [f"{shorten(one.get('name'), 28)} ({clean(one['reason'])})" for one in aside[:MOST_NAMED]]
        rest = len(aside) - len(named)
        console.print(f"Columns set aside: {'; '.join(named)}{f'; and {rest} more' if rest else ''}")
    _warn(console, warnings)


def _notes(console: "Console", document: Mapping[str, Any]) -> None:
    """What was noticed of the data beside what is warned of."""
    notes = notes_of(document)
    if notes:
        console.print()
        console.print("Noticed in the data")
        for line in notes:
            console.print(_indented(bound(line, JOINT), style="dim"))


def _warn(console: "Console", lines: Sequence[str]) -> None:
    for line in lines:
        text = _styled("")
        text.append("warning: ", style="bold yellow")
        console.print(text.append(bound(clean(line), JOINT)))


def _next(console: "Console", report: str | None, commands: Sequence[tuple[str, str]]) -> None:
    lines = [*([("report", report)] if report else []), *commands]
    if not lines:
        return
    console.print()
    widest = max(len(purpose) for purpose, _ in lines)
    for purpose, command in lines:  # never wrapped or cut: they are there to be copied
        text = _styled(f"  {clean(purpose):<{widest}}  ", "dim")
        text.append(clean(command))
        console.print(text, soft_wrap=True)
