"""What measuring may cost: a plan is made within a share of the budget, whatever else the machine is busy with."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, final

T = TypeVar("T")


@final
class Allowance:
    """``seconds`` that measuring may take from now on; what there is no room for is reckoned from what was measured.

    Measurements come in the order of their worth. Each may go on until a share of all seconds is over, so that none
    takes what those after it need; what one leaves over is theirs.

    >>> ticks = iter([0.0, 3.0, 9.0])
    >>> allowance = Allowance(10.0, clock=lambda: next(ticks))
    >>> allowance.left(0.5), allowance.left()
    (2.0, 1.0)
    """

    def __init__(self, seconds: float = math.inf, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._started = clock()

    def left(self, until: float = 1.0) -> float:
        """Seconds before the share ``until`` of all is over, at least 0."""
        return max(until * self.seconds - (self._clock() - self._started), 0.0)

    def within(self, items: Iterable[T], *, until: float = 1.0, least: int = 0) -> Iterator[T]:
        """The ``items`` that there is room for: each is thought to take as long as the longest before it.

        The first ``least`` of them come in any case. An item takes as long as it is until the next one is asked for.

        >>> list(Allowance(0.0).within("abc", least=1)), list(Allowance().within("abc"))
        (['a'], ['a', 'b', 'c'])
        """
        longest = 0.0
        for place, item in enumerate(items):
            if place >= least and self.left(until) <= longest:
                return
            started = self._clock()
            yield item
            longest = max(longest, self._clock() - started)
