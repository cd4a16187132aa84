"""Teams of lanes of a user's own module: which of them are stacked, and how many."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import Reader
from lanewise.training.apart_team import ApartTeam, axes_apart, workers_of
from lanewise.training.data import TrainingData
from lanewise.training.device import CPU, gpu_width
from lanewise.training.divisible import Divisible
from lanewise.training.modules.subject import BatchLoss, ModuleSubject
from lanewise.training.planning.plan import Lengths, chunk_width
from lanewise.training.stack import Stack
from lanewise.training.team import Team, Traits, never
from lanewise.training.workers.remote_team import Recipe, RemoteTeam
from lanewise.training.workers.team_pool import TeamPool

ACTIVATIONS = 2**29
"""Elements that the largest activation of all lanes of a stack on a GPU may have: 2 GB in float32."""

ACTIVATIONS_ON_CPU = 2**25
"""The same on a CPU, 128 MB: there are several of that size, each worker has its own, and larger ones are slower."""

Form = tuple[tuple[str, Any], ...]
"""Settings of a candidate that are arguments of make_model, by name."""


def form_of(candidate: Candidate, arguments: Sequence[str]) -> Form:
    """The settings among ``arguments`` that the candidate has."""
    return tuple((name, candidate.settings[name]) for name in arguments if name in candidate.settings)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How lanes are run: ``width`` of them in one stack, vectorized or called one by one, and why.

    With ``pixelwise`` their images have the channels last; with ``compiled`` lanes that train alone run compiled code.
    """

    looped: bool
    loss_looped: bool
    width: int
    words: str
    pixelwise: bool = False
    compiled: bool = False


