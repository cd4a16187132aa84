"""A team that one rank trains and all ranks know: the same contract, the same bits."""

import json
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.candidate import Event, Failure
from lanewise.lanes.roster import Lane, Roster
from lanewise.models.saved_trees import SavedTrees
from lanewise.training.copying import Copying, Held
from lanewise.training.fitted import Fitted
from lanewise.training.planning.plan import candidate_of
from lanewise.training.ranks.crew import Crew
from lanewise.training.team import Evidence, Team, Traits, nothing
from lanewise.training.workers.frames import Arrays, read_frame, write_frame


@final
class SpreadTeam(Team):
    """Lanes that are trained by the ranks at the place ``home`` along lane, where alone the team itself is made.

    Every rank calls :meth:`move`, :meth:`export` and :meth:`keep` in the same order; what trains is called at home
    only. What a stretch has shown is told to the others by :meth:`tell`.
    """

    def __init__(self, lanes: Sequence[Lane], *, make: Callable[[], Team], traits: Traits, crew: Crew) -> None:
        self.lanes = Roster.of(list(lanes)).lanes
        self.length = 0  # until it is made
        self.home: int | None = None
        self.movable, self.divides = traits.movable, traits.divides
        self._kinds = {lane.id: lane.id if traits.kind is None else traits.kind for lane in self.lanes}
        self._make, self._crew, self._ranks = make, crew, crew.ranks
        self._team: Team | None = None
        self._fraction = 0.0
        self._lost: dict[str, Failure] = {}

    @property
    def at_home(self) -> bool:
        """Whether this rank trains the team."""
        return self.home == self._crew.place

    def move(self, home: int) -> None:
        """Train at the place ``home`` from now on; its state goes there, if it has one."""
        before, self.home = self.home, home
        if before is None or before == home:
            return
        source = self._crew.first(before)
        state = pack(*self._own.state()) if self._ranks.rank == source else b""
        state = self._ranks.broadcast(state, source=source)
        if self._crew.place == before:
            self._own.keep(())
            self._team = None
        if self.at_home:
            self._own.restore(*unpack(state))

    def tell(self) -> dict[str, Any]:
        """What the other ranks must know of this team after a stretch, besides its evidence."""
        lost = {name: asdict(failure) for name, failure in self._own.lost().items()}
        return {"lost": lost, "fraction": self._own.fraction}

    def hear(self, told: Mapping[str, Any]) -> None:
        """Take over what the rank at home has to :meth:`tell`."""
        self._lost = {name: Failure(**own) for name, own in told["lost"].items()}
        self._fraction = told["fraction"]

    @property
    def fraction(self) -> float:
        return self._own.fraction if self.at_home else self._fraction

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        self._own.advance(fraction, between)

    def evidence(self) -> list[Evidence]:
        return self._own.evidence()

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return self._own.repairs()

    def lost(self) -> dict[str, Failure]:
        return self._own.lost() if self.at_home else dict(self._lost)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self._own.state()

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any] | None) -> None:
        """At home, unless it hears of what it did itself; elsewhere nothing is trained, so nothing is restored."""
        if self.at_home and rest is not None:
            self._own.restore(tensors, rest)

    def settle(self) -> None:
        if self._team is not None:
            self._team.settle()

    def keep(self, lanes: Collection[str]) -> None:
        self.lanes = tuple(lane for lane in self.lanes if lane.id in lanes)
        if self._team is not None:
            self._team.keep(lanes)
            if not self.lanes:
                self._team = None

    def kind(self, lane: str) -> Hashable:
        return self._kinds[lane], self._optimizer(lane)

    def held(self, lane: str) -> Held:
        """The state of a lane, on every rank: it may be wanted on any."""
        assert self.home is not None, "a team that was never trained has nothing to hand over"
        source, packed = self._crew.first(self.home), b""
        if self._ranks.rank == source:
            own = self._copying().held(lane)
            packed = pack(own.tensors, own.rest)
        tensors, rest = unpack(self._ranks.broadcast(packed, source=source))
        return Held(tensors=tensors, rest=rest)

    def take_over(self, lane: str, new: Lane, held: Held, *, factor: float) -> None:
        if self.at_home:
            self._copying().take_over(lane, new, held, factor=factor)
        self.lanes = tuple(new if own.id == lane else own for own in self.lanes)
        self._kinds[new.id] = self._kinds.pop(lane)
        self.movable = False  # made anew it would have the lanes that it began with

    def _optimizer(self, lane: str) -> str:
        return next(own.candidate.optimizer for own in self.lanes if own.id == lane)

    def _copying(self) -> Copying:
        team = self._own
        assert isinstance(team, Copying)  # kinds are equal only where it is
        return team

    def export(self, lane: str) -> Fitted:
        """The lane as it is now, on every rank."""
        assert self.home is not None, "a team that was never trained has nothing to export"
        source = self._crew.first(self.home)
        packed = packed_fitted(self._own.export(lane)) if self._ranks.rank == source else b""
        return unpacked_fitted(self._ranks.broadcast(packed, source=source))

    @property
    def _own(self) -> Team:
        assert self.at_home or self._team is not None, "only the rank at home has the team"
        if self._team is None:
            self._team = self._make()
            self.length = self._team.length
            if len(self.lanes) < len(self._team.lanes):
                self._team.keep([lane.id for lane in self.lanes])
        return self._team


def pack(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> bytes:
    """Tensors and their JSON-able rest as one message; the rest may be longer than a header.

    >>> unpack(pack({"a": torch.ones(2)}, {"taken": 3}))
    ({'a': tensor([1., 1.])}, {'taken': 3})
    """
    arrays: Arrays = {f"/{name}": tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    arrays["rest"] = np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8)
    stream = BytesIO()
    write_frame(stream, {}, arrays)
    return stream.getvalue()


def unpack(message: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`pack` made a message of."""
    _, arrays = read_frame(BytesIO(message))
    rest = json.loads(arrays.pop("rest").tobytes())
    return {name.removeprefix("/"): torch.from_numpy(array) for name, array in arrays.items()}, rest


def packed_fitted(fitted: Fitted) -> bytes:
    """A trained lane as one message."""
    assert fitted.calibration is None, "calibrations are added once the lane is exported"
    rest = {
        "candidate": asdict(fitted.candidate),
        "seed": fitted.seed,
        "stop": fitted.stop,
        "loss": fitted.loss,
        "center": fitted.center,
        "scale": fitted.scale,
        "columns": fitted.columns,
        "trees": None if fitted.trees is None else asdict(fitted.trees),
        "tensors": fitted.tensors is not None,
    }
    return pack(fitted.tensors or {}, rest)


def unpacked_fitted(message: bytes) -> Fitted:
    """What :func:`packed_fitted` made a message of."""
    tensors, rest = unpack(message)
    has_tensors, trees, columns = rest.pop("tensors"), rest.pop("trees"), rest.pop("columns")
    return Fitted(
        **{**rest, "candidate": candidate_of(rest["candidate"])},
        columns=None if columns is None else tuple(columns),
        trees=None if trees is None else SavedTrees(**trees),
        tensors=tensors if has_tensors else None,
    )
