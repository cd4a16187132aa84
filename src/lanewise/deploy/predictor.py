"""A model ready for use: what the data must look like, how rows are prepared, and the members that are averaged."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.features.encoding import Encoded
from lanewise.features.layout import Layout
from lanewise.features.preparation import Preparation
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.fitted import Features, Fitted, features_of, loaded, member_dtype

BLOCK_BYTES = 64 * 2**20
"""Features that one block of rows may hold at once; bounds memory, decides nothing else."""

MOST_BLOCK_ROWS = 65_536

FEWEST_ABOVE = 100
"""So many targets, and none of them negative, let intervals end at 0: at most a hundredth of new rows may be below."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One trained member and its share of the average."""

    fitted: Fitted
    weight: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A prediction interval: ``prediction +- half_width`` holds the truth in a share ``level`` of rows.

    With ``edges``, the width follows the prediction: it is ``half_widths[k]`` where a prediction reaches ``k`` of
    the ascending edges, and ``half_width`` is the one width that would hold the same share of all rows. No interval
    reaches below ``floor``, or below a prediction that is beneath it.
    """

    level: float
    half_width: float
    edges: tuple[float, ...] = ()
    half_widths: tuple[float, ...] = ()
    floor: float | None = None

    def __post_init__(self) -> None:
        widths = (self.half_width, *self.half_widths)
        assert all(width >= 0 and math.isfinite(width) for width in widths), "half widths are finite and not negative"
        assert all(low < high for low, high in pairwise(self.edges)), "the edges of an interval ascend"
        assert len(self.half_widths) == len(self.edges) + bool(self.edges), "an interval has a width beside each edge"

    @property
    def follows(self) -> bool:
        """Whether the width follows the prediction."""
        return bool(self.edges)

    def around(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bounds ``[N]`` and ``[N]`` around predictions ``[N]``."""
        half: float | np.ndarray = self.half_width
        if self.follows:
            half = np.array(self.half_widths)[np.count_nonzero(values[:, None] >= np.array(self.edges), axis=1)]
        low = values - half
        return low if self.floor is None else np.maximum(low, np.minimum(values, self.floor)), values + half


