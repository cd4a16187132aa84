"""What is to be predicted, and how a prediction is judged."""

from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["regression", "count", "binary", "multiclass"]
TASK_KINDS: tuple[TaskKind, ...] = ("regression", "count", "binary", "multiclass")

DEFAULT_METRIC: dict[TaskKind, str] = {
    "regression": "rmse",
    "count": "poisson_deviance",
    "binary": "log_loss",
    "multiclass": "log_loss",
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """The target, its kind, its classes and the metric that decides the race.

    ``classes`` holds the labels as text, in sorted order; of two the positive one is last, whichever it is. It is
    empty for numbers.
    """

    target: str
    kind: TaskKind
    metric: str
    classes: tuple[str, ...] = ()

    @property
    def is_classification(self) -> bool:
        return self.kind in ("binary", "multiclass")

    @property
    def positive(self) -> str | None:
        """Of two classes the one that precision, recall, F1, PR AUC and the threshold are of; else None."""
        return self.classes[-1] if self.kind == "binary" and self.classes else None

    @property
    def outputs(self) -> int:
        """Width C of a model's output: one logit for binary tasks, one per class for more."""
        return len(self.classes) if self.kind == "multiclass" else 1
