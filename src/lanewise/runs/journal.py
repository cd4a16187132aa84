"""A race's journal on disk: the newest state of every team, one folder of checkpoints each."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from lanewise.errors import StoreError
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.durable import make_folders, remove_tree
from lanewise.storage.filesystem import explained
from lanewise.training.journal import Journal

FORMAT = 1
"""What states hold; raised whenever teams could not go on from older ones. Those without a number came before the
courses of losses that a screen is watched by."""


@final
class RunJournal(Journal):
    """Keeps the state of a run's teams under ``folder``; teams may save from several threads.

    ``passed_over`` is told of every checkpoint that is damaged or of another format: the key, and what is wrong with
    it. The one before is used, or the team starts again; either way it ends in the same bits.
    """

    def __init__(self, folder: Path, *, passed_over: Callable[[str, str], None] | None = None) -> None:
        self._folder = folder
        self._passed_over = passed_over or (lambda key, why: None)
        self._lock = threading.Lock()
        self._open: dict[str, Checkpoints] = {}
        self._steps: dict[str, int] = {}

    def _checkpoints(self, key: str) -> Checkpoints:
        with self._lock:
            if key not in self._open:
                folder = self._folder / key
                make_folders(folder)
                self._open[key] = Checkpoints(folder)
                self._steps[key] = max(self._open[key].steps(), default=0)
            return self._open[key]

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        checkpoints = self._checkpoints(key)
        self._steps[key] += 1
        checkpoints.save(self._steps[key], tensors, {**state, "format": FORMAT})

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        folder = self._folder / key
        if not folder.is_dir():
            return None
        try:
            found = self._checkpoints(key).latest()
        except StoreError as error:
            self._passed_over(key, str(error))
            with explained("clean", folder):
                remove_tree(folder)
            with self._lock:
                del self._open[key]
            return None
        if found is None:
            return None
        for why in found.skipped:
            self._passed_over(key, why)
        state = dict(found.state)
        if state.pop("format", None) != FORMAT:
            self._passed_over(key, f"{folder} was written by another version of Lanewise: its lanes are trained again")
            return None
        return dict(found.tensors), state

    def clear(self) -> None:
        """Remove everything: the run is done and its result is saved."""
        if self._folder.is_dir():
            with explained("clean", self._folder):
                remove_tree(self._folder)
