"""The lanes of every kind of trees."""

import numpy as np

from lanewise.models.trees import TreeSpec
from lanewise.training.trees.fold import Fold
from lanewise.training.trees.forest import ForestLane
from lanewise.training.trees.lanes import BoostingLane, TreeLane
from lanewise.training.trees.splitting import SplittingLane


def open_lane(
    fold: Fold, spec: TreeSpec, seed: int, *, keeps: bool = True, shown: np.ndarray | None = None
) -> TreeLane:
    """A lane that has not trained yet; what it ``keeps``, and which rows are ``shown``, is for forests alone."""
    if spec.kind == "forest":
        return ForestLane(fold, spec, seed, keeps=keeps, shown=shown)
    return (BoostingLane if spec.kind == "lightgbm" else SplittingLane)(fold, spec, seed)
