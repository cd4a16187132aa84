"""Metrics as people write them: one spelling for progress, summary, report and sentences."""

from lanewise.formatting.plain_text import shorten

LABELS = {
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
    "f1": "F1",
    "f1_macro": "macro F1",
    "f1_weighted": "weighted F1",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "median_ae": "median absolute error",
    "poisson_deviance": "Poisson deviance",
    "roc_auc": "ROC AUC",
    "auc": "AUC",
    "pr_auc": "PR AUC",
    "mape": "MAPE",
    "rmsle": "RMSLE",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "mcc": "Matthews correlation",
}
SHARES = frozenset({"accuracy", "balanced_accuracy", "error_rate", "top_5_accuracy", "mape"})
"""Metrics that people read as percentages; all but MAPE are at most 100%."""
OF_ONE_CLASS = frozenset({"precision", "recall", "f1", "pr_auc"})
"""Metrics that are, where there are two classes, of the positive one."""
AT_A_THRESHOLD = frozenset(
    {
        "accuracy", "balanced_accuracy", "precision", "recall", "f1", "f1_macro", "f1_weighted", "precision_macro",
        "recall_macro",
    }
)  # fmt: skip
"""Metrics of answers and not of probabilities: of two classes they are at a threshold."""
UNIT = frozenset(
    {
        "precision", "recall", "f1", "f1_macro", "f1_weighted", "precision_macro", "recall_macro", "roc_auc", "pr_auc",
        "auc", "r2",
    }
)  # fmt: skip
"""Metrics that are at most 1, where 1 means without a fault: none is rounded up to that."""
LOWER = frozenset(
    {"rmse", "mse", "mae", "median_ae", "mape", "rmsle", "poisson_deviance", "log_loss", "brier", "ece", "error_rate"}
)
"""Metrics of which less is better."""

EXACT = 1e-12
"""Closer than this to its end a score is there: sums of many floats miss it by as much."""


def metric_label(name: str, positive: str | None = None) -> str:
    """A metric's name as people write it, with the ``positive`` class of two where it is of that alone.

    >>> metric_label("log_loss"), metric_label("r2")
    ('log loss', 'R²')
    >>> metric_label("f1", "bad"), metric_label("accuracy", "bad")
    ("F1 of 'bad'", 'accuracy')
    """
    label = LABELS.get(name, name.replace("_", " "))
    return f"{label} of {shorten(positive, 28)!r}" if positive is not None and name in OF_ONE_CLASS else label


def short_of_the_end(metric: str, value: float, digits: int) -> str | None:
    """What stands for a score that rounding would turn to a perfect 1, or to 0, which it is not; None for others.

    ``digits`` are the decimals shown, counted in percent for shares.

    >>> short_of_the_end("accuracy", 0.9997, 1), short_of_the_end("roc_auc", 0.9997, 3), short_of_the_end("f1", 1.0, 3)
    ('>99.9%', '>0.999', None)
    >>> short_of_the_end("ece", 0.00008, 3)
    '<0.001'
    """
    if (metric not in SHARES and metric not in UNIT and metric != "ece") or metric == "mape" or digits < 0:
        return None
    whole, unit = (100.0, "%") if metric in SHARES else (1.0, "")
    step, size = 10.0**-digits, value * whole
    if whole - step / 2 <= size < whole * (1 - EXACT):
        return f">{whole - step:.{digits}f}{unit}"
    return f"<{step:.{digits}f}{unit}" if EXACT < size < step / 2 else None
