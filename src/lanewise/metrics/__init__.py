"""How a prediction is scored: the metrics by name, tables and curves. NumPy only."""

from lanewise.metrics.metric import Direction, Metric, over_trainings
from lanewise.metrics.ranking import Curve, pr_curve, roc_curve
from lanewise.metrics.registry import METRICS, known_metric, metric_names, resolve_metric, score_all, unknown_metrics
from lanewise.metrics.tables import CalibrationCurve, ClassScore, calibration_curve, confusion, per_class
from lanewise.metrics.threshold import best_threshold

__all__ = [
    "METRICS",
    "CalibrationCurve",
    "ClassScore",
    "Curve",
    "Direction",
    "Metric",
    "best_threshold",
    "calibration_curve",
    "confusion",
    "known_metric",
    "metric_names",
    "over_trainings",
    "per_class",
    "pr_curve",
    "resolve_metric",
    "roc_curve",
    "score_all",
    "unknown_metrics",
]
