"""Settings of the winner that lie at an end of those that were tried: the search may not have gone far enough."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lanewise.explain.aspects import setting_name, value_words
from lanewise.explain.effects import Effects
from lanewise.explain.factors import owned_by
from lanewise.explain.sensitivity import RATES
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.training.watching.trace import Trace

Side = Literal["largest", "smallest"]

FEWEST = 3
"""Values that must have been tried: of two the winner always has one at an end."""
AT_MOST_ONE = frozenset({"feature_fraction", "bagging_fraction", "feature_share", "max_features"})
"""Shares, which end at 1."""
OFF_AT_ZERO = frozenset({"max_depth", "clip_norm", "clip_value", "clip_adaptive"})
"""Limits of which 0 means none, so that it is no smallest value."""
COUNTED = frozenset({"num_leaves", "min_child_samples", "min_samples_leaf", "rounds", "trees"})
"""Settings whose name is in the plural."""
CURED_BY_LESS = frozenset({"dead", "exploding"})
"""Kinds of notices of a lane against which a lower learning rate is advised."""
FACTORS = (3.0, 10.0)
"""How much farther the rates lie that are proposed."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The winner's ``value`` of a setting is the ``side`` of the ``tried`` different ones; ``of`` says with what."""

    setting: str
    value: int | float
    side: Side
    tried: int
    of: str = ""

    def words(self, advice: str = "") -> str:
        """What that means, in a sentence, with what to do about it.

        >>> Edge(setting="lr", value=1.37, side="largest", tried=3, of="sgd").words("try 4.1 and 14")
        'Its learning rate, 1.4, is the largest of the 3 tried with sgd: a larger one might be better; try 4.1 and 14.'
        >>> Edge(setting="num_leaves", value=157, side="largest", tried=8).words()
        'Its leaves, 157, are the most of the 8 tried: more might be better.'
        """
        up = self.side == "largest"
        if self.setting in COUNTED:
            verb, side, other = "are", "most" if up else "fewest", "more" if up else "fewer"
        else:
            verb, side, other = "is", self.side, "a larger one" if up else "a smaller one"
        of = f" with {self.of}" if self.of else ""
        return (
            f"Its {setting_name(self.setting)}, {value_words(self.value)}, {verb} the {side} of the {self.tried} "
            f"tried{of}: {other} might be better{f'; {advice}' if advice else ''}."
        )

    @property
    def beyond(self) -> tuple[float, float] | None:
        """Two rates farther out; None for other settings, of which nobody knows the scale."""
        if self.setting not in RATES:
            return None
        one, two = (self.value * factor if self.side == "largest" else self.value / factor for factor in FACTORS)
        return one, two

    def told(self, advice: str = "") -> dict[str, Any]:
        """As the run document has it."""
        return {**asdict(self), "words": self.words(advice)}


def edges(traces: Sequence[Trace], winner: Candidate, metric: Metric, found: Effects | None) -> tuple[Edge, ...]:
    """The settings of the winner that are at an end of at least three values tried, its learning rate first.

    A setting of its optimizer's own, the rate first of all, is among those of that optimizer on its model, whether or
    not they diverged. Another than the rate counts only if its effect is evident and its best values are at that end:
    of a dozen settings one is at an end by chance. What can go no farther is none: zero, one of a whole number, all of
    a share; and no larger rate is asked for where units of the winner are dead or its updates explode.

    Args:
        traces: of the race, of any family.
        winner: a single candidate; one that was repaired on the way has no rate of its own.
        metric: of the scores.
        found: the effects in its family.
    """
    if winner.events:
        return ()
    tried = {trace.lane.candidate.id: trace.lane.candidate for trace in traces if not trace.lane.candidate.events}
    family = [one for one in tried.values() if one.model == winner.model]
    rivals = [one for one in family if one.optimizer == winner.optimizer]
    rate = next((name for name in RATES if name in winner.settings), None)
    of = "" if winner.optimizer in ("boosting", "splitting") else winner.optimizer
    owned = owned_by(winner.optimizer)
    ends = [] if rate is None else [_edge(rate, winner, rivals, of=of)]
    if ends and ends[0] is not None and ends[0].side == "largest" and _too_fast(traces, winner):
        ends = []
    for effect in found.effects if found is not None else ():
        name = effect.settings[0]
        if not effect.evident or name in (*RATES, *OFF_AT_ZERO) or name not in winner.settings:
            continue
        end = _edge(name, winner, rivals, of=of) if name in owned else _edge(name, winner, family)
        best = max(range(len(effect.values)), key=lambda place: metric.sign * -effect.values[place].score)
        if end is not None and best == (len(effect.values) - 1 if end.side == "largest" else 0):
            ends.append(end)
    return tuple(end for end in ends if end is not None)


def _too_fast(traces: Sequence[Trace], winner: Candidate) -> bool:
    """Whether something was noticed of the winner that a lower rate cures."""
    own = (notice for trace in traces if trace.lane.candidate.id == winner.id for notice in trace.notices)
    return any(notice.kind in CURED_BY_LESS for notice in own)


def _edge(name: str, winner: Candidate, rivals: Sequence[Candidate], *, of: str = "") -> Edge | None:
    values = {one.settings[name] for one in rivals if name in one.settings}
    numbers = sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    if len(numbers) < max(FEWEST, len(values)):
        return None
    own = winner.settings[name]
    assert isinstance(own, int | float), "all values of it are numbers"
    least = 1 if isinstance(own, int) else 0
    if own == numbers[-1] and not (name in AT_MOST_ONE and own >= 1):
        return Edge(setting=name, value=own, side="largest", tried=len(numbers), of=of)
    if own == numbers[0] and own > least:
        return Edge(setting=name, value=own, side="smallest", tried=len(numbers), of=of)
    return None
