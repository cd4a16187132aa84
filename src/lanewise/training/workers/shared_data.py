"""Training data as files that every process maps: their pages are in memory once, however many read them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.models.base import Width
from lanewise.storage.strict_json import dump_json, parse_json
from lanewise.task import Task
from lanewise.training.data import FoldData, Kept, TrainingData
from lanewise.training.workers.frames import Arrays

DESCRIPTION = "data.json"
PARTS = ("dense", "codes", "target", "train", "valid")


def write_data(data: TrainingData, folder: Path) -> None:
    """Write everything that gradient lanes read into ``folder``, one file per tensor.

    A part that all folds share, as codes and targets may be, is written once. Raises ``OSError``.
    """
    files: dict[int, str] = {}
    folds = {
        str(key): {part: _kept(getattr(fold, part), folder, files) for part in PARTS}
        | {"center": fold.center, "scale": fold.scale}
        for key, fold in data.folds.items()
    }
    weight = None if data.weight is None else _kept(data.weight, folder, files)
    description = {
        "task": asdict(data.task),
        "width": asdict(data.width),
        "rows": data.rows,
        "weight": weight,
        "folds": folds,
    }
    (folder / DESCRIPTION).write_bytes(dump_json(description))


def _kept(tensor: Tensor, folder: Path, files: dict[int, str]) -> str:
    key = tensor.data_ptr() if tensor.numel() else -len(files) - 1
    if key not in files:
        files[key] = f"{len(files)}.npy"
        np.save(folder / files[key], tensor.numpy(), allow_pickle=False)
    return files[key]


def read_data(folder: Path) -> TrainingData:
    """The same data, mapped: bit for bit what was written."""
    described: dict[str, Any] = parse_json((folder / DESCRIPTION).read_bytes(), source=DESCRIPTION)
    tensors: dict[str, Tensor] = {}

    def part(name: str) -> Tensor:
        if name not in tensors:
            tensors[name] = _mapped(folder / name)
        return tensors[name]

    folds: dict[int, FoldData] = {
        int(key): FoldData(
            dense=part(fold["dense"]),
            codes=part(fold["codes"]),
            target=part(fold["target"]),
            train=part(fold["train"]),
            valid=part(fold["valid"]),
            center=fold["center"],
            scale=fold["scale"],
        )
        for key, fold in described["folds"].items()
    }
    task, width = described["task"], described["width"]
    return TrainingData(
        task=Task(**{**task, "classes": tuple(task["classes"])}),
        width=Width(**{**width, "levels": tuple(width["levels"])}),
        folds=folds,
        rows=described["rows"],
        weight=None if described["weight"] is None else part(described["weight"]),
    )


def _mapped(path: Path) -> Tensor:
    try:
        # Copy on write: torch wants memory that may be written to, and nobody writes.
        return torch.from_numpy(np.load(path, allow_pickle=False, mmap_mode="c"))
    except ValueError:  # an empty array cannot be mapped
        return torch.from_numpy(np.load(path, allow_pickle=False))


def columns_kept(data: TrainingData, arrays: Arrays) -> dict[str, tuple[str, ...]]:
    """The columns that are read in each fold where not all are; their masks go into ``arrays``."""
    found: dict[str, tuple[str, ...]] = {}
    for fold, part in data.folds.items():
        if part.kept is not None:
            found[str(fold)] = part.kept.columns
            arrays[f"kept/{fold}/dense"] = part.kept.dense.numpy()
            arrays[f"kept/{fold}/codes"] = part.kept.codes.numpy()
    return found


def narrowed(data: TrainingData, kept: Mapping[str, Sequence[str]], arrays: Arrays) -> TrainingData:
    """``data`` with the columns that :func:`columns_kept` told, as stacks and solvers read them."""
    folds = dict(data.folds)
    for fold, columns in kept.items():
        masks = {part: torch.from_numpy(arrays[f"kept/{fold}/{part}"]) for part in ("dense", "codes")}
        none = np.zeros(0, dtype=np.uint8)
        own = Kept(columns=tuple(columns), **masks, numbers=none, categories=none, tokens=none)
        folds[int(fold)] = replace(folds[int(fold)], kept=own)
    return replace(data, folds=folds)
