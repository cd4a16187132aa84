"""Forms teams: which lanes train together, in stacks of which width."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from lanewise.distributed.data_axis import DataAxis
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.losses import LOSSES_OF
from lanewise.models.base import structure_key
from lanewise.models.registry import STACKED, build
from lanewise.optim.registry import rule
from lanewise.settings.names import SOLVER
from lanewise.training.data import Moving, TrainingData
from lanewise.training.device import gpu_width
from lanewise.training.divisible import Divisible
from lanewise.training.planning.plan import Lengths, chunk_width
from lanewise.training.recorded_step import WARM_STEPS
from lanewise.training.selecting import FEATURES, Selections, selects, share_read
from lanewise.training.solver_team import SolverTeam
from lanewise.training.stack import Stack
from lanewise.training.team import Team, Traits
from lanewise.training.trees.pool import TreePool
from lanewise.training.trees.stored import StoredPart
from lanewise.training.trees.team import TreeTeam
from lanewise.training.workers.remote_team import Recipe, RemoteTeam
from lanewise.training.workers.team_pool import TeamPool

MOST_WAITING = 64
"""Stacks that wait for their turn on a GPU, a thread each, while trees train in their processes."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def silent(text: str) -> None:
    """Hears it and says nothing."""
    del text


def trains_at_hand(candidate: Candidate) -> bool:
    """Whether a training reads all of its rows at each step: of a streamed table, then, those in memory alone."""
    if candidate.model not in STACKED or candidate.optimizer is None:
        return True
    return candidate.optimizer == SOLVER or rule(candidate.optimizer).full_batch


@dataclass(frozen=True, kw_only=True, eq=False)
class Seats:
    """Processes for stacks and solvers, and the name that those know ``TeamBuilder.data`` by."""

    pool: TeamPool
    data: str


