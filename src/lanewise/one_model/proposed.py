"""The mesh that ``train`` takes where none is given: parts of the model where it does not fit a rank whole."""

import json
from dataclasses import dataclass

import torch
from torch import nn

from lanewise.data.memory import memory_bytes
from lanewise.distributed.mesh import OPEN, Mesh
from lanewise.distributed.ranks import Ranks

STATE = 2
"""Numbers that an optimizer keeps for each weight: those of Adam, which is as many as most have."""

ROOM = 0.8
"""The part of a rank's memory that weights, gradients and optimizer state may take; activations need some too."""

UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A mesh and why it was taken; no reason where it was stated, or where one process trains."""

    mesh: str | Mesh
    why: str = ""


def proposed_mesh(module: nn.Module, device: torch.device, ranks: Ranks, *, whole: bool = False) -> Proposed:
    """``data`` over all ``ranks``, or ``shard`` where ``module`` with its gradients and state is too large for one.

    The memory that counts is the least that any rank has in all, whatever is free: the same ranks come to the same mesh
    again, and no clock is asked. ``whole`` says that every rank has to hold the model. All ranks call this alike.
    """
    if ranks.size == 1:
        return Proposed(mesh=Mesh(data=OPEN))
    needed = needed_bytes(module)
    there = min(map(json.loads, ranks.gather(json.dumps(_memory(device, ranks)).encode())))
    words = f"weights, gradients and optimizer state take {_size(needed)} of the {_size(there)} that a rank has"
    fits = needed <= ROOM * there
    if whole or fits:
        because = "so each holds the model" if fits else "and average_every has each hold the model"
        return Proposed(mesh=Mesh(data=OPEN), why=f"mesh data={ranks.size}: {words}, {because}")
    part = f"with shard={ranks.size} {_size(needed / ranks.size)}"
    return Proposed(mesh=Mesh(shard=OPEN), why=f"mesh shard={ranks.size}: {words}, {part}")


def needed_bytes(module: nn.Module) -> int:
    """Of a rank that has the whole model: ``w + (1 + STATE) t`` of weights w, and of those that are trained t."""
    weights = sum(own.numel() * own.element_size() for own in (*module.parameters(), *module.buffers()))
    trained = sum(own.numel() * own.element_size() for own in module.parameters() if own.requires_grad)
    return weights + (1 + STATE) * trained


def _memory(device: torch.device, ranks: Ranks) -> int:
    """Bytes of memory of this rank: of its GPU, or its part of the host's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes() // ranks.place.local_size


def _size(number: float) -> str:
    """Bytes in words.

    >>> _size(2_560), _size(7e9)
    ('2.6 KB', '7.0 GB')
    """
    unit = next((unit for unit in ("KB", "MB") if number < 1000 * UNITS[unit]), "GB")
    return f"{number / UNITS[unit]:.1f} {unit}"
