"""Weights averaged over the last part of the training, by which lanes are judged until their schedule ends."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.roster import Lane
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.registry import rule
from lanewise.optim.schedules import UNSETTLED

SHARE = 0.2
"""Share of the training so far over which the averaged weights look back."""


def follow(average: Tensor, values: Tensor, *, taken: int, every: int) -> None:
    """Draw ``average [L, P + S]`` towards ``values``, as is done every so many steps of the ``taken``."""
    average.lerp_(values, every / (SHARE * taken + every))


def judged(lanes: Sequence[Lane], buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor | None) -> Tensor:
    """The rows ``[L, P + S]`` that lanes are judged by; ``average`` is None before it has followed any step.

    Weights of the moment jump about until the rate has decayed, so lanes are judged by the average before the end of
    their schedule; those whose rate never decays are so at the end too, those whose rule averages by itself never.
    """
    values = optimizer.evaluation(buffer.values)
    if buffer.layout.statistics:
        values = torch.cat([values, buffer.rows[:, buffer.layout.width :]], 1)
    if average is None:
        return values
    unsettled = optimizer.taken < optimizer.length
    averaged = [
        (unsettled or lane.candidate.text("schedule") in UNSETTLED) and not rule(lane.candidate.optimizer).evaluates
        for lane in lanes
    ]
    return torch.where(torch.tensor(averaged, device=values.device)[:, None], optimizer.sparse(average), values)
