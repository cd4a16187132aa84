"""Candidates side by side after the same share of their training, whoever was dropped later."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.training.watching.trace import Trace

Array = NDArray[np.float64]
ENOUGH = 0.8
"""Share of the candidates that a look must hold; fewer are survivors, and survivors are not a fair sample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """M candidates after the share ``fraction`` of their training.

    ``losses [M]`` are the best up to there, averaged over the ``lanes`` of each candidate and oriented so
    that smaller is better; NaN where one diverged. ``errors [M]``: standard error over those lanes, NaN
    for a single one.
    """

    phase: str
    fraction: float
    candidates: tuple[Candidate, ...]
    losses: Array
    errors: Array
    lanes: int

    @property
    def words(self) -> str:
        share = "all of their training" if self.fraction >= 1 else f"{self.fraction:.0%} of their training"
        where = "on one fold" if self.lanes == 1 else f"over {self.lanes} trainings each"
        if self.phase == "confirm":  # which has many looks, of which the best counts
            return f"compared {where}, at the best look at each {'in' if self.fraction >= 1 else 'up to'} {share}"
        return f"compared {where}, after {share}"


def fair_look(traces: Sequence[Trace], metric: Metric) -> Look | None:
    """The latest look that at least four fifths of the candidates reached, or None without any trace.

    Comparing every candidate at its own last score would call good whatever was trained longest.
    """
    phases = {phase: _by_candidate(traces, phase) for phase in ("screen", "confirm")}
    everyone = phases["screen"] or phases["confirm"]
    if not everyone:
        return None
    for phase in ("confirm", "screen"):
        entered = phases[phase]
        fractions = sorted({f for own in entered.values() for trace in own for f in trace.fractions}, reverse=True)
        for fraction in fractions or [1.0]:
            look = _look(entered, phase, fraction, metric)
            if len(look.candidates) >= ENOUGH * len(everyone):
                return look
    return None


def diverged(trace: Trace) -> bool:
    """The lane was lost, or was repaired and so is no longer the candidate that it began as."""
    return trace.fate == "diverged" or bool(trace.events) or any(event.rewinds for event in trace.lane.candidate.events)


def _by_candidate(traces: Sequence[Trace], phase: str) -> dict[str, list[Trace]]:
    entered: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.phase == phase:
            entered.setdefault(trace.lane.candidate.id, []).append(trace)
    return entered


def _look(entered: dict[str, list[Trace]], phase: str, fraction: float, metric: Metric) -> Look:
    found = []
    for own in entered.values():
        if any(diverged(trace) for trace in own):
            found.append((own[0].lane.candidate, math.nan, math.nan, len(own)))
            continue
        if all(trace.fractions and trace.fractions[-1] >= fraction - 1e-9 for trace in own):
            found.append((own[0].lane.candidate, *_best(own, fraction, metric), len(own)))
    return Look(
        phase=phase,
        fraction=fraction,
        candidates=tuple(candidate for candidate, *_ in found),
        losses=np.array([loss for _, loss, _, _ in found]),
        errors=np.array([error for _, _, error, _ in found]),
        lanes=max((lanes for *_, lanes in found), default=0),
    )


def _best(own: Sequence[Trace], fraction: float, metric: Metric) -> tuple[float, float]:
    """The lowest mean loss over the lanes up to ``fraction``, with its standard error over the lanes."""
    shared = min(sum(f <= fraction + 1e-9 for f in trace.fractions) for trace in own)
    losses = metric.sign * np.array([trace.scores[:shared] for trace in own])
    means = losses.mean(axis=0)
    if np.isnan(means).all():
        return math.nan, math.nan
    place = int(np.nanargmin(means))
    error = losses[:, place].std(ddof=1) / math.sqrt(len(own)) if len(own) > 1 else math.nan
    return float(means[place]), float(error)
