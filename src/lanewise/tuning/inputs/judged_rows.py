"""Training rows that can be read again and again, and those of them that judge where the user gives none."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from lanewise.models.batch import take
from lanewise.training.device import CPU
from lanewise.tuning.inputs.reading import source_of
from lanewise.tuning.inputs.sources import at_home

MOST = 1024
"""Rows beyond these would take longer to judge than to train on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Readable:
    """``train`` as :func:`lanewise.tune` takes it, readable several times; ``judged`` are at most 1,024 of its rows.

    ``batch_size`` is what it came with, if anything.
    """

    train: Any
    judged: Any
    rows: int
    batch_size: int | None

    @classmethod
    def of(cls, train: Any, device: torch.device = CPU) -> "Readable":
        """Read ``train``, a pair, a data set, a loader or an iterable of batches, which is read to its end once.

        Raises as :func:`lanewise.tuning.inputs.reading.source_of`.

        >>> import numpy as np
        >>> Readable.of((np.zeros((2048, 3)), np.arange(2048))).judged[1][:3].tolist()
        [0, 2, 4]
        """
        source = source_of("train", at_home(train, device))
        places = _evenly(source.rows)
        if source.table is None:
            judged = train if len(places) == source.rows else _some(train, places)
            return cls(train=train, judged=judged, rows=source.rows, batch_size=source.batch_size)
        table = tuple(source.table) if isinstance(source.table, list) else source.table
        return cls(train=table, judged=take(table, places), rows=source.rows, batch_size=source.batch_size)


def _evenly(rows: int) -> Tensor:
    if rows <= MOST:
        return torch.arange(rows)
    return torch.linspace(0, rows - 1, MOST, dtype=torch.float64).round().long()


def _some(train: Any, places: Tensor) -> Any:
    """The rows of those places of a data set or loader whose rows are loaded one by one."""
    if not isinstance(train, DataLoader):
        return Subset(train, places.tolist())
    part = Subset(train.dataset, places.tolist())
    return DataLoader(part, batch_size=train.batch_size, collate_fn=train.collate_fn)
