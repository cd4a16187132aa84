"""Lanes that give way to copies of better ones. The contract of a team that can do it is documented here only."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from lanewise.lanes.candidate import Candidate, Event
from lanewise.lanes.roster import Lane
from lanewise.training.team import Team


@dataclass(frozen=True, kw_only=True)
class Held:
    """Everything that one lane is at a moment: its rows of the tensors of a team, and the rest."""

    tensors: Mapping[str, Tensor]
    rest: Mapping[str, Any]


@runtime_checkable
class Copying(Protocol):
    """A team whose lanes can give way to copies of others, between two stretches."""

    def kind(self, lane: str) -> Hashable:
        """Equal for two lanes, in this team or others of the race, of which one can go on from the other's state."""
        ...

    def held(self, lane: str) -> Held:
        """The state of a lane as it is now."""
        ...

    def take_over(self, lane: str, new: Lane, held: Held, *, factor: float) -> None:
        """Let ``new`` go on in the place of ``lane`` from what was ``held``, its rates multiplied by ``factor``."""
        ...


def kinds_of(names: Sequence[str], teams: Sequence[Team]) -> np.ndarray:
    """Numbers ``[M]`` that are equal for lanes of which one can go on from the state of the other."""
    kinds = {
        lane.id: team.kind(lane.id) if isinstance(team, Copying) else lane.id for team in teams for lane in team.lanes
    }
    distinct = list(dict.fromkeys(kinds[name] for name in names))
    return np.array([distinct.index(kinds[name]) for name in names])


def copy_of(
    candidate: Candidate, *, fraction: float, factor: float, id: str, changes: tuple[tuple[str, float], ...] = ()
) -> Candidate:
    """The new candidate that a copy stands for: trained alone it comes to the same weights.

    It is the source with one more event: at ``fraction`` of the length all later rates are multiplied by ``factor``,
    and the settings that ``changes`` names have other values from then on.
    """
    cause = f"took over from {candidate.id}"
    if changes:
        cause += " with " + ", ".join(f"{name} {value:.3g}" for name, value in changes)
    event = Event(fraction=fraction, restored=fraction, rate_factor=factor, cause=cause, changes=changes)
    return candidate.repaired(event, id=id)


def hand_over(teams: Sequence[Team], source: str, target: str, new: Lane, *, factor: float) -> None:
    """Let ``new`` go on in the place of the lane ``target`` from the state of ``source``, which goes on as well."""
    home = {lane.id: team for team in teams for lane in team.lanes}
    giver, taker = home[source], home[target]
    assert isinstance(giver, Copying)  # kinds are equal only where both are
    assert isinstance(taker, Copying)
    taker.take_over(target, new, giver.held(source), factor=factor)


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