ALONE = Way(looped=True, loss_looped=True, width=1, words="")
"""As a lane is trained by itself: what all other ways are compared with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModuleTeams:
    """Forms the teams of a race over one :class:`Blueprint`; lanes of one batch size share stacks.

    With ``processes`` they are shared out among the workers whatever their size; with ``seats`` they then train in
    processes that know all this from their start, to the same bits.

    Candidates whose settings of ``arguments`` are another :data:`Form` have modules that were built otherwise: their
    blueprints, ways and batches are those of ``others``, and their lanes are in stacks of their own. ``read`` makes
    the batches of whole passes. ``device`` is where data and reader have the rows, and so where lanes train.

    ``notes`` are sentences for the user: where memory did not suffice for a stack as it was planned. ``workers`` are
    those of all ``ranks`` together; ranks share the batches of stacks along ``axis``. ``autocast`` is the dtype of the
    products in training, None: that of the weights. A screen keeps ``kept_looks``, so that a confirmation can go on.
    """

    blueprint: Blueprint
    data: TrainingData
    loss: BatchLoss
    score: Callable[[Tensor, Tensor], Tensor] | None
    lengths: Lengths
    ways: Mapping[int, Way]
    workers: int = 1
    stop: Callable[[], bool] = never
    processes: bool = False
    seats: TeamPool | None = None
    notes: list[str] = field(default_factory=list)
    read: Reader | None = None
    device: torch.device = CPU
    arguments: tuple[str, ...] = ()
    others: Mapping[Form, "ModuleTeams"] = field(default_factory=dict)
    ranks: int = 1
    axis: DataAxis | None = None
    autocast: torch.dtype | None = None
    kept_looks: tuple[float, ...] = ()

    @property
    def rounds_to(self) -> torch.dtype:
        """What products of a training pass are rounded to."""
        return self.autocast or self.blueprint.casts or self.blueprint.dtype

    @property
    def workers_here(self) -> int:
        """Those of this rank."""
        return max(1, -(-self.workers // self.ranks))

    def usual_width(self, batch: int) -> int:
        """Lanes of that batch size in one stack: no more than there is room for what a pass keeps of each."""
        parameters, each = self.blueprint.layout.width, batch * self.blueprint.footprint
        if self.device.type == "cpu":
            return max(1, min(chunk_width(parameters), ACTIVATIONS_ON_CPU // each))
        return max(1, min(gpu_width(parameters), ACTIVATIONS // each))

    @property
    def undivided(self) -> str:
        """Why ranks cannot share the batches of all lanes; empty where they can."""
        parts = (self, *self.others.values())
        return next(filter(None, (part._subject(way).undivided for part in parts for way in part.ways.values())), "")

    def of(self, candidate: Candidate) -> "ModuleTeams":
        """The teams over the module that the candidate trains."""
        return self.others.get(form_of(candidate, self.arguments), self)

    def form(self, lanes: Sequence[Lane], phase: str) -> list[Team]:
        parts = self.parts(lanes, phase)
        if self.seats is not None and self.seats.alone(len(parts)):
            return [self._remote(own, self._read(phase), self.seats, stays=True) for own, _ in parts]
        return [make() for _, make in parts]

    def parts(self, lanes: Sequence[Lane], phase: str) -> list[tuple[Sequence[Lane], Callable[[], Team]]]:
        """The lanes of every team of :meth:`form`, and what makes the team: for who does not need all of them."""
        groups: dict[tuple[Form, int, int], list[Lane]] = {}
        for lane in lanes:
            kind = form_of(lane.candidate, self.arguments), batch_of(lane.candidate), workers_of(lane.candidate)
            groups.setdefault(kind, []).append(lane)
        chunks = [
            chunk
            for (form, batch, _), group in groups.items()
            for chunk in self._chunks(group, self.others.get(form, self).ways[batch].width)
        ]
        # The most promising first, as who asks for the teams has put them: so a good model is there early.
        places = {lane.id: place for place, lane in enumerate(lanes)}
        chunks.sort(key=lambda chunk: min(places[lane.id] for lane in chunk))
        return [(chunk, partial(self._placed, chunk, self._read(phase))) for chunk in chunks]

    def traits(self, candidate: Candidate) -> Traits:
        apart = workers_of(candidate) > 1
        kind = None if apart else (form_of(candidate, self.arguments), batch_of(candidate))
        return Traits(movable=True, divides=True, kind=kind)

    def _read(self, phase: str) -> TrainingData:
        """The data as the lanes of a phase read it: only in a screen can a lane go on as another candidate."""
        screen = phase == "screen"
        return replace(self.data, answers=screen, kept_looks=self.kept_looks if screen else ())

    def reading(self, phase: str) -> "ModuleTeams":
        """The same over the data as the lanes of a phase read it."""
        return replace(self, data=self._read(phase))

    def _placed(self, lanes: Sequence[Lane], data: TrainingData) -> Team:
        """:meth:`at_home`, in a worker process where there are seats."""
        return self.at_home(lanes, data) if self.seats is None else self._remote(lanes, data, self.seats)

    def _remote(self, lanes: Sequence[Lane], data: TrainingData, pool: TeamPool, *, stays: bool = False) -> Team:
        recipe = Recipe(
            lengths=self.lengths,
            length=self.lengths.steps(batch_of(lanes[0].candidate)),
            dtype=str(self.of(lanes[0].candidate).blueprint.dtype).removeprefix("torch."),
            compute=None,
        )
        return RemoteTeam(
            lanes, data, recipe, build=self.at_home, stop=self.stop, pool=pool, shared=None, stays=stays,
            tell=self.notes.append,
        )  # fmt: skip

    def at_home(self, lanes: Sequence[Lane], data: TrainingData) -> Team:
        """The team of ``lanes`` of one batch size in this process; ``data`` are ``self.data``, as they read it."""
        own, batch = self.of(lanes[0].candidate), batch_of(lanes[0].candidate)
        own = own.reading("screen") if data.answers else own
        return own.team(lanes, own.ways[batch], length=self.lengths.steps(batch), notes=self.notes)

    def _chunks(self, lanes: Sequence[Lane], width: int) -> list[list[Lane]]:
        ordered = sorted(lanes, key=lambda lane: (*lane.group, lane.candidate.optimizer, lane.candidate.id))
        count = -(-len(ordered) // width)
        # Steps of small models are mostly Python, in which threads wait for each other; processes do not.
        if self.processes or width < chunk_width(0):
            count = max(count, min(self.workers, len(ordered)))
        bounds = [len(ordered) * place // count for place in range(count + 1)]
        return [ordered[start:end] for start, end in itertools.pairwise(bounds)]

    def team(self, lanes: Sequence[Lane], way: Way, *, length: int, notes: list[str] | None = None) -> Divisible:
        """One stack of ``lanes``, or several where memory does not suffice for one, which ``notes`` then say."""
        tell = (self.notes if notes is None else notes).append
        return Divisible(lanes, lambda own: self.formed(own, way, length=length), length=length, tell=tell)

    def formed(self, lanes: Sequence[Lane], way: Way, *, length: int) -> Stack | ApartTeam:
        """One stack, or one for each of the workers that train all ``lanes`` apart."""
        workers = workers_of(lanes[0].candidate)
        if workers == 1:
            return self.stack(lanes, way, length=length)
        if self.axis is not None:
            message = (
                "average_every parts a batch among workers in one process, and the mesh axis data among ranks; leave "
                "one of them out"
            )
            raise UsageError(message)
        undivided = self._subject(way).undivided
        if undivided:
            message = f"workers cannot train apart on parts of a batch: {undivided}; leave average_every out"
            raise UsageError(message)
        axes = axes_apart(workers, batch_of(lanes[0].candidate), self.stop)
        return ApartTeam([self.stack(lanes, way, length=length, axis=axis) for axis in axes])

    def stack(self, lanes: Sequence[Lane], way: Way, *, length: int, axis: DataAxis | None = None) -> Stack:
        """One stack of ``lanes``, run that way."""
        return Stack(
            lanes,
            # Those apart are not set back.
            self.data if axis is None else replace(self.data, answers=False, kept_looks=()),
            length=length,
            batch_size=batch_of(lanes[0].candidate),
            dtype=self.blueprint.dtype,
            stop=self.stop,
            subject=self._subject(way),
            axis=axis or self.axis,
        )

    def _subject(self, way: Way) -> ModuleSubject:
        return ModuleSubject(
            self.blueprint,
            self.data,
            self.loss,
            score=self.score,
            looped=way.looped,
            loss_looped=way.loss_looped,
            pixelwise=way.pixelwise,
            compiled=way.compiled,
            read=self.read,
            autocast=self.autocast,
        )


def everywhere(teams: ModuleTeams, **changes: Any) -> ModuleTeams:
    """The teams with ``changes``, whatever module they train."""
    others = {form: replace(own, **changes) for form, own in teams.others.items()}
    return replace(teams, **changes, others=others)


def all_of(teams: ModuleTeams) -> tuple[ModuleTeams, ...]:
    """The teams over each module that there is."""
    return (teams, *teams.others.values())


def batch_of(candidate: Candidate) -> int:
    return int(candidate.number("batch_size", 32))
