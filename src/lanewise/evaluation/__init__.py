"""What the chosen model does on rows that it never saw, beside a guess, and how its answers are to be used."""

from lanewise.evaluation.baseline import dummy_prediction, guess_thresholds, lead_over_guess
from lanewise.evaluation.conformal import interval_half_width
from lanewise.evaluation.cutoff import Cutoff, CutoffPoint, answered, crossed_answers, threshold_of
from lanewise.evaluation.local_widths import LocalWidths, local_half_widths
from lanewise.evaluation.scoring import Evaluation, Residuals, evaluate

__all__ = [
    "Cutoff",
    "CutoffPoint",
    "Evaluation",
    "LocalWidths",
    "Residuals",
    "answered",
    "crossed_answers",
    "dummy_prediction",
    "evaluate",
    "guess_thresholds",
    "interval_half_width",
    "lead_over_guess",
    "local_half_widths",
    "threshold_of",
]
