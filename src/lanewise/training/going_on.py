"""Lanes that a confirmation does not train from the start. The contract of such a team is documented here only.

A lane of a screen trains with the schedule of its full length, on the batches of its fold and seed. The lane of the
same candidate, fold and seed in a confirmation repeats that, step for step. So it goes on from where the screen left
it, and the looks on the way are those that the screen kept: see :class:`~lanewise.training.kept_looks.KeptLooks`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from lanewise.training.copying import Held
from lanewise.training.team import Team

KEPT = "kept/"
"""How the names of what was kept for a confirmation begin in the state of a stack."""

ROWS = ("values", "average")
STATES = ("optimizer/", "snapshot/")


@runtime_checkable
class GoingOn(Protocol):
    """A team whose lanes can be what a confirmation begins with, or that can begin with such lanes."""

    def passed(self, lanes: Collection[str]) -> dict[str, Held]:
        """Those of ``lanes`` that a confirmation can go on with, by id, as they are now."""
        ...

    def begin_with(self, held: Mapping[str, Held]) -> None:
        """Begin, before anything was trained, with what was passed of every lane of this team."""
        ...


def passed(teams: Sequence[Team], lanes: Collection[str]) -> dict[str, Held]:
    """Those of ``lanes`` that a confirmation can go on with, by id."""
    found: dict[str, Held] = {}
    for team in teams:
        if isinstance(team, GoingOn):
            found |= team.passed(lanes)
    return found


def go_on(teams: Sequence[Team], held: Mapping[str, Held]) -> dict[str, float]:
    """Let those of ``teams`` go on all of whose lanes are ``held``: by lane, how much of its length it begins with.

    A stack takes one step of all its lanes at a time: where one begins at the start, all do.
    """
    found: dict[str, float] = {}
    for team in teams:
        if isinstance(team, GoingOn) and all(lane.id in held for lane in team.lanes):
            team.begin_with({lane.id: held[lane.id] for lane in team.lanes})
            found |= {lane.id: team.fraction for lane in team.lanes}
    return found


def rows_passed(rows: Mapping[str, int], tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Held]:
    """The lanes in ``rows`` of a stack with that state, by id."""
    found: dict[str, Held] = {}
    known = rest["kept"]
    for id, row in rows.items():
        own = {
            name: tensor[row : row + 1].clone()
            for name, tensor in tensors.items()
            if name in ROWS or name.startswith((*STATES, KEPT))
        }
        looks = [{**look, "notices": [look["notices"][row]]} for look in known["looks"]]
        vitals = {name: [of_rows[row]] for name, of_rows in known["vitals"].items()}
        kept = {"loss_steps": known["loss_steps"], "looks": looks, "vitals": vitals}
        found[id] = Held(tensors=own, rest={"taken": rest["taken"], "saved": rest["guard"]["taken"][row], **kept})
    return found


def begun_with(
    held: Sequence[Held], tensors: Mapping[str, Tensor], rest: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of a stack whose rows are ``held``; that which it has now says what its lanes have of state."""
    first = held[0].rest
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in ROWS or name.startswith(STATES):
            # The state of a rule or schedule that no lane beside it had in the screen is as at the start.
            found[name] = torch.cat([own.tensors.get(name, tensor[row : row + 1]) for row, own in enumerate(held)])
    for name in held[0].tensors:
        if name.startswith(KEPT):
            found[name.removeprefix(KEPT)] = torch.cat([own.tensors[name] for own in held])
    guard = {**rest["guard"], "taken": [own.rest["saved"] for own in held]}
    looks = [
        {**look, "notices": [own.rest["looks"][place]["notices"][0] for own in held]}
        for place, look in enumerate(first["looks"])
    ]
    vitals = {name: [own.rest["vitals"][name][0] for own in held] for name in first["vitals"]}
    began = {"taken": first["taken"], "loss_steps": first["loss_steps"], "guard": guard, "vitals": vitals}
    return found, {**rest, **began, "looks": looks}
