"""Signs of life from a race: how far it is and who leads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from lanewise.metrics import Metric
from lanewise.training.watching.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A sign of life for whoever watches: how far the race is and who leads.

    ``done`` is the share of the phase, ``kept`` what of it a process before this one or the screen has done.
    ``trained`` counts the lanes of the phase that this one has trained so far, each by the part of its full length.
    ``score`` is the leader's by ``metric`` on rows held out, so far; ``sign`` is 1 where less of it is better, else -1.
    """

    phase: str
    done: float
    lanes: int
    candidates: int
    leader: str = ""
    score: float = float("nan")
    spread: float = float("nan")
    trained: float = 0.0
    metric: str = "score"
    sign: float = 1.0
    kept: float = 0.0


def pulse_of(traces: Sequence[Trace], *, phase: str, done: float, metric: Metric, kept: float = 0.0) -> Pulse:
    """The sign of life of a phase of which ``traces`` were seen, ``done`` as far as that, of it ``kept`` of before."""
    alive = [trace for trace in traces if trace.fate == "running"]
    leader, score, spread = leader_of(alive, metric.sign)
    return Pulse(
        phase=phase,
        done=min(1.0, round(done, 9)),  # shares that add up to all of it, but for their rounding
        lanes=len(alive),
        candidates=len({trace.lane.candidate.id for trace in alive}),
        leader=leader,
        score=score,
        spread=spread,
        trained=sum(trace.fractions[-1] - trace.kept for trace in traces if trace.fractions),
        metric=metric.name,
        sign=metric.sign,
        kept=kept,
    )


def leader_of(traces: Iterable[Trace], sign: float) -> tuple[str, float, float]:
    """Label, mean score and spread over lanes of the best candidate seen on as many folds as any other.

    ``sign`` is 1 where less is better and -1 where more is.
    """
    latest: dict[str, list[float]] = {}
    labels: dict[str, str] = {}
    for trace in traces:
        if trace.scores and math.isfinite(trace.scores[-1]):
            latest.setdefault(trace.lane.candidate.id, []).append(trace.scores[-1])
            labels[trace.lane.candidate.id] = trace.lane.candidate.label
    widest = max(map(len, latest.values()), default=0)
    full = {name: scores for name, scores in latest.items() if len(scores) == widest}
    if not full:
        return "", float("nan"), float("nan")
    # Asked after every look, over all candidates: an array of each one's few scores would take longer than the looks.
    best = min(full, key=lambda name: sign * fmean(full[name]))
    return labels[best], fmean(full[best]), pstdev(full[best])
