"""The null policy: everybody runs to the end."""

from dataclasses import dataclass
from typing import final

from lanewise.search.policy import Decision, Policy, Standing, ranked


@final
@dataclass(frozen=True, kw_only=True)
class NeverPrune(Policy):
    """No rungs, no losers: the baseline of every other policy."""

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return ()

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        return Decision(keep=tuple(order), words=f"all {len(order)} went on")
