"""Who follows a fit while it is made."""

from typing import Protocol

from lanewise.training.watching.pulse import Pulse


class Watcher(Protocol):
    """Who follows a fit: the command line shows progress, a program may do as it likes."""

    def announce(self, text: str) -> None:
        """A sentence worth reading now."""

    def pulse(self, pulse: Pulse) -> None:
        """A sign of life from the race; comes from any thread, but from one at a time."""


class Silent:
    """Follows nothing."""

    def announce(self, text: str) -> None:
        del text

    def pulse(self, pulse: Pulse) -> None:
        del pulse
