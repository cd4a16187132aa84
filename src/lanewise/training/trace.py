"""What was seen of one lane of a race."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane

Fate = Literal["running", "pruned", "diverged", "confirmed"]


@dataclass(kw_only=True)
class Trace:
    """What was seen of one lane: a point per look at it.

    ``scores`` are of the fold's validation rows, ``train_scores`` of a sample of its training rows; NaN in the screen.
    ``fate`` in the screen is "pruned" for a lane that a rung or the last choice left out, "confirmed" for one
    whose candidate went on, "diverged" for one that was lost or repaired: a repaired lane stands for a new
    candidate from then on. In the confirmation it is "confirmed" or "diverged", for all lanes of a candidate.
    ``lost`` says why a lane failed.
    """

    lane: Lane
    phase: str
    fractions: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    train_scores: list[float] = field(default_factory=list)
    fate: Fate = "running"
    events: list[Event] = field(default_factory=list)
    lost: str = ""


def leader(traces: Sequence[Trace], *, sign: float) -> tuple[str, float, float]:
    """Label, mean score and spread over lanes of the best candidate seen on as many folds as any other.

    ``sign`` times a score is smaller for the better.
    """
    latest: dict[str, list[float]] = {}
    labels: dict[str, str] = {}
    for trace in traces:
        if trace.scores and np.isfinite(trace.scores[-1]):
            latest.setdefault(trace.lane.candidate.id, []).append(trace.scores[-1])
            labels[trace.lane.candidate.id] = trace.lane.candidate.label
    widest = max(map(len, latest.values()), default=0)
    full = {name: scores for name, scores in latest.items() if len(scores) == widest}
    if not full:
        return "", float("nan"), float("nan")
    best = min(full, key=lambda name: sign * float(np.mean(full[name])))
    return labels[best], float(np.mean(full[best])), float(np.std(full[best]))
