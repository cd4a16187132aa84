"""The one training loop: what happens between two steps, whatever is trained."""

from collections.abc import Callable, Iterator

from lanewise.errors import Interrupted
from lanewise.training.team import never, nothing


def each_step(
    first: int, until: int, *, stop: Callable[[], bool] = never, between: Callable[[], None] = nothing
) -> Iterator[int]:
    """The numbers of the steps from ``first`` up to ``until``, each to be taken before the next is asked for.

    Before each, ``stop`` is asked whether to leave and ``between`` may look at the state or save it.
    Raises ``Interrupted`` when ``stop`` says so; what ``between`` raises ends the training there.

    >>> list(each_step(2, 5))
    [2, 3, 4]
    """
    for at in range(first, until):
        if stop():
            message = "stopped on request"
            raise Interrupted(message)
        between()
        yield at