@dataclass(frozen=True, kw_only=True)
class TeamBuilder:
    """Turns lanes into teams. The same lanes always give the same teams, in the same order.

    ``pool`` are the workers of trees. With ``seats`` the other teams train in processes too, to the same bits.
    ``widths`` are the measured ones of the plan. ``workers`` are those of all ``ranks`` together. ``moving`` brings the
    data of stacks to a GPU, where these then train one after another, in this process; solvers and trees stay on the
    processor. ``tell`` hears where its memory ran out; with ``records`` their steps are recorded. Ranks share the
    batches of stacks along ``axis``. Boosters that are confirmed, and those of the refit, train on the rows of the
    first ``tree_windows`` of a streamed table; 0: on those of its sample, as in the screen.
    """

    data: TrainingData
    lengths: Lengths
    workers: int
    stop: Callable[[], bool]
    pool: TreePool | None = None
    dtype: torch.dtype = torch.float32
    compute: torch.dtype | None = None
    seats: Seats | None = None
    widths: Mapping[str, int] = field(default_factory=dict)
    selections: Selections | None = None
    ranks: int = 1

    @property
    def workers_here(self) -> int:
        """Those of this rank."""
        return max(1, -(-self.workers // self.ranks))

    moving: Moving | None = None
    tell: Callable[[str], None] = silent
    records: bool = True
    axis: DataAxis | None = None
    tree_windows: int = 0

    @property
    def waiting(self) -> int:
        """Threads beside those of the workers that teams may need: on a GPU, where each waits for its turn."""
        return 0 if self.moving is None else MOST_WAITING

    def on_gpu(self, candidate: Candidate) -> bool:
        """Whether lanes of the candidate train on a GPU."""
        return self.moving is not None and candidate.model in STACKED and candidate.optimizer != SOLVER

    def form(self, lanes: Sequence[Lane], phase: str) -> list[Team]:
        """Teams of all lanes; a stack shares structure, loss and batch size, and fits the cache."""
        return [make() for _, make in self.parts(lanes, phase)]

    def parts(self, lanes: Sequence[Lane], phase: str) -> list[tuple[Sequence[Lane], Callable[[], Team]]]:
        """The lanes of every team of :meth:`form`, and what makes the team: for who does not need all of them."""
        found: list[tuple[Sequence[Lane], Callable[[], Team]]] = []
        groups: dict[tuple[object, ...], list[Lane]] = {}
        for lane in lanes:
            if lane.candidate.model in STACKED:
                groups.setdefault(self.key(lane), []).append(lane)
            else:
                found.append(([lane], partial(self._trees, [lane], phase)))
        for group in groups.values():
            found += [(chunk, partial(self._seated, chunk, phase)) for chunk in self._chunks(group)]
        return found

    @staticmethod
    def traits(candidate: Candidate) -> Traits:
        """Trees are grown again where they move: that costs what they cost. Solvers see all rows at once."""
        stacked = candidate.model in STACKED
        return Traits(movable=stacked, divides=stacked and candidate.optimizer != SOLVER)

    def width(self, lane: Lane) -> int:
        """How many lanes like this one go into one stack."""
        parameters = build([lane.candidate], self.data.width).layout.width
        usual = gpu_width(parameters) if self.on_gpu(lane.candidate) else chunk_width(parameters)
        return self.widths.get(str(self.key(lane)), usual)

    def _seated(self, lanes: Sequence[Lane], phase: str) -> Team:
        return self.placed(lanes, self._read(lanes, phase))

    def placed(self, lanes: Sequence[Lane], data: TrainingData) -> Team:
        """:meth:`team`, in a worker process where there are seats."""
        if self.moving is not None and self.on_gpu(lanes[0].candidate):
            there = self.moving(data)
            length = self.length(lanes[0].candidate)
            team = Divisible(lanes, lambda own: self.team(own, there), length=length, tell=self.tell)
            team.warm_up = WARM_STEPS + 2 if self.records else team.warm_up
            return team
        if self.seats is None:
            return self.team(lanes, data)
        recipe = Recipe(
            lengths=self.lengths,
            length=self.length(lanes[0].candidate),
            dtype=str(self.dtype).removeprefix("torch."),
            compute=None if self.compute is None else str(self.compute).removeprefix("torch."),
        )
        seats = self.seats
        return RemoteTeam(lanes, data, recipe, build=self.team, stop=self.stop, pool=seats.pool, shared=seats.data)

    def key(self, lane: Lane) -> tuple[object, ...]:
        """What lanes must have in common to share a stack."""
        candidate = lane.candidate
        loss = candidate.text("loss", LOSSES_OF[self.data.task.kind][0])
        shape = structure_key(candidate, STACKED[candidate.model].structure)
        solved = candidate.optimizer == SOLVER
        full = not solved and rule(candidate.optimizer).full_batch
        twice = not solved and candidate.number("sam_rho") > 0  # those beside it would be passed through twice as well
        batch = 0 if solved or full else candidate.number("batch_size")
        read = (candidate.text(FEATURES), share_read(candidate)) if selects(candidate) else ()
        return (candidate.model, loss, shape, solved, full, batch, twice, read)

    def _chunks(self, lanes: Sequence[Lane]) -> list[list[Lane]]:
        """Even chunks in the order of the roster, at least one per worker, or GPU, where there are lanes enough."""
        ordered = sorted(lanes, key=lambda lane: (*lane.group, lane.candidate.optimizer, lane.candidate.id))
        apart = self.ranks if self.on_gpu(lanes[0].candidate) else self.workers
        count = max(-(-len(ordered) // self.width(lanes[0])), min(apart, len(ordered)))
        bounds = [len(ordered) * place // count for place in range(count + 1)]
        return [ordered[start:end] for start, end in itertools.pairwise(bounds)]

    def _read(self, lanes: Sequence[Lane], phase: str) -> TrainingData:
        """The data as these lanes read it: they all select alike. Those to be confirmed show training rows too.

        Only in a screen can a lane go on as another candidate.
        """
        data, candidate = self.data, lanes[0].candidate
        if selects(candidate):
            assert self.selections is not None, "lanes that select columns need selections"
            data = self.selections.narrowed(candidate, frozenset(lane.fold for lane in lanes))
        if phase == "confirm":
            return replace(data, shows=True)
        return replace(data, answers=True) if phase == "screen" else data

    def team(self, lanes: Sequence[Lane], data: TrainingData) -> Team:
        """One stack, or one team of a solver, of all ``lanes`` over ``data``; they must agree in their :meth:`key`."""
        candidate = lanes[0].candidate
        if trains_at_hand(candidate):
            data = data.near
        if candidate.optimizer == SOLVER:
            return SolverTeam(lanes, data, iterations=self.lengths.iterations, stop=self.stop)
        full = rule(candidate.optimizer).full_batch
        return Stack(
            lanes,
            data,
            length=self.length(candidate),
            batch_size=data.rows if full else self.batch(candidate),
            dtype=self.dtype,
            compute=self.compute if candidate.model == "mlp" else None,
            stop=self.stop,
            records=self.records,
            axis=self.axis,
        )

    def length(self, candidate: Candidate) -> int:
        """Steps or iterations of a full training."""
        if trains_at_hand(candidate):
            return self.lengths.iterations
        return self.lengths.steps(self.batch(candidate))

    @staticmethod
    def batch(candidate: Candidate) -> int:
        """Rows of a step of the candidate."""
        return int(candidate.number("batch_size", 128))

    def _whole(self, lanes: Sequence[Lane], phase: str) -> StoredPart | None:
        """The rows on disk that a booster trains on; None: those in memory."""
        (lane,), windows = lanes, self.data.windows
        stored = None if self.pool is None else self.pool.stored
        boosts = lane.candidate.model == "lightgbm" and (phase == "confirm" or phase.startswith("refit"))
        if stored is None or windows is None or not boosts or not self.tree_windows:
            return None
        trains = tuple(windows.readings[lane.fold].trains.tolist())
        return StoredPart(table=stored, windows=self.tree_windows, trains=trains)

    def _trees(self, lanes: Sequence[Lane], phase: str) -> Team:
        assert self.pool is not None, "tree lanes need a pool of workers"
        return TreeTeam(
            lanes,
            self._read(lanes, phase).near,
            self.pool,
            phase=phase,
            whole=self._whole(lanes, phase),
            lengths=self.lengths,
            stop=self.stop,
        )
