"""Teams of lanes of a user's own module: which of them are stacked, and how many."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.blueprint import Blueprint, first_line
from lanewise.models.module import Reader
from lanewise.training.data import TrainingData
from lanewise.training.module_subject import BatchLoss, ModuleSubject
from lanewise.training.plan import Lengths, chunk_width
from lanewise.training.stack import Stack
from lanewise.training.team import Team, never

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
"""By how much stacked gradients may differ from those of a lane alone, relative to the largest."""

CHECKED_STEPS = 2
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


Form = tuple[tuple[str, Any], ...]
"""Settings of a candidate that are arguments of make_model, by name."""


def form_of(candidate: Candidate, arguments: Sequence[str]) -> Form:
    """The settings among ``arguments`` that the candidate has."""
    return tuple((name, candidate.settings[name]) for name in arguments if name in candidate.settings)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How lanes are run: ``width`` of them in one stack, vectorized or called one by one, and why."""

    looped: bool
    loss_looped: bool
    width: int
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ModuleTeams:
    """Forms the teams of a race over one :class:`Blueprint`; lanes of one batch size share stacks.

    Candidates whose settings of ``arguments`` are another :data:`Form` have modules that were built otherwise: their
    blueprints, ways and batches are those of ``others``, and their lanes are in stacks of their own. ``read`` makes
    the batches of whole passes.
    """

    blueprint: Blueprint
    data: TrainingData
    loss: BatchLoss
    score: Callable[[Tensor, Tensor], Tensor] | None
    lengths: Lengths
    ways: Mapping[int, Way]
    workers: int = 1
    stop: Callable[[], bool] = never
    read: Reader | None = None
    arguments: tuple[str, ...] = ()
    others: Mapping[Form, "ModuleTeams"] = field(default_factory=dict)

    def of(self, candidate: Candidate) -> "ModuleTeams":
        """The teams over the module that the candidate trains."""
        return self.others.get(form_of(candidate, self.arguments), self)

    def form(self, lanes: Sequence[Lane], phase: str) -> list[Team]:
        del phase
        groups: dict[tuple[Form, int], list[Lane]] = {}
        for lane in lanes:
            kind = form_of(lane.candidate, self.arguments), batch_of(lane.candidate)
            groups.setdefault(kind, []).append(lane)
        return [
            own.stack(chunk, own.ways[batch], length=self.lengths.steps(batch))
            for (form, batch), group in groups.items()
            for own in [self.others.get(form, self)]
            for chunk in self._chunks(group, own.ways[batch].width)
        ]

    def _chunks(self, lanes: Sequence[Lane], width: int) -> list[list[Lane]]:
        ordered = sorted(lanes, key=lambda lane: (*lane.group, lane.candidate.optimizer, lane.candidate.id))
        count = -(-len(ordered) // width)
        if width < chunk_width(0):  # steps of smaller models are mostly Python, in which threads wait for each other
            count = max(count, min(self.workers, len(ordered)))
        bounds = [len(ordered) * place // count for place in range(count + 1)]
        return [ordered[start:end] for start, end in itertools.pairwise(bounds)]

    def stack(self, lanes: Sequence[Lane], way: Way, *, length: int) -> Stack:
        """One stack of ``lanes``, run that way."""
        subject = ModuleSubject(
            self.blueprint,
            self.data,
            self.loss,
            score=self.score,
            looped=way.looped,
            loss_looped=way.loss_looped,
            read=self.read,
        )
        return Stack(
            lanes,
            self.data,
            length=length,
            batch_size=batch_of(lanes[0].candidate),
            dtype=self.blueprint.dtype,
            stop=self.stop,
            subject=subject,
        )


def batch_of(candidate: Candidate) -> int:
    return int(candidate.number("batch_size", 32))


def choose_way(teams: ModuleTeams, batch: int) -> Way:
    """Whether lanes of this batch size can be stacked, and whether that pays; no clock is read.

    Two lanes are trained for two steps stacked and one by one: losses, gradients and statistics must agree.
    """
    alone = Way(looped=True, loss_looped=True, width=1, words="")
    truth = _tried(teams, batch, alone)
    last = ""
    for looped, loss_looped in ((False, False), (False, True)):
        way = Way(looped=looped, loss_looped=loss_looped, width=chunk_width(teams.blueprint.layout.width), words="")
        try:
            found = _tried(teams, batch, way)
        except Exception as error:  # whatever vmap or the user's code raises there
            last = f"{type(error).__name__}: {first_line(error)}"
            continue
        differs = _difference(found, truth)
        if differs:
            last = differs
            continue
        if any(isinstance(part, CONVOLUTIONS) for part in teams.blueprint.template.modules()):
            return _one_by_one("convolutions are faster so on a CPU")
        words = f"stacked, up to {way.width} lanes in one pass"
        return Way(looped=False, loss_looped=loss_looped, width=way.width, words=words)
    return _one_by_one(f"stacking them failed ({last})")


def _one_by_one(why: str) -> Way:
    return Way(looped=True, loss_looped=True, width=1, words=f"lanes are trained one by one: {why}")


def _tried(teams: ModuleTeams, batch: int, way: Way) -> Stack:
    lanes = [
        Lane(
            candidate=Candidate(
                id=f"try{place}",
                model="module",
                optimizer="sgd",
                settings={"lr": 1e-3 * (place + 1), "batch_size": batch, "schedule": "constant"},
            ),
            fold=0,
            seed=0,
        )
        for place in range(2)
    ]
    stack = teams.stack(lanes, way, length=CHECKED_STEPS)
    stack.advance(1.0)
    stack.outputs(lambda fold: teams.data.folds[fold].valid[:2])
    return stack


def _difference(found: Stack, truth: Stack) -> str:
    """What differs between two stacks of the same lanes; empty where nothing does."""
    dtype = truth.buffer.values.dtype
    allowed = TOLERANCE.get(dtype, TOLERANCE[torch.float32])
    for what, one, other in (
        ("gradients", found.buffer.gradients, truth.buffer.gradients),
        ("weights or statistics", found.buffer.rows, truth.buffer.rows),
    ):
        gap, largest = float((one - other).abs().max()), float(other.abs().max())
        if not gap <= allowed * max(largest, 1e-30):
            return f"{what} differ by {gap / max(largest, 1e-30):.1e} of the largest"
    return ""
