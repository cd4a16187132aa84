"""How sure a score or a difference is: bootstrap intervals, paired errors, selection bias."""

from lanewise.statistics.bayesian_bootstrap import share_draws
from lanewise.statistics.between_groups import LEAST_FREEDOM, freedom_of, too_few_groups, unit_weights
from lanewise.statistics.bias_correction import CorrectedScore, SelectRule, bias_corrected_interval
from lanewise.statistics.intervals import Interval, bootstrap_interval
from lanewise.statistics.paired import (
    Difference,
    bootstrap_difference,
    drawn_lead,
    fold_difference,
    paired_difference,
    paired_errors,
)
from lanewise.statistics.pareto import pareto_front
from lanewise.statistics.resampling import (
    Measure,
    Sample,
    Units,
    affordable_draws,
    bootstrap_counts,
    keyed_generator,
    resampled_scores,
    sample_of,
    units_of,
)
from lanewise.statistics.tails import expanded_normal, fisher_tail, student_quantile

__all__ = [
    "LEAST_FREEDOM",
    "CorrectedScore",
    "Difference",
    "Interval",
    "Measure",
    "Sample",
    "SelectRule",
    "Units",
    "affordable_draws",
    "bias_corrected_interval",
    "bootstrap_counts",
    "bootstrap_difference",
    "bootstrap_interval",
    "drawn_lead",
    "expanded_normal",
    "fisher_tail",
    "fold_difference",
    "freedom_of",
    "keyed_generator",
    "paired_difference",
    "paired_errors",
    "pareto_front",
    "resampled_scores",
    "sample_of",
    "share_draws",
    "student_quantile",
    "too_few_groups",
    "unit_weights",
    "units_of",
]
