"""Rows prepared ahead of training, in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lanewise.features.encoding import Encoded
from lanewise.features.preparation import Preparation

BLOCK_BYTES = 64 * 2**20
_INTERMEDIATE_COPIES = 4


def prepare_rows(
    preparation: Preparation,
    encoded: Encoded,
    rows: np.ndarray,
    dtype: torch.dtype = torch.float32,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Tensor, Tensor]:
    """Dense features ``[G, n, D]`` of ``dtype`` and embedded codes ``[G, n, Ke]`` of ``rows [n]``, in their order.

    They lie on the device of the preparation. Beyond the result, whose size `predicted_bytes` tells, about
    ``block_bytes`` are in use at a time.
    """
    device = preparation.centre.device
    folds = preparation.folds
    dense = torch.empty(folds, len(rows), preparation.dense_width, dtype=dtype, device=device)
    codes = torch.empty(folds, len(rows), len(preparation.layout.embedded), dtype=torch.int64, device=device)
    with torch.no_grad():
        for block in _blocks(len(rows), _bytes_per_row(preparation), block_bytes):
            inputs = raw_rows(encoded, rows[block])
            moved = [None if tensor is None else tensor.to(device) for tensor in inputs]
            numbers, levels, tokens = moved
            assert numbers is not None
            assert levels is not None
            dense[:, block], codes[:, block] = preparation.prepare(numbers, levels, tokens, dtype)
    return dense, codes


def raw_rows(encoded: Encoded, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a preparation takes of ``rows [n]``: numbers ``[1, n, Dn]``, codes ``[1, n, Kc]``, tokens ``[1, n, H]``."""
    tokens = None if encoded.tokens is None else torch.from_numpy(encoded.tokens[rows].toarray()).unsqueeze(0)
    numbers = torch.from_numpy(encoded.numbers[rows]).unsqueeze(0)
    return numbers, torch.from_numpy(encoded.codes[rows]).unsqueeze(0), tokens


def predicted_bytes(preparation: Preparation, rows: int, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of what `prepare_rows` returns for that many rows."""
    per_row = preparation.dense_width * dtype.itemsize + len(preparation.layout.embedded) * torch.int64.itemsize
    return preparation.folds * rows * per_row


def _bytes_per_row(preparation: Preparation) -> int:
    layout = preparation.layout
    values = layout.dense_width + len(layout.categories)
    return max(1, _INTERMEDIATE_COPIES * preparation.folds * values * torch.float64.itemsize)


def _blocks(rows: int, bytes_per_row: int, block_bytes: int) -> Iterator[slice]:
    size = max(1, block_bytes // bytes_per_row)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
