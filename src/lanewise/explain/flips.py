"""How much the order of the candidates still moved towards the end of a race."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.metrics import Metric
from lanewise.training.watching.trace import Trace

Array = NDArray[np.float64]

FEWEST = 3
"""Candidates below which an order says little."""

HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The order of the ``candidates`` that were confirmed, at ``early`` of their length against its end.

    ``correlation`` is Spearman's, of the ranks by mean score over folds and seeds; ``leader`` is the label of who led
    early and ``kept`` whether it leads at the end.
    """

    candidates: int
    early: float
    correlation: float
    leader: str
    kept: bool

    @property
    def words(self) -> str:
        """In one sentence."""
        led = f"the leader then, {self.leader}, {'still leads' if self.kept else 'does not lead'} at the end"
        return (
            f"From {self.early:.0%} of the length to its end the order of {self.candidates} candidates kept a rank "
            f"correlation of {self.correlation:.2f}; {led}"
        )


def rank_flips(traces: Sequence[Trace], metric: Metric, *, labels: Mapping[str, str] | None = None) -> Flips | None:
    """How the order of the confirmed candidates at half of their length compares with that at the end.

    A race says how its order moved while trainings got twice as long; an order that still moves there moves on in
    longer ones. None with fewer than three candidates that were seen at both. ``labels`` tell
    the candidates apart, by id, where their own do not.
    """
    own: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.phase == "confirm" and trace.fate == "confirmed" and trace.fractions:
            own.setdefault(trace.lane.candidate.id, []).append(trace)
    grids = {tuple(trace.fractions) for lanes in own.values() for trace in lanes}
    if len(own) < FEWEST or len(grids) != 1:
        return None
    (grid,) = grids
    half = int(np.argmin([abs(fraction - HALF * grid[-1]) for fraction in grid]))
    losses = metric.sign * np.array([np.mean([trace.scores for trace in lanes], axis=0) for lanes in own.values()])
    early, late = losses[:, half], losses[:, -1]
    if half == len(grid) - 1 or not np.isfinite([early, late]).all():
        return None
    correlation = _correlation(early, late)
    if correlation is None:
        return None
    leader = int(early.argmin())
    led = list(own.values())[leader][0].lane.candidate
    return Flips(
        candidates=len(own),
        early=grid[half],
        correlation=correlation,
        leader=led.label if labels is None else labels[led.id],
        kept=leader == int(late.argmin()),
    )


def short_race(steps: int, full_length: int, flips: Flips | None) -> str:
    """The warning that a race was shorter than the training that it is about; empty where it was not, by half.

    >>> short_race(300, 400, None)
    ''
    >>> short_race(300, 30_000, None)
    'The race trained for 300 steps, 1% of the 30,000 that you train for, and rankings flip late: race longer.'
    """
    if steps >= HALF * full_length:
        return ""
    share = f"{steps / full_length:.1%}".replace(".0%", "%")
    moved = "" if flips is None else f" {flips.words}."
    return (
        f"The race trained for {steps:,} steps, {share} of the {full_length:,} that you train for, and rankings flip "
        f"late: race longer.{moved}"
    )


def _correlation(one: Array, other: Array) -> float | None:
    """Spearman's rank correlation; None where all are equal."""
    first, second = _ranks(one), _ranks(other)
    if not (first.std() and second.std()):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Array) -> Array:
    """Ranks with ties at their middle."""
    _, of_value, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[of_value]
