"""What the processes of one run can tell each other. The contract of ranks is documented here only."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

from lanewise.distributed.mesh import Mesh
from lanewise.distributed.place import Place
from lanewise.errors import UsageError

if TYPE_CHECKING:
    from lanewise.distributed.data_axis import DataAxis

MOST_SAID = 60
"""Letters of a value that two ranks disagree on that are shown."""


def never() -> bool:
    """Whether to stop, when nobody ever asks for it."""
    return False


class Ranks(ABC):
    """The processes of a run, seen from one of them.

    All ranks call :meth:`gather`, :meth:`broadcast` and :meth:`meet` in the same order. Only bytes travel, never
    objects. Each raises what another rank failed with; ``stop`` is asked while this one waits, and raises
    ``Interrupted`` on all of them when it turns true.
    """

    place: Place

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def size(self) -> int:
        return self.place.size

    @property
    def leads(self) -> bool:
        return self.place.leads

    @abstractmethod
    def meet(self, *, stop: Callable[[], bool] = never) -> None:
        """Wait until every rank is here."""

    @abstractmethod
    def gather(self, own: bytes, *, stop: Callable[[], bool] = never) -> list[bytes]:
        """What every rank gave, by rank."""

    @abstractmethod
    def broadcast(self, own: bytes = b"", *, source: int = 0, stop: Callable[[], bool] = never) -> bytes:
        """What the rank ``source`` gave."""

    @abstractmethod
    def halted(self) -> bool:
        """Whether some rank has failed or was stopped: the others are to save what they have and end."""

    @abstractmethod
    def alive(self) -> None:
        """A sign of life of this rank's work; without any while :meth:`busy`, it counts as stuck."""

    @abstractmethod
    def busy(self, *, at_work: bool) -> None:
        """From now on this rank trains, or no more."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tell the others why this rank ends; the first to say so is heard."""

    @abstractmethod
    def raise_if_halted(self) -> None:
        """Raise what another rank has failed with."""

    @abstractmethod
    def data_axis(self, mesh: Mesh, *, payload: str | None = None) -> "DataAxis | None":
        """The ranks that share batches with this one in ``mesh``, which is resolved; None: nobody does.

        ``payload`` names the format that gradients travel as, None: their own.
        """

    def agree(self, own: Mapping[str, Any]) -> None:
        """Compare what every rank was told; raises ``UsageError`` with the first thing that differs, on all alike."""
        texts = self.gather(json.dumps(own, sort_keys=True, default=str).encode())
        told = [json.loads(text) for text in texts]
        for name in sorted({name for one in told for name in one}):
            for rank, one in enumerate(told):
                if one.get(name) != told[0].get(name):
                    message = (
                        f"rank {rank} has {name} {_short(one.get(name))}, rank 0 has {_short(told[0].get(name))}; "
                        "start all ranks with the same command, data and versions"
                    )
                    raise UsageError(message)


@final
class Lone(Ranks):
    """One process that nobody waits for: every word is its own, and nothing is loaded or opened."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()

    def meet(self, *, stop: Callable[[], bool] = never) -> None:
        del stop

    def gather(self, own: bytes, *, stop: Callable[[], bool] = never) -> list[bytes]:
        del stop
        return [own]

    def broadcast(self, own: bytes = b"", *, source: int = 0, stop: Callable[[], bool] = never) -> bytes:
        del source, stop
        return own

    def halted(self) -> bool:
        return False

    def alive(self) -> None:
        return

    def busy(self, *, at_work: bool) -> None:
        del at_work

    def fail(self, error: BaseException) -> None:
        del error

    def raise_if_halted(self) -> None:
        return

    def data_axis(self, mesh: Mesh, *, payload: str | None = None) -> None:
        del mesh, payload


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}..."
