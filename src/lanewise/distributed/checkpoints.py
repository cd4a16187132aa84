"""Checkpoints of one model over any number of ranks, by PyTorch's distributed checkpoint.

Each rank writes its own parts as safetensors with their place in the whole, and any other split of the ranks finds
what it needs: torch's own reader takes each part from wherever it lies. Nothing is pickled, on disk or on the way.
"""

import importlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lanewise.distributed.ranks import Ranks
from lanewise.errors import StoreError
from lanewise.storage.durable import dump_json, load_json, make_folders, write_atomically
from lanewise.storage.filesystem import DISK

KEPT = 2
"""Checkpoints that a folder keeps: the newest, and one before it."""

REST = "training.json"
"""Written last: a folder without it is no checkpoint."""

Kinds = Mapping[str, tuple[torch.Size, torch.dtype]]


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint in ``folder``."""
    found = sorted(own.parent for own in folder.glob(f"step-*/{REST}"))
    return found[-1] if found else None


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], rest: Mapping[str, Any], ranks: Ranks) -> Path:
    """Write a checkpoint into ``folder``, which all hosts see: ``tensors`` are those that this rank is to write.

    All ranks call it. Raises ``StoreError`` where writing fails.
    """
    target, part = folder / f"step-{step:09d}", folder / f"step-{step:09d}.part"
    own = part / f"rank-{ranks.rank:05d}"
    if ranks.leads:
        make_folders(folder)
        shutil.rmtree(part, ignore_errors=True)
        make_folders(part)
    ranks.meet()
    try:
        with _alone() as dcp:
            writer = dcp.HuggingFaceStorageWriter(str(own), save_distributed=True)
            dcp.save(dict(tensors), storage_writer=writer, no_dist=True)
            for file in own.glob("*.safetensors"):
                DISK.rename(file, part / f"{own.name}.safetensors")
            shutil.rmtree(own)
    except (OSError, RuntimeError) as error:
        message = f"the checkpoint {part} could not be written: {error}; the one before it is kept"
        raise StoreError(message) from error
    ranks.meet()
    if ranks.leads:
        write_atomically(part / REST, dump_json(dict(rest)))
        shutil.rmtree(target, ignore_errors=True)
        DISK.rename(part, target)
        DISK.fsync_folder(folder)
        for old in sorted(one.parent for one in folder.glob(f"step-*/{REST}"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    ranks.meet()
    return target


def rest_of(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds beside tensors."""
    return load_json(checkpoint / REST)


def kinds(checkpoint: Path) -> Kinds:
    """Shape and dtype of every tensor in a checkpoint."""
    with _alone() as dcp:
        found = dcp.HuggingFaceStorageReader(str(checkpoint)).read_metadata().state_dict_metadata
    return {name: (own.size, own.properties.dtype) for name, own in found.items()}


def read_into(checkpoint: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``tensors``, of each the part that this rank holds."""
    try:
        with _alone() as dcp:
            reader = dcp.HuggingFaceStorageReader(str(checkpoint))
            dcp.load(dict(tensors), storage_reader=reader, no_dist=True)
    except (OSError, RuntimeError, ValueError) as error:
        message = f"the checkpoint {checkpoint} could not be read: {error}; remove it to go on from the one before it"
        raise StoreError(message) from error


@contextmanager
def _alone() -> Iterator[Any]:
    """torch's checkpoints, each rank for itself: it warns that one process was meant, which is so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield importlib.import_module("torch.distributed.checkpoint")
