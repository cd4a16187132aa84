"""What the chosen model does on rows that it never saw, beside a guess, and how its answers are to be used."""

from lanewise.evaluation.baseline import dummy_prediction, lead_over_guess
from lanewise.evaluation.conformal import interval_half_width
from lanewise.evaluation.cutoff import Cutoff, CutoffPoint, threshold_of
from lanewise.evaluation.local_widths import LocalWidths, local_half_widths
from lanewise.evaluation.scoring import Evaluation, Residuals, evaluate

__all__ = [
    "Cutoff",
    "CutoffPoint",
    "Evaluation",
    "LocalWidths",
    "Residuals",
    "dummy_prediction",
    "evaluate",
    "interval_half_width",
    "lead_over_guess",
    "local_half_widths",
    "threshold_of",
]
