"""A race's journal on disk: the newest state of every team, one folder of checkpoints each."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.durable import make_folders, remove_tree
from lanewise.training.journal import Journal


@final
class RunJournal(Journal):
    """Keeps the state of a run's teams under ``folder``; teams may save from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, Checkpoints] = {}
        self._steps: dict[str, int] = {}

    def _checkpoints(self, key: str) -> Checkpoints:
        with self._lock:
            if key not in self._open:
                folder = self._folder / key
                make_folders(folder)
                self._open[key] = Checkpoints(folder, keep=1)
                self._steps[key] = max(self._open[key].steps(), default=0)
            return self._open[key]

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        checkpoints = self._checkpoints(key)
        self._steps[key] += 1
        checkpoints.save(self._steps[key], tensors, dict(state))

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        if not (self._folder / key).is_dir():
            return None
        found = self._checkpoints(key).latest()
        return None if found is None else (dict(found.tensors), dict(found.state))

    def clear(self) -> None:
        """Remove everything: the run is done and its result is saved."""
        if self._folder.is_dir():
            remove_tree(self._folder)
