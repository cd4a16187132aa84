"""What the terminal shows: progress on stderr while a race runs, the summary on stdout at its end."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import click

from lanewise.cli.program import program
from lanewise.formatting.metric_labels import metric_label
from lanewise.formatting.plain_text import clean
from lanewise.reporting.words import number

PLAIN_EVERY_SECONDS = 5.0
AFRESH = "confirm: those that are left train in full from the start; scores begin anew"
"""Said where the confirmation follows the screen: its best score is no step back from that of the screen."""
NO_WINNER = "who leads has not won: a tie goes to the default, then to the simpler or cheaper"
"""Said where a confirmation of several candidates begins: the summary may name another than the last line did."""
LEADING = "leading: who has the best validation {metric}, and that score"
"""Said once above a live line, which has no room for the name of the metric in a terminal of 80 columns."""
WORSE = "leading is who does best at the latest look: its score can get worse with more training and more folds"
"""Said where the best score first is worse than it was a moment ago."""
LEAST_OWN = 0.005
"""Share of a phase that must be done before its pace tells how long the rest takes."""
ROOMY = 110
"""Columns of a terminal from which on there is room for a bar beside the name of the candidate that leads."""


def wants_color(stream: Any) -> bool:
    """NO_COLOR switches colour off, FORCE_COLOR on (0: off); otherwise a terminal has it that is not dumb."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR")
    if forced:
        return forced != "0"
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def columns(*, most: int, piped: int) -> int:
    """The width to write for: that of the terminal or of COLUMNS, at most ``most``; ``piped`` where there is none."""
    return min(shutil.get_terminal_size((piped, 24)).columns, most)


def print_document(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, which any terminal may show and any encoding can carry."""
    click.echo(document_text(document, encoding=getattr(sys.stdout, "encoding", None) or "utf-8"))


def document_text(document: Mapping[str, Any], *, encoding: str) -> str:
    """JSON in which a letter that ``encoding`` lacks, or that could steer a terminal, is escaped.

    >>> document_text({"a": "é\x9b"}, encoding="utf-8"), document_text({"a": "é"}, encoding="ascii")
    ('{\\n  "a": "é\\\\u009b"\\n}', '{\\n  "a": "\\\\u00e9"\\n}')
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if text.isascii():
        return text
    kept = "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)
    try:
        kept.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2)
    return kept


def print_summary(document: Mapping[str, Any], *, report: Path, has_model: bool = True) -> None:
    """The end-of-run summary, on stdout; with the commands that use the model, where there is one."""
    from lanewise.reporting.terminal import summary

    run = document["run"]
    commands = [
        ("predict new rows", f"{program()} predict {run} new.csv"),
        ("export the model", f"{program()} export {run} model.onnx"),
    ]
    width = columns(most=110, piped=100)
    text = summary(
        document,
        width=width,
        color=wants_color(sys.stdout),
        report=str(report),
        commands=commands if has_model else (),
    )
    click.echo(text, nl=False, color=True)  # colour is decided above


def print_tuned(
    document: Mapping[str, Any], *, folder: Path, weights: Path | None = None, report: Path | None = None
) -> None:
    """The result of a tuning race, on stdout; ``folder`` has its files, but those written elsewhere."""
    from lanewise.reporting.terminal import tuned_summary

    weights, report = weights or folder / "model" / "model.safetensors", report or folder / "report.html"
    files = [("weights", str(weights)), ("report", str(report))]
    width = columns(most=110, piped=100)
    text = tuned_summary(document, width=width, color=wants_color(sys.stdout), files=files)
    click.echo(text, nl=False, color=True)  # colour is decided above


