"""What each row of a table weighs in losses and scores: by a column of weights, by its class, or both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lanewise.data.positive_class import class_named
from lanewise.data.target import name_hint
from lanewise.task import Task
from lanewise.training.streamed.streamed_rest import TrainingRest


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighing:
    """Weights of rows from their target ``y [n]`` and the weights ``own [n]`` that they came with.

    ``by_class [C]`` are the weights of classes, or None; ``mean`` is that of the training rows, which then is 1.
    """

    by_class: np.ndarray | None
    mean: float

    def __call__(self, y: np.ndarray, own: np.ndarray) -> np.ndarray:
        weight = own if self.by_class is None else own * self.by_class[np.maximum(y.astype(np.int64), 0)]
        return weight / self.mean


def weighing_of(
    task: Task,
    *,
    column: str | None,
    classes: str | Mapping[str, float] | None,
    y: np.ndarray,
    own: np.ndarray,
    train: np.ndarray,
    rest: TrainingRest | None,
) -> Weighing | None:
    """How rows are weighed: the weights ``own [N]`` of a ``column`` times those of ``classes``; None: all alike.

    They are 1 on average over the rows ``train`` and the ``rest`` of a streamed table. The weights of ``classes`` are
    those of classes that there are, as `class_weight_mistakes` sees to.
    """
    if not column and classes is None:
        return None
    count = len(train) + (0 if rest is None else rest.rows)
    by_class = None if classes is None else _class_weights(classes, task, y, train, rest)
    plain = Weighing(by_class=by_class, mean=1.0)(y, own)[train]
    if rest is None:
        return Weighing(by_class=by_class, mean=plain.mean())
    beyond = rest.weights.sum() if by_class is None else rest.weights @ by_class
    return Weighing(by_class=by_class, mean=float((plain.sum() + beyond) / count))


def class_weight_mistakes(task: Task, asked: str | Mapping[str, float] | None) -> Iterator[str]:
    """That a task has no classes to weigh, or not those that are named, or that one is named twice.

    >>> task = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
    >>> print(*class_weight_mistakes(task, {"no": 1.0, "yse": 5.0}))
    class_weights names 'yse', no class of 'y': did you mean 'yes'?
    """
    if asked is not None and not task.is_classification:
        yield f"class_weights are for classes, and {task.target!r} is a {task.kind} target"
    elif isinstance(asked, Mapping):
        first: dict[str, str] = {}
        for name in asked:
            named = class_named(name, task.classes)
            if named is None:
                hint = name_hint(name, task.classes, noun="the classes are")
                yield f"class_weights names {name!r}, no class of {task.target!r}: {hint}"
            elif first.setdefault(named, name) != name:
                yield f"class_weights names class {named!r} of {task.target!r} twice, as {first[named]!r} and {name!r}"


def _class_weights(
    asked: str | Mapping[str, float], task: Task, y: np.ndarray, train: np.ndarray, rest: TrainingRest | None
) -> np.ndarray:
    if asked == "balanced":
        counts = np.bincount(y[train].astype(np.int64), minlength=len(task.classes))
        if rest is not None:
            counts = counts + rest.counts
        return counts.sum() / (len(task.classes) * np.maximum(counts, 1))
    assert not isinstance(asked, str), "class weights were checked"
    weights = {class_named(name, task.classes): weight for name, weight in asked.items()}
    return np.array([float(weights.get(name, 1.0)) for name in task.classes])
