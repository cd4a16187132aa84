"""What ``lanewise.train`` returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from torch import Tensor, nn


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """A trained model, and how its training went.

    ``model`` is in evaluation mode; over several ranks it is this rank's part, which all ranks call together; along
    ``pipeline`` the layers of its stage.
    ``losses [T]`` are the mean losses of the batches, each before its update, over the rows of all ranks; ``steps`` is
    T, and ``seconds`` what this call took, without what an earlier one did. ``checkpoint`` is the last one written.
    """

    model: nn.Module
    losses: tuple[float, ...]
    seconds: float
    checkpoint: Path | None
    gather: Callable[[], dict[str, Tensor]] = field(repr=False)

    @property
    def steps(self) -> int:
        return len(self.losses)

    def state_dict(self) -> dict[str, Tensor]:
        """All weights and buffers, whole, on the CPU, by the names of the user's model; all ranks call it together."""
        return self.gather()
