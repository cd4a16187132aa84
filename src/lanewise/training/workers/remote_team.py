"""A team that trains in a worker process, seen from the race: the same contract, the same bits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from lanewise.errors import Interrupted, TrainingError
from lanewise.lanes.candidate import Event, Failure, Notice
from lanewise.lanes.roster import Lane, Roster
from lanewise.training.copying import Held
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.going_on import GoingOn
from lanewise.training.planning.plan import Lengths
from lanewise.training.team import Evidence, Team, nothing
from lanewise.training.workers.frames import Arrays, Header
from lanewise.training.workers.kinds import TEAM_WORKER
from lanewise.training.workers.process import WorkerDiedError, WorkerProcess, again, nobody
from lanewise.training.workers.shared_data import columns_kept
from lanewise.training.workers.team_pool import TeamPool

SLICE_SECONDS = 0.5
"""How long a worker trains before it is asked again, so that a request to stop is heard; it decides no bit."""

FOREVER = float(2**31)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a team is trained, as a worker is told; ``length`` is the full one in the team's own unit."""

    lengths: Lengths
    length: int
    dtype: str
    compute: str | None


@final
class RemoteTeam(Team):
    """Lanes of one stack or solver, trained in whichever worker of ``pool`` is free.

    Between two stretches the team is its state, kept here; in a stretch it sits in a worker. One that ``stays`` keeps
    its seat, and its state there, until :meth:`rise`: for as many teams as there are workers that is all copies saved.
    A worker that dies is replaced once, and goes on from the last state that was fetched, to the same bits.
    """

    def __init__(
        self,
        lanes: Collection[Lane],
        data: TrainingData,
        recipe: Recipe,
        *,
        build: Callable[[Sequence[Lane], TrainingData], Team],
        stop: Callable[[], bool],
        pool: TeamPool,
        shared: str | None,
        stays: bool = False,
        tell: Callable[[str], None] = nobody,
    ) -> None:
        """``data`` are those that the workers know as ``shared`` (None: from their start), as these lanes read them.

        ``build`` makes the same team in this process, to change or read its state between stretches. ``tell`` hears
        the worker's sentences for the user.
        """
        self.lanes = Roster.of(list(lanes)).lanes
        self.length = recipe.length
        self._all = self.lanes
        self._recipe = recipe
        self._build = build
        self._stop = stop
        self._pool = pool
        self._data = data
        self._shared = shared
        self._stays = stays
        self._tell = tell
        self._process: WorkerProcess | None = None
        self._kept: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._fraction = 0.0
        # The lanes that this state is of.
        self._kept_lanes = self.lanes
        # The team in this process, and the state that it has.
        self._shown: tuple[object, Team] | None = None
        # What was asked and answered after the state was fetched: a replay asks it again.
        self._since: list[Header] = []
        self._changed = False
        self._repairs: dict[str, tuple[Event, ...]] = {}
        self._lost: dict[str, Failure] = {}
        pool.teams.add(self)

    @property
    def fraction(self) -> float:
        return self._fraction

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        while True:
            if self._stop():
                message = "stopped on request"
                raise Interrupted(message)
            between()
            self._changed = True
            answer, _ = self._ask({"op": "advance", "fraction": fraction, "seconds": SLICE_SECONDS})
            if answer["reached"]:
                break
        self._fraction = max(self._fraction, fraction)  # one that went on is farther than its first looks
        self._since.append({"op": "advance", "fraction": fraction, "seconds": FOREVER})

    def evidence(self) -> list[Evidence]:
        self._changed = True  # a look starts the mean of the training losses anew
        header, arrays = self._ask({"op": "look"})
        self._since.append({"op": "look"})
        lanes = {lane.id: lane for lane in self.lanes}
        self._repairs = {lane: tuple(Event(**event) for event in events) for lane, events in header["repairs"].items()}
        self._lost = {lane: Failure(**failure) for lane, failure in header["lost"].items()}
        for note in header["notes"]:
            self._tell(note)
        losses = arrays["train_loss"].tolist()
        return [
            Evidence(
                lane=lanes[name],
                fraction=self._fraction,
                valid=arrays[f"valid/{place}"],
                train_loss=loss,
                train=arrays.get(f"train/{place}"),
                notices=tuple(Notice(**notice) for notice in noticed),
            )
            for place, (name, loss, noticed) in enumerate(zip(header["lanes"], losses, header["notices"], strict=True))
        ]

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        found, self._repairs = self._repairs, {}
        return found

    def lost(self) -> dict[str, Failure]:
        return dict(self._lost)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if self._kept is None or self._changed:
            header, arrays = self._ask({"op": "state"})
            self._kept = {name: torch.from_numpy(array) for name, array in arrays.items()}, header["state"]
            self._kept_lanes = self.lanes
            self._changed = False
            self._since = []
        tensors, rest = self._kept
        return dict(tensors), rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        self._leave()
        self._kept, self._kept_lanes = (dict(tensors), dict(rest)), self.lanes
        self._changed = False
        self._since = []
        local = self._local()
        self._fraction, self._lost = local.fraction, local.lost()

    def keep(self, lanes: Collection[str]) -> None:
        left = tuple(lane for lane in self.lanes if lane.id in lanes)
        if not left:
            self._close()
            self._kept = self._shown = None
        elif len(left) < len(self.lanes) and self._process is not None:
            request = {"op": "keep", "lanes": [lane.id for lane in left]}
            self._ask(request)
            self._since.append(request)
            self._changed = True
        elif len(left) < len(self.lanes):
            self.state()
            self._close()
            local = self._local()
            local.keep(lanes)
            self._kept, self._kept_lanes = local.state(), left
        self.lanes = left

    def export(self, lane: str) -> Fitted:
        if self._process is not None:
            header, arrays = self._ask({"op": "export", "lane": lane})
            own = next(one for one in self.lanes if one.id == lane)
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            known = {**header, "columns": None if header["columns"] is None else tuple(header["columns"])}
            return Fitted(candidate=own.candidate, seed=own.seed, tensors=tensors, **known)
        self.state()
        if self._shown is None or self._shown[0] is not self._kept:
            self._shown = self._kept, self._local()
        return self._shown[1].export(lane)

    def passed(self, lanes: Collection[str]) -> dict[str, Held]:
        if not self._data.kept_looks or not any(lane.id in lanes for lane in self.lanes):
            return {}
        self.state()
        local = self._local()
        return local.passed(lanes) if isinstance(local, GoingOn) else {}

    def begin_with(self, held: Mapping[str, Held]) -> None:
        local = self._build(self._all, self._data)
        if isinstance(local, GoingOn):
            local.begin_with(held)
            self._kept, self._fraction = local.state(), local.fraction

    def settle(self) -> None:
        if not self._stays:
            self.rise()

    def rise(self) -> None:
        """Give the seat back, and keep none from now on: others need it."""
        self._stays = False
        if self._process is not None:
            self.state()
            self._close()

    def let_go(self) -> None:
        """Give the seat back at once: the worker is about to end."""
        self._leave()

    def _close(self) -> None:
        """Leave the worker, which forgets the team."""
        if self._process is not None:
            with suppress(WorkerDiedError):  # then it has forgotten
                self._checked({"op": "close"})
            self._leave()

    def _local(self) -> Team:
        """The team as it was when its state was last fetched, in this process."""
        team = self._build(self._all, self._data)
        team.keep([lane.id for lane in self._kept_lanes])
        if self._kept is not None:
            team.restore(*self._kept)
        return team

    # -- the worker -------------------------------------------------------------------------------

    def _ask(self, header: Header) -> tuple[Header, Arrays]:
        """Ask the worker in which the team sits; it takes a seat in one first where it sits in none."""
        for attempt in range(2):
            try:
                if self._process is None:
                    self._sit_down()
                return self._checked(header)
            except WorkerDiedError as error:
                self._leave()
                if attempt:
                    message = (
                        f"the worker process that trained {self.lanes[0].candidate.label} was ended twice, {error}; "
                        "if memory ran out, which is the usual cause, train fewer lanes at once or use fewer rows"
                    )
                    raise TrainingError(message) from error
                self._pool.tell(again(TEAM_WORKER.what, error))
            except BaseException:
                self._leave()
                raise
        raise AssertionError

    def _sit_down(self) -> None:
        self._process = self._pool.borrow()
        process = self._process
        process.ensure_started()
        if self._shared is not None and self._shared not in process.known:
            self._checked({"op": "data", "folder": self._shared})
            process.known = {self._shared}
        tensors, state = ({}, None) if self._kept is None else self._kept
        arrays = {f"state/{name}": tensor.numpy() for name, tensor in tensors.items()}
        candidates = {lane.candidate.id: lane.candidate for lane in self._all}
        header = {
            "op": "open",
            "candidates": [asdict(candidate) for candidate in candidates.values()],
            "lanes": [[lane.candidate.id, lane.fold, lane.seed] for lane in self._all],
            "left": [lane.id for lane in self._kept_lanes],
            "lengths": asdict(self._recipe.lengths),
            "dtype": self._recipe.dtype,
            "compute": self._recipe.compute,
            "shows": self._data.shows,
            "answers": self._data.answers,
            "kept": columns_kept(self._data, arrays),
            "state": state,
        }
        self._checked(header, arrays)
        for request in self._since:
            self._checked(request)

    def _checked(self, header: Header, arrays: Arrays | None = None) -> tuple[Header, Arrays]:
        assert self._process is not None
        answer, results = self._process.ask(header, arrays)
        if "error" in answer:
            message = f"{self.lanes[0].candidate.label} could not be trained: {answer['error']}"
            raise TrainingError(message)
        return answer, results

    def _leave(self) -> None:
        if self._process is not None:
            self._pool.give_back(self._process)
            self._process = None
