"""Which contender wins, what to expect of it, and whether an ensemble does better."""

from lanewise.selection.contender import Contender
from lanewise.selection.decision import Selection, Standing, corrected_score, select
from lanewise.selection.ensemble import EnsembleComparison, combine, compare_ensemble, greedy_ensemble
from lanewise.selection.rule import pick, selection_rule

__all__ = [
    "Contender",
    "EnsembleComparison",
    "Selection",
    "Standing",
    "combine",
    "compare_ensemble",
    "corrected_score",
    "greedy_ensemble",
    "pick",
    "select",
    "selection_rule",
]
