"""The positive class of two: that which precision, recall, F1, PR AUC and the decision threshold are of.

It is the last class of the task, so that its code is 1. Scores, thresholds, probabilities and saved models follow the
codes, and thus the choice.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from lanewise.data.findings import Finding
from lanewise.data.target import NUMBER, name_hint, number_label
from lanewise.task import Task

FREQUENT = 0.6
"""Share of the rows from which on a positive class that nobody chose is told to be the frequent one."""


TRUTHS = ("true", "false")


def class_named(asked: str, classes: Sequence[str]) -> str | None:
    """The class that is called so, else that of the same number or truth value, if there is one; other text is text.

    >>> class_named("1.0", ("1", "2.5")), class_named("True", ("false", "true")), class_named("YES", ("no", "yes"))
    ('1', 'true', None)
    """
    if asked in classes:
        return asked
    same = [one for one in classes if one.lower() == asked.lower() in TRUTHS]
    if NUMBER.fullmatch(asked) and (label := number_label(float(asked))) in classes:
        # As a float, a whole number beyond 2 ** 53 may be another one.
        same = [label] if Decimal(label) == Decimal(asked) else []
    return same[0] if len(same) == 1 else None


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
    elif class_named(asked, task.classes) is None:
        hint = name_hint(asked, task.classes, noun="the classes are")
        yield f"positive names {asked!r}, no class of {task.target!r}: {hint}"


def with_positive(task: Task, asked: str | None) -> Task:
    """The task with the class that is asked for, one of its two, as the positive one; as it is where none is.

    >>> with_positive(Task(target="y", kind="binary", metric="f1", classes=("bad", "good")), "bad").classes
    ('good', 'bad')
    """
    if asked is None:
        return task
    named = class_named(asked, task.classes)
    other, positive = sorted(task.classes, key=lambda name: name == named)
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
