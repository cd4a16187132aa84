"""What a stored race must find again to go on: the data, the module's start, the loss; and the files they come from."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import DataError
from lanewise.models.batch import leaves
from lanewise.models.keyed_draws import keyed_draws
from lanewise.storage.filesystem import explained
from lanewise.storage.strict_json import dump_json
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.objective import floats_as
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.posing import Question

CLOSE = 1e-4
"""How far, relative to its size, the loss of one batch may be off on another machine or version of torch."""

ROWS = 64
"""Rows whose loss at the start tells a module and a loss from others."""


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors: names, element types, shapes and every bit.

    >>> zero = torch.zeros(2)
    >>> digest({"w": zero}) == digest({"w": zero + 0.0}), digest({"w": zero}) == digest({"w": -zero})
    (True, False)
    """
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().contiguous().flatten()
        if flat.numel():
            found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def sha256_of(value: Any) -> str:
    """SHA-256 of anything that JSON has."""
    return hashlib.sha256(dump_json(value, sort_keys=True)).hexdigest()


def fingerprint(question: Question, teams: ModuleTeams, *, seed: int) -> dict[str, Any]:
    """``data`` and ``start``, the SHA-256 of all rows and of the modules' first weights; ``loss`` of a few rows.

    Of rows that are loaded as they are needed only those of the first batch are read.
    """
    rows, blueprint = question.rows, teams.blueprint
    first = rows.first(ROWS)
    read = rows.table
    if read is None:  # tables that lie in files are not joined
        tables = tuple(own.table for own in (rows.train, rows.valid) if own is not None)
        read = first if any(own is None for own in tables) else tables
    tensors = {name: own for name, own in leaves(read) if isinstance(own, Tensor)}
    for place, (train, valid) in enumerate(rows.parting.parts):
        tensors |= {f"train {place}": train, f"valid {place}": valid}
    starts = {"start": blueprint.start(seed)}
    starts |= {f"start {form}": own.blueprint.start(seed) for form, own in teams.others.items()}
    module, batch = blueprint.module().train(), floats_as(blueprint.dtype, first)
    # With gradients, for which a forward may ask.
    with keyed_draws(0, others=blueprint.draws_elsewhere), threads_per_product(1):
        outputs = module(batch) if blueprint.whole else teams.loss(module(batch[0]), batch[1])
    value = float(outputs.detach().double().mean())
    return {"data": digest(tensors), "start": digest(starts), "loss": value if math.isfinite(value) else None}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What a stored race would not find as it was, in words to which "changed" is added; empty where all is there."""
    if before["data"] != now["data"]:
        return "the data (rows, values or their order) have"
    if before["start"] != now["start"]:
        return "what make_model builds has"
    return "" if _close(before["loss"], now["loss"]) else "what the module or the loss computes has"


def _close(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    return abs(before - now) <= CLOSE * max(abs(before), CLOSE)


def file_digests(references: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files of ``FILE:NAME`` references, by absolute path."""
    found: dict[str, str] = {}
    for reference in references:
        path = Path(reference.rpartition(":")[0]).absolute()
        with explained("read", path):
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def check_files(digests: Mapping[str, str], *, run: str) -> None:
    """Raise ``DataError`` where a file of a run is gone or says something else; before any of it is executed."""
    for name, known in digests.items():
        path = Path(name)
        if not path.is_file():
            message = f"{path} is gone, which run {run} began with; restore it, or start a new run"
            raise DataError(message)
        if file_digests([f"{name}:"])[str(path)] != known:
            message = f"{path} has changed since run {run} began; restore it, or start a new run"
            raise DataError(message)
