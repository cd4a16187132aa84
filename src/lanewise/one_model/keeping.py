"""When checkpoints of one model are written, and where its training goes on."""

from pathlib import Path
from typing import Any, final

from lanewise.distributed import checkpoints
from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.training.model_training import ModelTraining


@final
class Keeping:
    """When checkpoints are written, and where training goes on."""

    def __init__(
        self, training: ModelTraining, folder: Path | None, every: int | None, told: dict[str, Any], ranks: Ranks
    ) -> None:
        self.last: Path | None = None
        self._training, self._folder, self._every, self._ranks = training, folder, every, ranks
        self._told, self._saved = told, 0

    def resume(self) -> None:
        """Go on from the newest checkpoint; raises ``UsageError`` where it is of another training."""
        self.last = None if self._folder is None else checkpoints.newest(self._folder)
        if self.last is None:
            return
        rest = checkpoints.rest_of(self.last)
        for name, own in self._told.items():
            if rest["told"].get(name) != own:
                message = (
                    f"the checkpoint {self.last} is of a training with {name} {rest['told'].get(name)}, this one has "
                    f"{own}; give the same, or another folder"
                )
                raise UsageError(message)
        every, start = checkpoints.kinds(self.last), self._training.portion.private
        kinds = {key.removeprefix(start): kind for key, kind in every.items() if _shared(key) or key.startswith(start)}
        blank = self._training.blank(kinds)
        checkpoints.read_into(self.last, {self._filed(key): own for key, own in blank.items()})
        self._training.restore(blank, rest)
        self._saved = self._training.taken

    def between(self) -> None:
        taken = self._training.taken
        if self._every and taken % self._every == 0 and taken > self._saved:
            self.save()

    def save(self) -> None:
        if self._folder is None or self._training.taken == self._saved:
            return
        tensors, rest = self._training.state()
        tensors = {self._filed(name): own for name, own in tensors.items() if self._writes(name)}
        self.last = checkpoints.save(
            self._folder, self._training.taken, tensors, {**rest, "told": self._told}, self._ranks
        )
        self._saved = self._training.taken

    def goes_on(self) -> str:
        """Where the training would go on that was stopped, in words."""
        if self._folder is None:
            return "without checkpoint= it begins anew"
        if self.last is None:
            return "no step was taken, so the same call begins anew"
        return f"the same call goes on from step {self._training.taken} ({self.last})"

    def _writes(self, key: str) -> bool:
        kind, _, rest = key.partition("/")
        if _shared(key):
            return self._ranks.leads
        return self._training.portion.writes(rest if kind == "model" else rest.rpartition("/")[0])

    def _filed(self, key: str) -> str:
        return key if _shared(key) else self._training.portion.private + key


def _shared(key: str) -> bool:
    """Whether all ranks have the same under this name."""
    return key.partition("/")[0] in ("losses", "outer")
