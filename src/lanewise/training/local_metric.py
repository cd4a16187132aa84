"""What L-BFGS takes for the inverse Hessian of a linear model once a lane has come near its minimum.

The metric that lanes begin with (:mod:`lanewise.training.null_metric`) takes all rows to bend alike. Near the minimum
they do not: those that a model is sure of hardly bend at all. So each lane looks again after its first iterations,
at its own point: ``X' W X / m + l2`` over a sample of its rows, at the price of about two evaluations. On standardized
census rows (69 columns) that halves the evaluations of the ten penalties.
"""

from typing import final

import torch
from torch import Tensor

from lanewise.lanes.buffer import frozen_weights
from lanewise.lanes.roster import Roster
from lanewise.losses import curvature
from lanewise.models.base import Inputs, StackedModel
from lanewise.training.data import TrainingData
from lanewise.training.null_metric import NullMetric

LOOKS = (5, 12)
"""Iterations of a lane after which it looks: those that go on for long have by then left where they looked first."""

SAMPLE, ROWS_PER_COLUMN = 4096, 32
"""Rows of the sample at least, in all and for each column: it tells curvatures to a tenth or two."""

WORTH = 4
"""Samples that the training rows must hold, or looking costs as much as what it saves."""

MOST_PRODUCTS = 16
"""Products of all rows with the weights of a lane that the product of a sample with itself may take, in operations."""

MOST_ELEMENTS = 2**18
"""Of the Hessian of a lane, which is kept."""

NULL_SHARE = 0.02
"""Share of the null Hessian that is added: what is rare may have no curvature at all in a sample."""


@final
class LocalMetric:
    """``vectors -> H^-1 vectors`` for lanes that have looked, the null metric for the others; rows are problems.

    ``H`` has a block for each output, of its weights and its bias; weights of levels keep the null metric.
    ``anchors [L, P]`` is where each lane looked last, nan where it did not: all that is needed to go on.
    """

    def __init__(self, null: NullMetric, roster: Roster, data: TrainingData, model: StackedModel, loss: str) -> None:
        self.null, self.roster, self.data, self.model, self.loss = null, roster, data, model, loss
        self.anchors = torch.full_like(null.rest, torch.nan)
        outputs, columns = null.inverse.shape[1:]
        looks = [loss != "squared" and not lane.candidate.number("l1") and self._size(lane.fold) > 0 for lane in roster]
        self._looks = torch.tensor(looks)
        held = len(roster) if any(looks) else 0  # memory that is touched at a look only
        self._inverse = null.rest.new_empty(held, outputs, columns + 1, columns + 1)
        self._known = torch.zeros(len(roster), dtype=torch.bool)
        self._seen = torch.zeros(len(roster), dtype=torch.int64)
        self._samples: dict[int, tuple[Tensor, ...]] = {}

    def __call__(self, problems: Tensor, vectors: Tensor) -> Tensor:
        result = self.null(problems, vectors)
        rows = self._known[problems].nonzero().squeeze(1)
        if len(rows):
            inverse, own = self._inverse[problems[rows]], vectors[rows]
            outputs, columns = self.null.inverse.shape[1:]
            weights, bias = own[:, : outputs * columns].unflatten(1, (outputs, columns)), own[:, -outputs:]
            block = torch.cat([weights, bias[:, :, None]], 2)
            found = (inverse * block[:, :, None]).sum(-1)
            result[rows, : outputs * columns], result[rows, -outputs:] = found[..., :-1].flatten(1), found[..., -1]
        return result

    def look(self, problems: Tensor, points: Tensor, iterations: Tensor) -> None:
        """Have those ``problems [R]`` look whose ``iterations [R]`` say so, at their ``points [R, P]``."""
        due = self._looks[problems] & torch.isin(iterations, torch.tensor(LOOKS)) & (self._seen[problems] != iterations)
        if bool(due.any()):
            self.restore(problems[due], points[due], iterations[due])

    def restore(self, problems: Tensor, anchors: Tensor, iterations: Tensor) -> None:
        """Have ``problems [R]`` look where they looked last, ``anchors [R, P]``; nan for those that never did."""
        self._seen[problems] = iterations
        for problem, anchor in zip(problems.tolist(), anchors, strict=True):
            if bool(anchor.isnan().any()):
                continue
            self.anchors[problem] = anchor
            hessian = self._hessian(problem, anchor)
            factor, failed = torch.linalg.cholesky_ex(hessian)
            self._known[problem] = sound = not bool(failed.any()) and bool(hessian.isfinite().all())
            if sound:
                self._inverse[problem] = torch.cholesky_inverse(factor)

    def _hessian(self, problem: int, anchor: Tensor) -> Tensor:
        """``[C, D + 1, D + 1]`` of one lane, a block for each output, in float64."""
        lane = self.roster.lanes[problem]
        dense, inputs, codes, targets, weights = self._sample(lane.fold)
        # A copy, for a product may round otherwise where its operands lie differently in memory.
        frozen = frozen_weights(self.model.layout, anchor.clone()[None])
        outputs = self.model.forward(frozen, Inputs(dense=dense[None], codes=codes[None], sizes=(1,)))[0]
        bend = curvature(self.loss, outputs, targets) * weights
        blocks = [(inputs * own[:, None]).T @ inputs for own in bend.unbind(1)]
        hessian = torch.stack(blocks).double() / len(dense)
        columns = dense.shape[1]
        hessian.diagonal(dim1=1, dim2=2)[:, :columns] += lane.candidate.number("l2")
        inverse, basis = self.null.inverse[problem].double(), self.null.basis[self.null.fold[problem]].double()
        hessian *= 1 - NULL_SHARE
        hessian[:, :columns, :columns] += NULL_SHARE * (basis / inverse[:, None]) @ basis.T
        hessian[:, columns, columns] += NULL_SHARE / self.null.rest[problem, -len(blocks) :].double()
        return hessian

    def _size(self, fold: int) -> int:
        """Rows of the sample of a fold; 0 where looking would not pay."""
        columns, rows = self.data.width.dense, len(self.data.folds[fold].train)
        size = max(SAMPLE, ROWS_PER_COLUMN * columns)
        elements = self.data.width.outputs * (columns + 1) ** 2
        cheap = size * columns <= MOST_PRODUCTS * rows and WORTH * size <= rows
        return size if cheap and elements <= MOST_ELEMENTS else 0

    def _sample(self, fold: int) -> tuple[Tensor, ...]:
        """Dense columns, these with a column of ones, codes, targets, weights ``[m, 1]`` of rows evenly taken."""
        if fold not in self._samples:
            part, size = self.data.folds[fold], self._size(fold)
            rows = part.train[torch.arange(size) * len(part.train) // size]
            dense, codes = part.features(rows)
            own = torch.ones(len(rows)) if self.data.weight is None else self.data.weight[rows]
            inputs = torch.cat([dense, dense.new_ones(size, 1)], 1)
            self._samples[fold] = dense, inputs, codes, part.targets(rows), own[:, None].to(dense.dtype)
        return self._samples[fold]
