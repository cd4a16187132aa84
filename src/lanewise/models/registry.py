"""Builds the stacked model that a group of candidates of one structure shares."""

from collections.abc import Sequence

import torch

from lanewise.errors import UsageError, suggestion
from lanewise.lanes.candidate import Candidate
from lanewise.models.base import StackedModel, Width
from lanewise.models.linear import StackedLinear
from lanewise.models.mlp import StackedMLP

STACKED: dict[str, type[StackedModel]] = {"linear": StackedLinear, "mlp": StackedMLP}


def build(candidates: Sequence[Candidate], width: Width) -> StackedModel:
    """The model that the lanes of these candidates (one per row) train in."""
    first = candidates[0]
    if first.model == "linear":
        return StackedLinear(width)
    if first.model == "mlp":
        rates = torch.tensor([candidate.number("dropout") for candidate in candidates], dtype=torch.float64)
        return StackedMLP(
            width,
            hidden=int(first.number("width", 128)),
            depth=int(first.number("depth", 2)),
            activation=first.text("activation", "relu"),
            layer_norm=bool(first.settings.get("layer_norm", False)),
            dropout=rates if bool((rates > 0).any()) else None,
        )
    message = f"there is no stacked model {first.model!r}; {suggestion(first.model, STACKED)}"
    raise UsageError(message)
