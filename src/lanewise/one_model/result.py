"""What ``lanewise.train`` returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from torch import Tensor, nn


@final
@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What one rank gave to sums over the ranks in a call of ``train`` with ``average_every``.

    ``bytes`` were counted as they were given; the formula is ``averagings * one_averaging``. ``synchronous`` is what
    the gradients of the same ``steps`` would have been, one sum a step. A ring of n ranks moves ``2 (n - 1) / n`` times
    as many.

    >>> Exchange(bytes=800, averagings=2, one_averaging=400, steps=10, one_gradient=400).saved
    5.0
    """

    bytes: int
    averagings: int
    one_averaging: int
    steps: int
    one_gradient: int

    @property
    def synchronous(self) -> int:
        return self.steps * self.one_gradient

    @property
    def saved(self) -> float:
        """How many times less was exchanged than training synchronously would have."""
        return self.synchronous / self.bytes if self.bytes else 1.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """A trained model, and how its training went.

    ``model`` is in evaluation mode; over several ranks it is this rank's part, which all ranks call together; along
    ``pipeline`` the layers of its stage.
    ``losses [T]`` are the mean losses of the batches, each before its update, over the rows of all ranks; ``steps`` is
    T, and ``seconds`` what this call took, without what an earlier one did. ``checkpoint`` is the last one written.
    ``mesh`` is how the ranks shared the model, ``mesh_why`` why it was chosen; empty where it was stated, or for one
    process.
    ``exchange`` says what ranks that average every so many steps have told each other in this call; None: they do not.
    """

    model: nn.Module
    losses: tuple[float, ...]
    seconds: float
    checkpoint: Path | None
    mesh: str = ""
    mesh_why: str = ""
    exchange: Exchange | None = None
    gather: Callable[[], dict[str, Tensor]] = field(repr=False)

    @property
    def steps(self) -> int:
        return len(self.losses)

    def state_dict(self) -> dict[str, Tensor]:
        """All weights and buffers, whole, on the CPU, by the names of the user's model; all ranks call it together."""
        return self.gather()
