"""From the results of a fit to the run document."""

from lanewise.composing.against_guess import few_groups_ahead
from lanewise.composing.cutoffs import cutoff_of
from lanewise.composing.document import compose
from lanewise.composing.stage import Choice, Stage, Unrecorded, as_scored, families_left_out, families_without_room

__all__ = [
    "Choice",
    "Stage",
    "Unrecorded",
    "as_scored",
    "compose",
    "cutoff_of",
    "families_left_out",
    "families_without_room",
    "few_groups_ahead",
]
