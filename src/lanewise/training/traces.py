"""What is seen of the lanes of a race while they train, from any number of threads."""

import threading
from collections.abc import Callable, Mapping, Sequence, ValuesView
from typing import final

from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane
from lanewise.metrics import Metric
from lanewise.training.stretch import Look, Stretch
from lanewise.training.team import Team
from lanewise.training.watching.pulse import Pulse, pulse_of
from lanewise.training.watching.trace import Fate, Trace


@final
class Traces:
    """The traces of all lanes by phase, and how far the phase is; only its methods write them, one at a time.

    ``watch`` is called with a :class:`Pulse` after every look, from any thread but never from two at once.
    """

    def __init__(self, metric: Metric, watch: Callable[[Pulse], None]) -> None:
        self._metric, self._watch = metric, watch
        self._traces: dict[tuple[str, str], Trace] = {}
        self._lock = threading.Lock()
        self._done = self._kept = 0.0

    def _of(self, phase: str, lane: Lane) -> Trace:
        """The trace of a lane, which begins where there was none; whoever calls holds the lock."""
        return self._traces.setdefault((phase, lane.id), Trace(lane=lane, phase=phase))

    def enter(self, phase: str, lanes: Sequence[Lane], begun: Mapping[str, float] = {}) -> None:
        """Begin the traces of ``lanes``, in this order; ``begun`` is by lane what the screen had trained of it."""
        with self._lock:
            for lane in lanes:
                trace = self._of(phase, lane)
                trace.begun = begun.get(lane.id, trace.begun)

    def values(self) -> ValuesView[Trace]:
        """All of them, in the order in which they began."""
        return self._traces.values()

    def in_order(self, numbers: Mapping[str, int]) -> tuple[Trace, ...]:
        """All by phase, candidate (of those ``numbers``) and lane, for threads and ranks begin them in any order."""

        def place(trace: Trace) -> tuple[object, ...]:
            lane, id = trace.lane, trace.lane.candidate.id
            return trace.phase == "confirm", numbers.get(id, len(numbers)), id, lane.fold, lane.seed

        return tuple(sorted(self._traces.values(), key=place))

    def begin(self) -> None:
        """What is done counts from now on: another part of a phase begins."""
        with self._lock:
            self._done = self._kept = 0.0

    def see(self, phase: str, look: Look) -> None:
        """Add a point to the trace of every lane that was looked at."""
        for item in look.evidence:
            with self._lock:
                trace = self._of(phase, item.lane)
                trace.notices += item.notices
                trace.kept += (1.0 - look.fresh) * (item.fraction - max(trace.fractions, default=0.0))
                trace.fractions.append(item.fraction)
                trace.scores.append(item.score)
                trace.train_losses.append(item.train_loss)
                trace.train_scores.append(item.train_score)

    def repaired(self, phase: str, lane: Lane, events: Sequence[Event]) -> None:
        """Add to the trace of a lane what a guard has done to it."""
        with self._lock:
            self._of(phase, lane).events += events

    def tell(self, phase: str, done: float, *, fresh: float) -> None:
        """Tell who watches that so much more of the phase is ``done``, of it ``fresh`` in this process."""
        with self._lock:
            self._done += done
            self._kept += (1.0 - fresh) * done
            own = [trace for trace in self._traces.values() if trace.phase == phase]
            self._watch(pulse_of(own, phase=phase, done=self._done, kept=self._kept, metric=self._metric))

    def ran(self, phase: str, lanes: Sequence[Lane], stretch: Stretch) -> None:
        """What a stretch took, shared by its ``lanes``."""
        with self._lock:
            for lane in lanes:
                trace = self._of(phase, lane)
                trace.seconds += stretch.seconds / len(lanes)
                if phase == "confirm":  # another process may have gone on from a screen, as this one would not
                    trace.begun = stretch.begun

    def lose(self, phase: str, teams: Sequence[Team], lanes: Sequence[Lane]) -> None:
        """The fate of ``lanes`` that gave no evidence, and why lanes were lost."""
        self.end(phase, lanes, fate="diverged")
        for team in teams:
            failures = team.lost()
            with self._lock:
                for lane in team.lanes:
                    self._of(phase, lane).failure = failures.get(lane.id)

    def end(self, phase: str, lanes: Sequence[Lane], *, fate: Fate) -> None:
        """The fate of ``lanes``; one that was set back in the screen has diverged, whatever became of it."""
        with self._lock:
            for lane in lanes:
                trace = self._of(phase, lane)
                trace.fate = "diverged" if phase == "screen" and trace.events else fate