@final
class Screen:
    """Follows a fit: a live line on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._task: Any = None
        self._last = 0.0
        self._phase = ""
        self._began = (0.0, 0.0, 0.0)
        """The clock, the lanes trained and how much this process had done when the phase was first heard of."""
        self._done = 0.0
        self._best = float("nan")
        self._told = False
        self._named = False
        """Whether it was said what the score of who leads is."""

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            console = Console(stderr=True, no_color=not wants_color(sys.stderr))
            self._live = Progress(
                TextColumn("{task.description}"),
                *([BarColumn(bar_width=24)] if console.width >= ROOMY else []),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[left]} {task.fields[speed]}"),
                # What is too long for the terminal is cut here, not in the figures before it.
                TextColumn("{task.fields[leader]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                console=console,
                transient=True,
                expand=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def announce(self, text: str) -> None:
        """A sentence worth reading now."""
        if self._quiet:
            return
        text = clean(text)
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        else:
            click.echo(text, err=True)

    def pulse(self, pulse: Any) -> None:
        """A sign of life from the race."""
        if self._quiet:
            return
        phase = pulse.phase
        leader = self._leader(pulse) if phase != "refit" else ""
        what = f"{phase:8} {pulse.lanes:4} {'lane ' if pulse.lanes == 1 else 'lanes'}"
        if (self._phase, phase) == ("screen", "confirm"):
            self.announce(AFRESH)
        if phase == "confirm" != self._phase and pulse.candidates > 1:
            self.announce(NO_WINNER)
        now = time.monotonic()
        if phase != self._phase or pulse.done < self._done:  # more folds and seeds begin a confirmation anew
            self._began = (now, pulse.trained, pulse.done - pulse.kept)
        self._done = pulse.done
        speed, left = self._speed(now, pulse.trained), self._left(now, pulse)
        shown = self._live is not None or phase != self._phase or now - self._last > PLAIN_EVERY_SECONDS
        if shown:
            self._note_if_worse(pulse)
        if self._live is not None:
            if phase != self._phase:
                self._task = self._live.add_task(what, total=1.0, leader="", speed="", left="")
            self._live.update(self._task, completed=pulse.done, description=what, leader=leader, speed=speed, left=left)
        elif shown:
            self._last = now
            click.echo("  ".join(filter(None, (what, f"{pulse.done:4.0%}", left, speed, leader))), err=True)
        self._phase = phase

    def _note_if_worse(self, pulse: Any) -> None:
        """Say once why the best score is worse than the one shown before, by as many digits as are shown."""
        before, self._best = (self._best if pulse.phase == self._phase else float("nan")), pulse.score
        shown, was = (float(f"{pulse.sign * score:.4g}") for score in (pulse.score, before))
        if not self._told and shown > was:
            self._told = True
            self.announce(WORSE)

    def _leader(self, pulse: Any) -> str:
        if not pulse.leader:
            return ""
        metric, spread = metric_label(pulse.metric), f" ± {number(pulse.spread, 2)}" if pulse.spread > 0 else ""
        told = f"{number(pulse.score, 4)}{spread}: {clean(pulse.leader)}"
        if self._live is None:
            return f"leading at validation {metric} {told}"
        if not self._named:
            self._named = True
            self.announce(LEADING.format(metric=metric))
        return f"leading {told}"

    def _speed(self, now: float, trained: float) -> str:
        began, before, _ = self._began
        speed = 60 * (trained - before) / (now - began) if trained > before and now > began else 0.0
        return f"{speed:,.0f} lanes/min" if speed >= 10 else f"{speed:.2g} lanes/min" if speed else ""

    def _left(self, now: float, pulse: Any) -> str:
        """What the phase still takes, if it goes on as it went so far; nothing where it has only begun or is over.

        What a run that is resumed had done before says nothing of the pace.
        """
        began, _, before = self._began
        own = pulse.done - pulse.kept - before
        if now <= began or own < LEAST_OWN or pulse.done >= 1:
            return ""
        minutes, seconds = divmod(round((now - began) * (1 - pulse.done) / own), 60)
        return f"{minutes:02d}:{seconds:02d} left"
