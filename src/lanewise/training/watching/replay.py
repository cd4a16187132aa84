"""Repairs and changes that candidates came with, to be made again at their steps."""

from collections.abc import Sequence

from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane


class Replay:
    """The events of ``lanes``, by row, over a training of ``length`` steps."""

    def __init__(self, lanes: Sequence[Lane], length: int) -> None:
        self._length = length
        self._due: dict[int, list[tuple[int, Event]]] = {}
        for row, lane in enumerate(lanes):
            for event in lane.candidate.events:
                self._due.setdefault(round(event.fraction * length), []).append((row, event))

    def after(self, taken: int) -> Sequence[tuple[int, Event]]:
        """Rows and events that are due after ``taken`` steps."""
        return self._due.get(taken, ())

    def excused(self, taken: int) -> set[int]:
        """Rows whose repair is still to come: it puts the lane right, as it did when it was first made."""
        return {row for due, own in self._due.items() if due > taken for row, event in own if event.rewinds}

    def fixed(self, taken: int) -> set[int]:
        """Rows whose snapshot is still needed: they will go back to it."""
        return {
            row
            for due, own in self._due.items()
            for row, event in own
            if round(event.restored * self._length) < taken < due
        }
