"""Signs of life from a race: how far it is and who leads."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lanewise.training.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A sign of life for whoever watches: how far the race is and who leads."""

    phase: str
    done: float
    lanes: int
    candidates: int
    leader: str = ""
    score: float = float("nan")
    spread: float = float("nan")


def leader_of(traces: Iterable[Trace], sign: float) -> tuple[str, float, float]:
    """Label, mean score and spread over lanes of the best candidate seen on as many folds as any other.

    ``sign`` is 1 where less is better and -1 where more is.
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
