"""The parts of the run document about the test rows: where the winner errs, and from which probability it says yes.

A score is written here as it is everywhere in it: with its 95% interval.
"""

from typing import TypedDict

Number = float | int | None


class Estimate(TypedDict):
    """A score with its 95% interval."""

    value: Number
    low: Number
    high: Number


class ThresholdPoint(TypedDict):
    """What the metric would be at one threshold."""

    threshold: float
    value: Number


class Threshold(TypedDict, total=False):
    """The probability from which the answer is yes, and the metric it was chosen for."""

    value: float
    metric: str
    words: str
    curve: list[ThresholdPoint]


class Confusion(TypedDict):
    """Counts of test rows: rows are the true classes, columns the predicted ones."""

    classes: list[str]
    matrix: list[list[int]]


# ``class`` is a keyword, so this one needs the functional form. One class as the model sees it on the test rows.
PerClass = TypedDict(
    "PerClass", {"class": str, "precision": Number, "recall": Number, "f1": Number, "support": int | None}
)


class CalibrationBin(TypedDict):
    """Mean predicted probability, observed frequency and rows of one bin."""

    predicted: Number
    observed: Number
    count: int


class Point(TypedDict):
    """A point of a curve; ROC: false and true positive rate; PR: recall and precision."""

    x: Number
    y: Number


class Residuals(TypedDict):
    """Test rows, thinned: the actual and the predicted values."""

    actual: list[float]
    predicted: list[float]
