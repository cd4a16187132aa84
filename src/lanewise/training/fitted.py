"""A trained lane, taken out of its team: all that is needed to predict with it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.features.encoding import Encoded
from lanewise.features.layout import Layout
from lanewise.features.preparation import Preparation
from lanewise.features.prepared import prepare_rows
from lanewise.features.selection import mask_columns
from lanewise.lanes.candidate import Candidate
from lanewise.losses import response
from lanewise.models.base import Width
from lanewise.models.registry import build
from lanewise.models.saved_trees import SavedTrees
from lanewise.models.tree_matrix import TokenCounts
from lanewise.models.trees import load_trees
from lanewise.training.calibration import Calibration
from lanewise.training.problem import token_counts, tree_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """One member of a model.

    A network or linear model has ``tensors`` (its weights by name) and the loss, center and scale of its
    outputs; trees have ``trees`` instead. ``seed`` and ``stop`` say how it was trained. ``columns`` are those that it
    reads, most important first; None: all. ``calibration`` makes probabilities of a support vector
    machine's margins.
    """

    candidate: Candidate
    seed: int
    stop: float
    loss: str = ""
    center: float = 0.0
    scale: float = 1.0
    tensors: Mapping[str, Tensor] | None = None
    trees: SavedTrees | None = None
    columns: tuple[str, ...] | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Rows as the members read them: dense and codes for stacked models, raw arrays for trees."""

    dense: Tensor
    codes: Tensor
    encoded: Encoded
    tokens: TokenCounts | None
    layout: Layout

    def of(self, columns: tuple[str, ...] | None) -> tuple[Tensor, Tensor]:
        """Dense features and codes in which all but ``columns`` say nothing, as in `FoldData.features`."""
        if columns is None:
            return self.dense, self.codes
        dense, codes = (torch.from_numpy(mask) for mask in mask_columns(self.layout, columns))
        return self.dense * dense.to(self.dense.dtype), self.codes * codes.to(self.codes.dtype)


def features_of(preparation: Preparation, encoded: Encoded, *, dtype: torch.dtype | None = torch.float32) -> Features:
    """Prepared rows for prediction; the preparation is that of a refit (one fold).

    ``dtype`` None leaves out what only stacked models read: dense features and codes have width 0.
    """
    tokens = tokens_of(encoded, preparation.layout)
    if dtype is None:
        rows = encoded.rows
        nothing = torch.empty(rows, 0), torch.empty(rows, 0, dtype=torch.int64)
        return Features(dense=nothing[0], codes=nothing[1], encoded=encoded, tokens=tokens, layout=preparation.layout)
    dense, codes = prepare_rows(preparation, encoded, np.arange(encoded.rows), dtype)
    return Features(dense=dense[0], codes=codes[0], encoded=encoded, tokens=tokens, layout=preparation.layout)


def tokens_of(encoded: Encoded, layout: Layout) -> TokenCounts | None:
    """Hashed text as trees read it."""
    return token_counts(encoded, layout.tokens_width)


def predict(member: Fitted, features: Features, width: Width) -> np.ndarray:
    """Means ``[N, 1]`` or class probabilities ``[N, K]`` of one member."""
    return loaded(member, width)(features)


def loaded(member: Fitted, width: Width) -> Callable[[Features], np.ndarray]:
    """What `predict` does with one member, with its trees or modules built once for many calls.

    Raises ``StoreError`` where saved trees are damaged.
    """
    if member.trees is not None:
        trees = load_trees(member.trees, threads=torch.get_num_threads())

        def by_trees(features: Features) -> np.ndarray:
            predicted = trees.predict(features.encoded.numbers, tree_codes(features.encoded.codes), features.tokens)
            return predicted if predicted.ndim > 1 else predicted[:, None]

        return by_trees
    assert member.tensors is not None
    module = build([member.candidate], width).solo(member.tensors).eval()
    dtype = member_dtype(member)

    def by_module(features: Features) -> np.ndarray:
        all_dense, all_codes = features.of(member.columns)
        with torch.no_grad():
            outputs = [
                module(dense.to(dtype), codes)
                for dense, codes in zip(all_dense.split(65_536), all_codes.split(65_536), strict=True)
            ]
        scores = torch.cat(outputs).double()
        if member.calibration is not None:
            scores = scores * member.calibration.scale + torch.tensor(member.calibration.offsets, dtype=scores.dtype)
        raw = response(member.loss, scores)
        return (raw * member.scale + member.center if member.scale != 1.0 or member.center else raw).numpy()

    return by_module


def member_dtype(member: Fitted) -> torch.dtype | None:
    """The type that a stacked member computes in; None for trees, which read raw numbers."""
    return None if member.tensors is None else next(iter(member.tensors.values())).dtype


def describe(member: Fitted) -> dict[str, Any]:
    """The JSON-able part of a member; tensors and tree text are kept beside it."""
    candidate = member.candidate
    return {
        "id": candidate.id,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "settings": dict(candidate.settings),
        "events": [asdict(event) for event in candidate.events],
        "seed": member.seed,
        "stop": member.stop,
        "loss": member.loss,
        "center": member.center,
        "scale": member.scale,
        "calibration": None if member.calibration is None else asdict(member.calibration),
        "columns": None if member.columns is None else list(member.columns),
        "trees": None if member.trees is None else {"kind": member.trees.kind, "meta": dict(member.trees.meta)},
    }
