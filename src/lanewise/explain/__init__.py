"""Why the race ended as it did: choices, effects, fit, importance, cost, and the result in words."""

from lanewise.explain.cost import (
    Cost,
    Solo,
    Usage,
    counts_living_children,
    one_at_a_time_seconds,
    spent,
    usage,
)
from lanewise.explain.decisions import Decision, EnsembleTrial, decisions
from lanewise.explain.diagnosis import Diagnosis, Fit, diagnose
from lanewise.explain.edges import Edge, edges
from lanewise.explain.effects import Effect, Effects, EffectValue, effects
from lanewise.explain.importance import Importance, permutation_importance
from lanewise.explain.ranked_cost import gathered, total
from lanewise.explain.sensitivity import Sensitivity, SensitivityPoint, sensitivity
from lanewise.explain.words import Outcome, Score, summary
from lanewise.training.watching.trace import trainings

__all__ = [
    "Cost",
    "Decision",
    "Diagnosis",
    "Edge",
    "Effect",
    "EffectValue",
    "Effects",
    "EnsembleTrial",
    "Fit",
    "Importance",
    "Outcome",
    "Score",
    "Sensitivity",
    "SensitivityPoint",
    "Solo",
    "Usage",
    "counts_living_children",
    "decisions",
    "diagnose",
    "edges",
    "effects",
    "gathered",
    "one_at_a_time_seconds",
    "permutation_importance",
    "sensitivity",
    "spent",
    "summary",
    "total",
    "trainings",
    "usage",
]
