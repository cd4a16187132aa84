"""Random numbers keyed by what they are for, never by where a lane sits.

Every draw comes from a generator of its own, seeded by a hash of its key: the seed of the lane and
the purpose, for instance ``(seed, "dropout", layer, step)``. So lanes with one seed see the same
rows, the same initial numbers and the same dropout, whichever rows of the stack they occupy, and a
lane that is trained again alone sees them too.
"""

import hashlib

import torch
from torch import Tensor

Key = int | str


def generator(seed: int, *key: Key) -> torch.Generator:
    """A generator that depends on ``(seed, *key)`` only, on any machine and in any process.

    >>> a = torch.rand(2, generator=generator(7, "dropout", "layer1", 3))
    >>> b = torch.rand(2, generator=generator(7, "dropout", "layer1", 3))
    >>> bool((a == b).all())
    True
    """
    return torch.Generator().manual_seed(keyed_seed(seed, *key))


def keyed_seed(seed: int, *key: Key) -> int:
    """The seed of that generator, 63 bits."""
    text = "/".join(str(part) for part in (seed, *key))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class RowStream:
    """The endless stream of training rows that the lanes of one fold and seed are shown.

    Each epoch is a fresh permutation of the fold's training rows; epochs follow each other without
    a seam, so every batch is full and batch *b* is the next ``size`` rows, whatever the size. One
    permutation of *all* rows is drawn per seed and epoch and then restricted to the fold, so two
    folds see the rows that they share in the same order.

    ``rows [n]`` are the training rows, ``total`` the number N of rows of the data set. What is taken lies where
    ``rows`` do; it is drawn on the CPU, so that every device sees the same.
    """

    def __init__(self, seed: int, rows: Tensor, total: int) -> None:
        assert len(rows) > 0
        self._seed = seed
        self._member = torch.zeros(total, dtype=torch.bool)
        self._member[rows.cpu()] = True
        self._device = rows.device
        self._length = int(self._member.sum())
        self._total = total
        self._epoch = -1
        self._order = rows.new_empty(0)

    def _epoch_order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = torch.randperm(self._total, generator=generator(self._seed, "rows", epoch))
            self._order = order[self._member[order]].to(self._device)
            self._epoch = epoch
        return self._order

    def take(self, start: int, count: int) -> Tensor:
        """Rows ``start .. start + count`` of the stream, as ``[count]`` int64."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self._length)
            part = self._epoch_order(epoch)[offset : offset + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)
