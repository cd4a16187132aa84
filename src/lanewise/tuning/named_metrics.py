"""Metrics by their names: what they read of a module's outputs, and of the targets of all rows together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn

from lanewise.errors import DataError, UsageError
from lanewise.metrics import METRICS, Metric, known_metric
from lanewise.models.batch import form_of

ONE_LOGIT = 2
"""Classes that a single output of a row tells apart."""

FEW = 5
"""Rows of a class below which drawing rows again says little of what others of the class would do."""

NAMES = tuple(name for name, own in METRICS.items() if {"multiclass", "binary", "regression"} & set(own.kinds))
"""The metrics of classes and of numbers; counts need means, which outputs are in one loss and not in another."""


@final
@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a named ``metric`` is the score of: probabilities ``[n, C]``, or numbers ``[n, 1]``.

    Scores of classes ``[n, C]`` are those that cross-entropy takes, so logits, or logarithms of probabilities; a single
    one, ``[n]`` or ``[n, 1]``, is the logit of the second of two classes, or with ``probable`` its probability.
    """

    metric: Metric
    probable: bool = False

    @property
    def of_classes(self) -> bool:
        return "regression" not in self.metric.kinds

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """``[n, C]`` or ``[n, 1]`` in float64; raises ``UsageError`` for outputs or targets of another form."""
        scores = logits_of(outputs)
        if not isinstance(scores, Tensor) or not isinstance(targets, Tensor) or targets.numel() != len(targets):
            raise UsageError(self._misfit(outputs, targets))
        if scores.numel() == len(targets):
            single = scores.reshape(-1).double()
            if not self.of_classes:
                return single[:, None]
            chance = single if self.probable else single.sigmoid()
            return torch.stack([1 - chance, chance], dim=1)
        if not self.of_classes or scores.dim() != 2 or len(scores) != len(targets):
            raise UsageError(self._misfit(outputs, targets))
        if "multiclass" not in self.metric.kinds and scores.shape[1] != ONE_LOGIT:
            several = ", ".join(name for name in NAMES if "multiclass" in METRICS[name].kinds)
            message = (
                f"{self.metric.name} is for two classes, got outputs {form_of(outputs)}; of more there are {several}"
            )
            raise UsageError(message)
        return F.softmax(scores.double(), dim=1)

    def targets(self, given: Any, rows: int) -> np.ndarray:
        """Targets ``[n]`` as the metric reads them, of so many rows.

        Raises ``DataError`` for those of another form, and for rows of which the metric has no score.
        """
        if not isinstance(given, Tensor) or given.numel() != rows or len(given) != rows:
            several = isinstance(given, Tensor) and given.dim() == 2 and self.of_classes
            message = f"{self.metric.name} needs one target for each of the {rows:,} rows, got {form_of(given)}" + (
                "; of a column for each class give y.argmax(1)" if several else ""
            )
            raise DataError(message)
        found = given.detach().reshape(-1).double().cpu().numpy()
        if not self.of_classes:
            return self._defined(found)
        if others := found[(found < 0) | (found != np.floor(found))].tolist():
            message = (
                f"{self.metric.name} needs the number of its class, from 0 on, as the target of every row; "
                f"{len(others):,} of {rows:,} have another, such as {others[0]:g}"
            )
            raise DataError(message)
        return self._defined(found.astype(np.int64))

    def _defined(self, y: np.ndarray) -> np.ndarray:
        """``y``; raises ``DataError`` where no prediction of these rows could have a score, or only one of zero."""
        if self.of_classes:
            classes = max(ONE_LOGIT, int(y.max(initial=0)) + 1)
            anything = np.full((len(y), classes), 1 / classes)
        else:
            anything = np.zeros(len(y))
        if not self.metric.says_something(y) or not np.isfinite(self.metric.score(y, anything)):
            held = (
                f"all are {y[0]:g}" if (y == y[0]).all() else f"the smallest is {y.min():g} and the largest {y.max():g}"
            )
            message = (
                f"{self.metric.name} has no score on the {len(y):,} rows that judge, whatever is predicted: of their "
                f"targets {held}; give other rows to judge by, folds, or another metric"
            )
            raise DataError(message)
        return y

    def sparse(self, y: np.ndarray) -> tuple[str, ...]:
        """That a class has so few of the rows that judge, with targets ``y``, that little is known by them."""
        if not self.of_classes or self.metric.averages or self.metric.gaps:
            return ()
        counts = np.bincount(y, minlength=ONE_LOGIT)
        least = int(np.argmin(np.where(counts > 0, counts, len(y) + 1)))
        if counts[least] >= FEW:
            return ()
        return (
            f"of the {len(y):,} rows that judge only {counts[least]} {'is' if counts[least] == 1 else 'are'} of class "
            f"{least}, on which {self.metric.name} hangs: what others of the class would do no standard error and no "
            "interval knows, so that all of them are too small; give more such rows",
        )

    def _misfit(self, outputs: Any, targets: Any) -> str:
        wanted = (
            "outputs (16, 3), scores of the classes as cross-entropy takes them, or (16,) or (16, 1), the logit of the "
            "second of two"
            if self.of_classes
            else "outputs (16,) or (16, 1), the numbers"
        )
        return (
            f"{self.metric.name} is of {wanted}, and targets (16,) or (16, 1); got outputs {form_of(outputs)} and "
            f"targets {form_of(targets)}"
        )

    def doubts(self, seen: np.ndarray) -> tuple[str, ...]:
        """That ``seen [n, K]`` may be of probabilities that were taken for logits, where that is no matter of order."""
        low, high = 0.5, 1 / (1 + np.exp(-1.0))
        logits = self.of_classes and self.metric.values is not None and not self.probable
        if not logits or seen.shape[1] != ONE_LOGIT or not ((seen[:, 1] >= low) & (seen[:, 1] <= high)).all():
            return ()
        return (
            f"{self.metric.name} took the outputs for logits, and they are between 0 and 1 for all rows: if they are "
            "probabilities already, leave the sigmoid to the loss, or train by torch.nn.BCELoss, which says so",
        )


def reading_of(name: str, loss: object = None) -> Reading:
    """The reading of the metric of that name; raises ``UsageError`` where tuning has none.

    With binary cross-entropy of probabilities as the ``loss`` outputs are these, otherwise logits.
    """
    metric = known_metric(name)
    if metric is None or metric.name not in NAMES:
        raise UsageError(unknown(name))
    return Reading(metric=metric, probable=isinstance(loss, nn.BCELoss) or loss is F.binary_cross_entropy)


def unknown(given: object) -> str:
    """That ``given`` is no metric, and which there are."""
    return (
        f"metric must be one of {', '.join(NAMES)}, or a pair (function, 'max') or (function, 'min') whose function "
        f"maps outputs and targets to a number per row, got {given!r}"
    )


def logits_of(outputs: Any) -> Any:
    """Of a dict or an object with ``logits`` these, otherwise ``outputs``."""
    found = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    return outputs if found is None else found