def with_floor(interval: Interval, y: np.ndarray, out_of_fold: np.ndarray) -> Interval:
    """The interval that ends at 0 where no ``y [N]`` is below, and it would reach there for some rows out of fold.

    A row below all N others has probability ``1 / (N + 1)``, which is all that this may take from the coverage.
    """
    there = np.isfinite(out_of_fold)
    lowest = interval.around(out_of_fold[there])[0].min(initial=0.0)
    bounded = len(y) >= FEWEST_ABOVE and y.min() >= 0 > lowest
    return replace(interval, floor=0.0) if bounded else interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Predictions in the order of the rows.

    ``values [N]`` are means, or labels as text; ``probabilities [N, K]`` stand in the order of the task's classes;
    ``low`` and ``high [N]`` bound a number. ``findings`` say what was unusual about the rows.
    """

    values: np.ndarray
    probabilities: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A finished model: all that is needed to predict the target of new rows.

    The prediction is the average of the members' means or class probabilities, weighted by ``weight`` (of which only
    ratios matter). For two classes the second is predicted where its probability is at least ``threshold``; for more
    the most probable one, the first of equals. ``preparation`` is that of the refit, with one fold. ``sha256`` names
    the saved model that it was loaded from.
    """

    task: Task
    contract: DataContract
    preparation: Preparation
    members: tuple[Member, ...]
    threshold: float = 0.5
    interval: Interval | None = None
    name: str = ""
    words: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        assert self.members, "a predictor needs a member"
        assert all(member.weight > 0 and math.isfinite(member.weight) for member in self.members), (
            "weights are positive"
        )
        assert self.preparation.folds == 1, "the preparation must be that of a refit"
        assert self.interval is None or not self.task.is_classification, "intervals are for numbers"

    @property
    def layout(self) -> Layout:
        return self.preparation.layout

    @property
    def width(self) -> Width:
        layout = self.layout
        return Width(dense=layout.dense_width, levels=layout.embedded_codes, outputs=self.task.outputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table of predictions, in order."""
        if self.task.is_classification:
            return ("prediction", *(f"probability_{name}" for name in self.task.classes))
        return ("prediction",) if self.interval is None else ("prediction", "low", "high")

    def predict(self, dataset: Dataset) -> Prediction:
        """Predictions for every row of ``dataset``; missing cells are fine, and other columns are left out.

        Raises ``DataError`` where a column that the model needs is absent or of another kind.
        """
        findings = self.check(dataset)
        response = np.concatenate(list(self.responses(dataset)))
        return self.decide(response, findings=(*findings, *overflow_findings(count_overflows(response))))

    def load(self) -> None:
        """Build the members now rather than at the first prediction; ``StoreError`` where one is damaged."""
        assert len(self._loaded) == len(self.members)

    def check(self, dataset: Dataset) -> tuple[Finding, ...]:
        """What reading noticed, and what is unusual against the rows of training; ``DataError`` as `predict`."""
        used = {None, *(column.name for column in self.contract.columns)}
        read = (finding for finding in dataset.findings if finding.column in used)  # of others nothing follows
        return (*read, *self.contract.check(dataset))

    def responses(self, dataset: Dataset) -> Iterator[np.ndarray]:
        """Means ``[n, 1]`` or class probabilities ``[n, K]`` of consecutive blocks of rows, at least one block."""
        conformed = self.contract.conform(dataset)
        for start in range(0, max(conformed.rows, 1), self.block_rows):
            rows = conformed.frame.slice(start, self.block_rows)
            encoded = self.layout.encode(Dataset(frame=rows, kinds=conformed.kinds, source=conformed.source))
            yield self.respond(encoded)

    def decide(self, response: np.ndarray, *, findings: tuple[Finding, ...] = ()) -> Prediction:
        """The prediction that follows from averaged means ``[N, 1]`` or class probabilities ``[N, K]``."""
        if self.task.is_classification:
            positive = self.task.kind == "binary"
            chosen = (response[:, 1] >= self.threshold).astype(np.int64) if positive else response.argmax(1)
            return Prediction(
                values=np.array(self.task.classes, dtype=object)[chosen], probabilities=response, findings=findings
            )
        values = response[:, 0]
        if self.interval is None:
            return Prediction(values=values, findings=findings)
        low, high = self.interval.around(values)
        if self.task.kind == "count":
            low = np.maximum(low, 0.0)
        return Prediction(values=values, low=low, high=high, findings=findings)

    def respond(self, encoded: Encoded) -> np.ndarray:
        """Means ``[n, 1]`` or class probabilities ``[n, K]`` of rows that the layout encoded, at most `block_rows`."""
        return self.respond_to(self.features(encoded))

    def features(self, encoded: Encoded) -> Features:
        """Encoded rows as the members read them."""
        return features_of(self.preparation, encoded, dtype=self._dtype)

    def respond_to(self, features: Features) -> np.ndarray:
        """The same of rows that are prepared already."""
        total = sum(member.weight for member in self.members)
        shares = [member.weight / total for member in self.members]
        average = shares[0] * self._loaded[0](features)
        for share, member in zip(shares[1:], self._loaded[1:], strict=True):
            average += share * member(features)
        return average

    @cached_property
    def _loaded(self) -> list[Callable[[Features], np.ndarray]]:
        return [loaded(member.fitted, self.width) for member in self.members]

    @cached_property
    def _dtype(self) -> torch.dtype | None:
        """The widest type that a stacked member computes in; None where all are trees."""
        found = [dtype for member in self.members if (dtype := member_dtype(member.fitted)) is not None]
        return max(found, key=lambda dtype: dtype.itemsize, default=None)

    @cached_property
    def block_rows(self) -> int:
        """Rows that are predicted at once, so that memory is bounded."""
        layout = self.layout
        raw = len(layout.numbers) + len(layout.categories)
        wide = layout.dense_width if self._dtype is not None else 0
        hidden = max((int(member.fitted.candidate.number("width")) for member in self.members), default=0)
        return max(1, min(MOST_BLOCK_ROWS, BLOCK_BYTES // (8 * (raw + wide + hidden + self.task.outputs))))


def count_overflows(response: np.ndarray) -> int:
    """Rows ``[N, K]`` whose prediction is not finite: the exponential of a count model can overflow."""
    return int(np.count_nonzero(~np.isfinite(response).all(axis=1)))


def overflow_findings(rows: int) -> tuple[Finding, ...]:
    """A warning where some rows overflowed."""
    if not rows:
        return ()
    message = f"{counted(rows, 'prediction')} overflowed: compare the largest values of these rows with training"
    return (Finding(code="not_finite", severity="warning", count=rows, message=message),)
