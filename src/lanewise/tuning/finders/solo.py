"""A user's module trained alone, to measure its steps."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.modules.teams import ALONE
from lanewise.training.stack import Stack
from lanewise.tuning.inputs.judged_rows import Readable
from lanewise.tuning.tune import asked

UNTIL = 200_000
"""Steps of a training that is only measured, more than there is time for; its schedule is written out beforehand."""


def solo_stacks(
    make_model: Callable[[], nn.Module],
    given: Readable,
    base: Candidate,
    sizes: Iterable[int],
    *,
    device: torch.device,
    **learning: Any,
) -> dict[int, Stack]:
    """For each batch size a training of the module alone with the optimizer of ``base``, that hardly moves.

    ``learning`` is what it learns by, as :func:`lanewise.tune` is told: ``loss`` or ``step``, and ``groups``.

    Raises as :func:`lanewise.tune` where the module, the loss or the rows cannot be used.
    """
    sizes = sorted(sizes)
    settings = {**base.settings, "optimizer": base.optimizer, "lr": 1e-9, "schedule": "constant"}
    candidates = [{**settings, "batch_size": size} for size in sizes]
    posed = asked(
        make_model, train=given.train, valid=given.judged, candidates=candidates, device=device, workers=1, **learning
    )
    lanes = [Lane(candidate=candidate, fold=0, seed=0) for candidate in posed.wanted.candidates]
    return {size: posed.teams.stack([lane], ALONE, length=UNTIL) for size, lane in zip(sizes, lanes, strict=True)}
