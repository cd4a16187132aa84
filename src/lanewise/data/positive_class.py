"""The positive class of two: that which precision, recall, F1, PR AUC and the decision threshold are of.

It is the last class of the task, so that its code is 1. Scores, thresholds, probabilities and saved models follow the
codes, and thus the choice.
"""

import shlex
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lanewise.data.findings import Finding
from lanewise.data.target import name_hint
from lanewise.task import Task

FREQUENT = 0.6
"""Share of the rows from which on a positive class that nobody chose is told to be the frequent one."""


def positive_mistakes(task: Task, asked: str | None) -> Iterator[str]:
    """That a task has no positive class, or not the one that is named.

    >>> task = Task(target="y", kind="binary", metric="f1", classes=("bad", "good"))
    >>> print(*positive_mistakes(task, "bda"))
    positive names 'bda', no class of 'y': did you mean 'bad'?
    """
    if asked is None:
        return
    if task.kind != "binary":
        yield f"positive is for two classes, got {asked!r}, and {task.target!r} is a {task.kind} target; leave it out"
    elif asked not in task.classes:
        hint = name_hint(asked, task.classes, noun="the classes are")
        yield f"positive names {asked!r}, no class of {task.target!r}: {hint}"


def with_positive(task: Task, asked: str | None) -> Task:
    """The task with the class that is asked for, one of its two, as the positive one; as it is where none is.

    >>> with_positive(Task(target="y", kind="binary", metric="f1", classes=("bad", "good")), "bad").classes
    ('good', 'bad')
    """
    if asked is None:
        return task
    other, positive = sorted(task.classes, key=lambda name: name == asked)
    return replace(task, classes=(other, positive))


def frequent_positive(y: np.ndarray, task: Task) -> tuple[Finding, ...]:
    """That the positive class, which nobody chose, is the frequent one of the rows ``y [N]``, as encoded.

    >>> task = Task(target="y", kind="binary", metric="log_loss", classes=("bad", "good"))
    >>> frequent_positive(np.array([1] * 7 + [0] * 3), task)[0].message
    "precision, recall, F1 and PR AUC are of 'good', which 70.0% of the rows are; --positive bad makes them of 'bad'"
    """
    if task.kind != "binary" or not len(y):
        return ()
    share = float(np.mean(y == 1))
    if share < FREQUENT:
        return ()
    other, positive = task.classes
    message = (
        f"precision, recall, F1 and PR AUC are of {positive!r}, which {share:.1%} of the rows are; "
        f"--positive {shlex.quote(other)} makes them of {other!r}"
    )
    return (Finding(code="frequent_positive", message=message, column=task.target, figure=share),)
