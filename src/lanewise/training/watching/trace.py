"""What was seen of one lane of a race."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lanewise.lanes.candidate import Event, Failure, Notice
from lanewise.lanes.roster import Lane

Fate = Literal["running", "pruned", "diverged", "confirmed"]


@dataclass(kw_only=True)
class Trace:
    """What was seen of one lane: a point per look at it.

    ``scores`` are of the fold's validation rows, ``train_scores`` of a sample of its training rows; NaN in the screen.
    ``fate`` in the screen is "pruned" for a lane that a rung or the last choice left out, "confirmed" for one
    whose candidate went on, "diverged" for one that was lost or repaired: a repaired lane stands for a new
    candidate from then on. In the confirmation it is "confirmed" or "diverged", for all lanes of a candidate.
    ``failure`` says why a lane was given up, and when, ``notices`` what was noticed of it and nothing was done about.
    ``seconds`` went by while it was trained and looked at: its share of those of the stacks that it was in. ``kept`` is
    what a process before this one, or the screen, had trained of its full length; ``begun`` with how much of it the
    lane began, which the screen had trained.
    """

    lane: Lane
    phase: str
    fractions: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    train_scores: list[float] = field(default_factory=list)
    fate: Fate = "running"
    events: list[Event] = field(default_factory=list)
    failure: Failure | None = None
    notices: list[Notice] = field(default_factory=list)
    seconds: float = 0.0
    kept: float = 0.0
    begun: float = 0.0


def seconds_of(traces: Iterable[Trace]) -> dict[str, float]:
    """Seconds that the lanes of each candidate took, by its id."""
    found: dict[str, float] = {}
    for trace in traces:
        found[trace.lane.candidate.id] = found.get(trace.lane.candidate.id, 0.0) + trace.seconds
    return found


def looks(traces: Iterable[Trace]) -> dict[str, int]:
    """How often the lanes of each candidate were looked at, by its id: a loop that stops early would as well."""
    found: dict[str, int] = {}
    for trace in traces:
        found[trace.lane.candidate.id] = found.get(trace.lane.candidate.id, 0) + len(trace.fractions)
    return found


def trainings(traces: Iterable[Trace]) -> dict[str, float]:
    """Full trainings that were run of each candidate, by id: the sum over its lanes of the share that was trained.

    Times the steps of a full training, this is what a loop that drops the same losers would run.
    """
    found: dict[str, float] = {}
    for trace in traces:
        trained = max(0.0, max(trace.fractions, default=0.0) - trace.begun)
        found[trace.lane.candidate.id] = found.get(trace.lane.candidate.id, 0.0) + trained
    return found


def why_nobody(traces: Sequence[Trace], *, folds: int) -> str:
    """Why every candidate failed, in one line: how many of them on which of so many folds, the first cause, what to do.

    ``traces`` are those of the confirmation, if it was reached, or of the screen. A lane that had to be set back fails
    a confirmation though its numbers are finite.
    """
    confirmed = [trace for trace in traces if trace.phase == "confirm"]
    own = confirmed or list(traces)
    failed = [trace for trace in own if trace.failure or trace.events]
    on: dict[int, set[str]] = {}
    for trace in failed:
        on.setdefault(trace.lane.fold, set()).add(trace.lane.candidate.id)
    tried = len({trace.lane.candidate.id for trace in own})
    where = "" if confirmed else " in the screen"
    if confirmed and folds > 1 and on:
        counts = ", ".join(f"{len(on[fold])} of {tried} on fold {fold + 1} of {folds}" for fold in sorted(on))
        where = f" on some fold: {counts}"
    advice = "lower the learning rates or check the data for huge values"
    return f"every candidate failed{where} (first {first_cause(failed)}); {advice}"


def first_cause(traces: Iterable[Trace]) -> str:
    """Why the first of ``traces`` that was lost or set back was; of those that came to their end, why they failed."""
    for trace in traces:
        if trace.failure or trace.events:
            return f"{trace.lane.candidate.label}: {(trace.failure or trace.events[0]).cause}"
    return "predictions were not finite at the look that was chosen"
