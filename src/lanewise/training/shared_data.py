"""Training data as files that every process maps: their pages are in memory once, however many read them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.models.base import Width
from lanewise.storage.strict_json import dump_json, parse_json
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData

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
        int(key): FoldData(center=fold["center"], scale=fold["scale"], **{name: part(fold[name]) for name in PARTS})
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
