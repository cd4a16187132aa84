"""What L-BFGS takes for the inverse Hessian of a linear model before it has seen any of it.

The Hessian of the mean loss by the weights of one output is ``X' W X / n + l2``, with W the second derivative of each
row's loss. At the best constant outputs all rows bend alike, so that it is ``c X'X / n + l2``: one eigenvalue
decomposition of ``X'X`` then serves all lanes of a fold, whatever their penalties and outputs. On standardized census
rows (69 columns) it saves two thirds of the evaluations of the ten penalties, and most of them where l2 is small.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lanewise.lanes.buffer import BufferLayout
from lanewise.lanes.roster import Roster
from lanewise.losses import null_curvature
from lanewise.models.base import StackedModel
from lanewise.training.data import TrainingData

MOST_COLUMNS = 512
"""The decomposition takes the cube of the columns; with more, evaluations are cheaper than what it saves."""

ROWS_PER_COLUMN = 4
"""With fewer rows, products with the basis cost as much as those with the rows."""

DAMPING = 1e-6
"""Share of the largest eigenvalue that is added to all: where there is no curvature, rounding must not be magnified."""

BLOCK = 65_536


@dataclass(frozen=True, kw_only=True, eq=False)
class NullMetric:
    """``vectors -> H^-1 vectors`` with H the Hessian at the best constant outputs; rows are problems.

    ``basis [F, D, D]`` holds eigenvectors in columns, ``inverse [L, C, D]`` the inverse eigenvalues, ``rest [L, P]``
    the inverse diagonal that weights other than those of dense columns have; ``fold [L]`` is the row of ``basis``.
    """

    basis: Tensor
    inverse: Tensor
    rest: Tensor
    fold: Tensor

    def __call__(self, problems: Tensor, vectors: Tensor) -> Tensor:
        result = vectors * self.rest[problems]
        inverse = self.inverse[problems]
        weights = vectors[:, : inverse[0].numel()].view_as(inverse)
        found = torch.empty_like(weights)
        folds = self.fold[problems]
        for place in folds.unique().tolist():
            own, basis = folds == place, self.basis[place]
            found[own] = ((weights[own] @ basis) * inverse[own]) @ basis.T
        result[:, : inverse[0].numel()] = found.flatten(1)
        return result


def null_metric(roster: Roster, data: TrainingData, model: StackedModel, loss: str) -> NullMetric | None:
    """The metric of all lanes of a roster of linear models; None where it would not pay."""
    columns, outputs = data.width.dense, data.width.outputs
    folds = list(dict.fromkeys(lane.fold for lane in roster))
    fewest = min(len(fold.train) for fold in data.folds.values())  # of all: who else is here must not matter
    if not 0 < columns <= min(MOST_COLUMNS, fewest // ROWS_PER_COLUMN):
        return None
    fold_of = torch.tensor([folds.index(lane.fold) for lane in roster])
    l2 = torch.tensor([lane.candidate.number("l2") for lane in roster], dtype=torch.float64)
    dtype = data.folds[folds[0]].dense.dtype
    inverse = torch.empty(len(l2), outputs, columns, dtype=torch.float64)
    rest = torch.empty(len(l2), model.layout.width, dtype=torch.float64)
    bases = []
    for place, fold in enumerate(folds):
        gram, bend = _gram(data, fold), _bend(data, fold, loss)
        eigenvalues, basis = torch.linalg.eigh(gram)
        bases.append(basis)
        own = fold_of == place
        eigenvalues = eigenvalues.clamp_min(0) + DAMPING * eigenvalues[-1]
        inverse[own] = 1 / (bend[:, None] * eigenvalues + l2[own][:, None, None])
        rest[own] = _rest(data, fold, model.layout, bend, l2[own])
    return NullMetric(basis=torch.stack(bases).to(dtype), inverse=inverse.to(dtype), rest=rest.to(dtype), fold=fold_of)


def _gram(data: TrainingData, fold: int) -> Tensor:
    """``X'X / n [D, D]`` of the training rows of a fold, each with its weight; the unit matrix where it overflows."""
    part = data.folds[fold]
    gram = torch.zeros(data.width.dense, data.width.dense, dtype=torch.float64)
    for rows in part.train.split(BLOCK):
        dense, _ = part.features(rows)
        weighted = dense if data.weight is None else dense * data.weight[rows, None].to(dense.dtype)
        gram += dense.T @ weighted
    gram /= len(part.train)
    return gram if bool(gram.isfinite().all()) else torch.eye(len(gram), dtype=gram.dtype)


def _bend(data: TrainingData, fold: int, loss: str) -> Tensor:
    """Second derivative ``[C]`` of the loss at the best constant outputs, kept away from zero."""
    part = data.folds[fold]
    weights = None if data.weight is None else data.weight[part.train]
    return null_curvature(loss, part.target[part.train], weights, data.width.outputs).clamp_min(1 / len(part.train))


def _rest(data: TrainingData, fold: int, layout: BufferLayout, bend: Tensor, l2: Tensor) -> Tensor:
    """The inverse diagonal ``[L, P]``: a level is seen by its share of the rows, a bias by all, without a penalty."""
    part = data.folds[fold]
    rest = torch.ones(len(l2), layout.width, dtype=torch.float64)
    views = layout.views(rest)
    views["bias"][:] = 1 / bend
    for k, levels in enumerate(data.width.levels):
        share = part.codes[part.train, k].bincount(minlength=levels) / len(part.train)
        seen = share.double()[:, None] * bend + l2[:, None, None] + DAMPING
        views[f"levels{k}"][:] = seen.reciprocal()
    return rest
