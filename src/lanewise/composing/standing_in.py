"""The default of a race whose budget had no room for the documented one: which family it stands in for."""

from dataclasses import dataclass

from lanewise.composing.stage import Stage
from lanewise.training.planning.proposals import MODELS


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """The ``family`` whose first candidate is the documented default, and whether it did not race at all."""

    family: str
    left_out: bool

    @property
    def why(self) -> str:
        """Why another is the default.

        >>> StandIn(family="lightgbm", left_out=True).why
        'lightgbm, the first choice, had no room in the budget'
        """
        length = "" if self.left_out else " at its full length"
        return f"{self.family}, the first choice, had no room in the budget{length}"


def standing_in(stage: Stage) -> StandIn | None:
    """What the default of this race stands in for; None where it is the documented one.

    That is of the first family, in the order of :data:`~lanewise.training.planning.proposals.MODELS`, of those that
    race or that the budget left out.
    """
    raced = {candidate.model for candidate in stage.plan.candidates}
    usual = next(model for model in MODELS if model in raced or model in stage.plan.left_out)
    return None if stage.default.model == usual else StandIn(family=usual, left_out=usual not in raced)


def default_words(stage: Stage, label: str) -> str:
    """That the default, called ``label``, is not the documented one, and why; empty where it is.

    Only the one that raced is called the default. It is named, for a warning may stand before this.
    """
    found = standing_in(stage)
    return "" if found is None else f"The default of this run is {label}: {found.why}."
