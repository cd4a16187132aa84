"""What the lanes of a stack answer to rows, a block of rows at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from lanewise.lanes.buffer import frozen_weights
from lanewise.models.base import Inputs, StackedModel
from lanewise.training.batches import Batches
from lanewise.training.data import TrainingData
from lanewise.training.loop import each_step
from lanewise.training.team import never

BLOCK_ELEMENTS = 4_000_000
"""Hidden activations that a block may hold at once, so that it stays in cache and memory."""


def raw_outputs(
    model: StackedModel,
    values: Tensor,
    data: TrainingData,
    batches: Batches,
    rows_of: Callable[[int], Tensor],
    *,
    compute: torch.dtype | None = None,
    stop: Callable[[], bool] = never,
) -> list[Tensor]:
    """Raw outputs ``[n, C]`` of every lane of ``values [L, P + S]``, for the rows that ``rows_of(fold)`` names.

    Products are taken in ``compute``, None: as the values are.

    Raises ``Interrupted`` when ``stop``, asked before each block of rows, says so.
    """
    result: list[Tensor] = []
    start = 0
    for (fold, _), size in zip(batches.groups, batches.sizes, strict=True):
        weights = frozen_weights(model.layout, values[start : start + size], shadow=compute)
        start += size
        blocks = rows_of(fold).split(max(64, BLOCK_ELEMENTS // max(1, size * model.footprint)))
        pieces = []
        for place in each_step(0, len(blocks), stop=stop):
            dense, codes = data.folds[fold].features(blocks[place])
            inputs = Inputs(dense=batches.low(dense[None]), codes=codes[None], sizes=(size,))
            pieces.append(model.forward(weights, inputs).to(values.dtype))
        result += torch.cat(pieces, 1).unbind(0)
    return result
