"""What a plan is made for: the folds, seeds and workers that there are, before it is known what anything costs."""

from dataclasses import dataclass, replace
from functools import cached_property

from lanewise.search.policy import Policy
from lanewise.training.planning.plan import Lengths
from lanewise.training.planning.predicting import screen_cost
from lanewise.training.planning.shortening import SHORTEST

ENOUGH_FOLDS, FEWER_FOLDS, FEWEST_FOLDS = 5, 3, 2
"""Folds that a race is content with where more leave no room for a family, and, then, where they leave none at all."""

ENOUGH_HELD_OUT = 6_000
"""Rows held out, or groups of them, that tell candidates apart: a table that has so many in fewer folds is content with
those sooner."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a plan is made for: ``seeds``, of which some are left out unless they were ``stated``, workers.

    The training rows, which have so many ``units`` (rows, or groups that stay together), were split into ``parts``, of
    which the first ``folds`` are held out, at least ``fewest_folds``. No training is shorter than the share
    ``shortest`` of its usual length.
    """

    units: int
    parts: int
    folds: int
    fewest_folds: int
    seeds: tuple[int, ...]
    stated: bool
    policy: Policy
    lengths: Lengths
    workers: int
    shortest: float = SHORTEST

    @cached_property
    def screened(self) -> tuple[float, float]:
        """What a screen under the policy spends per candidate: full-length trainings, and looks."""
        return screen_cost(self.policy)

    def at_most(self, folds: int) -> "Setting":
        """The same with no more ``folds`` than those, if the user has not asked for more."""
        return replace(self, folds=max(min(folds, self.folds), self.fewest_folds))

    def fewer_folds(self) -> list["Setting"]:
        """The same with fewer and fewer folds, with each of which a race is content before it leaves a family out."""
        few = self.units * FEWER_FOLDS // self.parts >= ENOUGH_HELD_OUT
        found = [self.at_most(folds) for folds in (ENOUGH_FOLDS, *([FEWER_FOLDS] if few else []))]
        return [at for at, more in zip(found, [self, *found], strict=False) if at.folds < more.folds]
