"""Products of rows that are nearly all zeros: counts of words, one column for each of many words.

Of ``[B, D]`` rows that all lanes share, the entries that are not zero are found once; both products of a layer then
read the weights of those entries alone. Where one entry in forty is there, they take a tenth of the time.
"""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor

SHARE = 1 / 16
"""Share of the entries from which on the whole matrix is multiplied as fast."""

ROWS = 64
"""Rows from which on it pays to turn the weights over, so that those of one input lie side by side."""

COLUMNS = 256
"""Outputs of all lanes together from which on it pays to look for the entries."""

LOOKED_AT = 8
"""Rows, evenly taken, by which most matrices are known to be full."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FewEntries:
    """``values [E]`` at ``rows [E]`` and ``columns [E]`` of a matrix ``[B, D]`` of ``shape``, row after row."""

    shape: tuple[int, int]
    rows: Tensor
    columns: Tensor
    values: Tensor

    @classmethod
    def of(cls, matrix: Tensor, outputs: int) -> "FewEntries | None":
        """The entries of ``matrix [B, D]`` to multiply with so many ``outputs``; None where that is no faster."""
        if outputs < COLUMNS or len(matrix) < ROWS or matrix.dim() != 2 or matrix.device.type != "cpu":
            return None
        if matrix.dtype not in (torch.float32, torch.float64):
            return None
        looked_at = matrix[:: -(-len(matrix) // LOOKED_AT)]
        if int(looked_at.count_nonzero()) > SHARE * looked_at.numel():
            return None
        found = matrix.nonzero()
        if len(found) > SHARE * matrix.numel():
            return None
        rows, columns = (own.contiguous() for own in found.unbind(1))
        return cls(shape=(len(matrix), matrix.shape[1]), rows=rows, columns=columns, values=matrix[rows, columns])

    def times(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``[B, D]`` times ``weight [L, H, D]`` plus ``bias [L, H]``: ``[L, B, H]``."""
        lanes, outputs, width = weight.shape
        # Only a matrix in one piece is turned over block by block.
        turned = weight.reshape(lanes * outputs, width).t().contiguous()
        product = _added(self.columns, _starts(self.rows, self.shape[0]), self.values, turned)
        if bias is not None:
            product += bias.to(product.dtype).reshape(-1)
        return product.view(-1, lanes, outputs).transpose(0, 1).contiguous()

    def gradient(self, grad: Tensor, out: Tensor) -> None:
        """The gradient of ``weight`` into ``out [L, H, D]``, that of the product being ``grad [L, B, H]``."""
        order = self.columns.argsort(stable=True)
        starts = _starts(self.columns[order], self.shape[1])
        side_by_side = grad.transpose(0, 1).reshape(self.shape[0], -1)
        found = _added(self.rows[order], starts, self.values[order], side_by_side)
        out.copy_(found.t().contiguous().view(out.shape))


def _starts(places: Tensor, count: int) -> Tensor:
    """Where each of ``count`` places begins among ``places [E]``, which rise."""
    return torch.searchsorted(places, torch.arange(count))


def _added(picked: Tensor, starts: Tensor, factors: Tensor, table: Tensor) -> Tensor:
    """``factors [E]`` times the rows ``picked [E]`` of ``table``, added up from each of the ``starts`` to the next."""
    return F.embedding_bag(picked, table, starts, mode="sum", per_sample_weights=factors)
