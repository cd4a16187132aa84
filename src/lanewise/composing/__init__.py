"""From the results of a fit to the run document."""

from lanewise.composing.document import compose
from lanewise.composing.stage import Choice, Stage, Unrecorded, as_scored, families_left_out

__all__ = ["Choice", "Stage", "Unrecorded", "as_scored", "compose", "families_left_out"]
