"""Where the time of a fit goes: seconds of wall time by stage."""

import time
from collections.abc import Mapping


class StageTimes:
    """Seconds by stage; one ends where the next begins. ``started`` is a time of ``time.monotonic``.

    >>> times = StageTimes(started=time.monotonic())
    >>> times.end("read")
    >>> list(times.seconds), times.elapsed() >= times.seconds["read"]
    (['read'], True)
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.seconds: dict[str, float] = {}
        self._last = started

    @classmethod
    def since(cls, started: float | None) -> "StageTimes":
        """From ``started``, with what went by until now as the stage ``start``; from now on where that is None."""
        times = cls(time.monotonic() if started is None else started)
        if started is not None:
            times.end("start")
        return times

    def end(self, stage: str, parts: Mapping[str, float] | None = None) -> None:
        """A stage is over; ``parts`` are those in it that count on their own."""
        now = time.monotonic()
        parts = parts or {}
        for name, seconds in {**parts, stage: now - self._last - sum(parts.values())}.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + max(seconds, 0.0)
        self._last = now

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
