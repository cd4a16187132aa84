"""How much shorter than usual a plan may train its candidates, and what that saves."""

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.models.trees import LENGTHS
from lanewise.training.teams import trains_at_hand

SHORTEST = 0.15
"""Share of the usual full length below which a training says little; a family that does not fit is left out."""

LEAST_LENGTH = 0.03
"""The same where no family fits: on long tables of many columns still most of a pass over the rows."""

SHORTEST_FOREST = 0.2
"""The same for forests, always: fewer trees make every probability coarse, and a forest a poor one."""


def shortest_of(candidate: Candidate, shortest: float = SHORTEST) -> float:
    """The share of the usual full length that a candidate's family has at the least, where others have ``shortest``."""
    return max(SHORTEST_FOREST, shortest) if candidate.model == "forest" else shortest


def length_of(candidate: Candidate) -> str | None:
    """The setting that says how long a candidate of trees is trained, if it has one."""
    name = LENGTHS.get(candidate.model)
    return name if name in candidate.settings else None


def shortened(candidate: Candidate, *, rows: float, rounds: float, trees: float = 1.0) -> float:
    """The share of its full training that a candidate has in a plan of fewer rows seen, boosting rounds and trees.

    Solvers and full-batch rules take their iterations, a single tree is grown at once, and the default keeps its
    rounds or trees: none of them takes less for that.

    >>> from dataclasses import replace
    >>> boosted = Candidate(id="a", model="lightgbm", optimizer="", settings={"rounds": 100})
    >>> shortened(boosted, rows=0.2, rounds=0.5), shortened(replace(boosted, is_default=True), rows=0.2, rounds=0.5)
    (0.5, 1.0)
    """
    if candidate.model not in STACKED:
        name = None if candidate.is_default else length_of(candidate)
        return 1.0 if name is None else {"rounds": rounds, "trees": trees}[name]
    return 1.0 if trains_at_hand(candidate) else rows
