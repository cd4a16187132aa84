"""Checkpoints of one training: each is a saved model, and the newest that verifies is the latest."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lanewise.errors import StoreError, UsageError
from lanewise.storage.durable import make_folders, remove_leftovers, remove_tree
from lanewise.storage.filesystem import DISK, FileSystem, explained
from lanewise.storage.modelfile import load_model, save_model

if TYPE_CHECKING:
    import numpy as np
    import torch

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"\.?step-([0-9]{12})(?:\.old)?")  # .step-....old: replaced, and the power went just then


@final
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What was saved at a step; ``skipped`` says which newer ones were passed over, and why."""

    step: int
    tensors: "Mapping[str, torch.Tensor]"
    state: Any
    sha256: str
    skipped: tuple[str, ...] = ()


@final
class Checkpoints:
    """The newest ``keep`` checkpoints in ``folder``, for the one process that holds the run's lock.

    A checkpoint counts only when it is durable, and only then are older ones removed.
    """

    def __init__(self, folder: Path, *, keep: int = 2, fs: FileSystem = DISK) -> None:
        if keep < 1:
            msg = f"keep must be at least 1, got {keep}"
            raise UsageError(msg)
        self._folder = folder
        self._keep = keep
        self._fs = fs
        self._clean = False
        self._passed_over: set[int] = set()

    def save(self, step: int, tensors: "Mapping[str, torch.Tensor | np.ndarray]", state: Any = None) -> str:
        """Save durably, then drop the oldest; returns the SHA-256 of the checkpoint.

        ``state`` is anything that JSON has. Tensors on the processor are written from their own memory: nothing may
        alter them until this returns.

        Raises:
            StoreError: it cannot be written (what was there stays), or a later step is there already.
        """
        if not 0 <= step < 10**12:
            msg = f"step must be from 0 to 999,999,999,999, got {step}"
            raise UsageError(msg)
        make_folders(self._folder, fs=self._fs)
        if not self._clean:
            remove_leftovers(self._folder, fs=self._fs)
            self._clean = True
        later = [other for other in self.steps() if other > step and other not in self._passed_over]
        if later:
            msg = (
                f"{self._folder} has a checkpoint of step {later[-1]}, after step {step}; "
                "resume from the latest one, or use an empty folder"
            )
            raise StoreError(msg)
        sha256 = save_model(self._folder / _name(step), tensors, {"step": step, "state": state}, fs=self._fs)
        self._passed_over.discard(step)
        self._prune()
        return sha256

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or ``None`` if nothing was saved yet.

        A damaged one is passed over with a warning in the log, and named in ``skipped``; the next save drops it.

        Raises:
            StoreError: there are checkpoints, and all are damaged.
        """
        skipped: list[str] = []
        for step in reversed(self.steps()):
            try:
                model = load_model(self._folder / _name(step), fs=self._fs)
                if model.manifest.keys() != {"step", "state"} or model.manifest["step"] != step:
                    msg = f"{self._folder / _name(step)} is not the checkpoint of step {step}; restore it from a backup"
                    raise StoreError(msg)
            except StoreError as error:
                _LOG.warning("checkpoint of step %d passed over: %s", step, error)
                skipped.append(str(error))
                self._passed_over.add(step)
                continue
            return Checkpoint(
                step=step,
                tensors=model.tensors,
                state=model.manifest["state"],
                sha256=model.sha256,
                skipped=tuple(skipped),
            )
        if skipped:
            msg = f"no checkpoint can be used; start the run anew, or restore {self._folder}: {skipped[0]}"
            raise StoreError(msg)
        return None

    def steps(self) -> tuple[int, ...]:
        """Return the steps of the checkpoints that are there, ascending, without verifying them."""
        with explained("read", self._folder):
            names = self._fs.names(self._folder) if self._fs.kind(self._folder) else []
        return tuple(sorted({int(match[1]) for match in map(_NAME.fullmatch, names) if match}))

    def _prune(self) -> None:
        """Drop damaged ones that were passed over, and all but the newest ``keep``."""
        steps = self.steps()
        good = [step for step in steps if step not in self._passed_over]
        for step in set(steps) - set(good[-self._keep :]):
            path = self._folder / _name(step)
            aside = path.with_name(f".{path.name}.00000000.part")
            with suppress(OSError):  # the new one is durable; what could not be dropped goes with a later save
                remove_tree(aside, fs=self._fs)
                if self._fs.kind(path):
                    self._fs.rename(path, aside)  # first out of sight: half a folder never looks like a checkpoint
                remove_tree(aside, fs=self._fs)
                remove_tree(path.with_name(f".{path.name}.old"), fs=self._fs)
            self._passed_over.discard(step)


def _name(step: int) -> str:
    return f"step-{step:012d}"
