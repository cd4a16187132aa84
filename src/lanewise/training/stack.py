"""A stack: gradient-trained lanes of one structure and batch size, and the loop that trains them."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.errors import UsageError
from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.candidate import Event, Failure
from lanewise.lanes.roster import Lane, Roster
from lanewise.models.base import Noise, StackedModel
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.registry import rule
from lanewise.training import averaged
from lanewise.training.batches import Batches
from lanewise.training.copying import Held, under
from lanewise.training.data import TrainingData
from lanewise.training.device import turn
from lanewise.training.fitted import Fitted
from lanewise.training.going_on import begun_with, rows_passed
from lanewise.training.kept_looks import KeptLook, looks_of, looks_state, of_rows
from lanewise.training.loop import each_step
from lanewise.training.oversight import Oversight, Rows
from lanewise.training.raw_outputs import raw_outputs
from lanewise.training.recorded_step import RecordedStep
from lanewise.training.step import step
from lanewise.training.subject import Subject, TableSubject
from lanewise.training.team import Evidence, Team, never, nothing


@final
class Stack(Team):
    """Lanes that share a structure, a loss and a batch size, trained as one model.

    ``subject`` says which model that is, by which loss it learns and what is read off its outputs; None: one of
    Lanewise's own, as the candidates name it. ``length`` is the number of steps of a full training; ``stop`` is
    asked between steps whether to leave; what was trained until then is kept. Lanes train where their data lie:
    on a GPU a step is recorded as a CUDA graph where it can be, unless ``records`` is False. With an ``axis`` the
    ranks along it have the same stack, and share the rows of every batch.

    Raises ``UsageError`` where the subject cannot share them.
    """

    def __init__(
        self,
        lanes: Collection[Lane],
        data: TrainingData,
        *,
        length: int,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        compute: torch.dtype | None = None,
        stop: Callable[[], bool] = never,
        subject: Subject | None = None,
        records: bool = True,
        axis: DataAxis | None = None,
    ) -> None:
        self.roster = Roster.of(list(lanes))
        self.lanes = self.roster.lanes
        self.data = data
        self.length = length
        self.stop = stop
        self.device = next(iter(data.folds.values())).dense.device
        self._compute = compute if compute != dtype else None
        first = self.lanes[0].candidate
        self.subject = subject or TableSubject(data, first)
        self._records = records and self.device.type == "cuda" and self.subject.recordable
        self.axis = axis
        self.peers: tuple[Stack, ...] = ()
        """Stacks of the same lanes on other parts of the batches, with which they are judged: see `ApartTeam`."""
        if axis is not None and self.subject.undivided:
            message = (
                f"ranks cannot share the rows of a batch: {self.subject.undivided}; use the mesh axis lane instead"
            )
            raise UsageError(message)
        self.loss = self.subject.loss
        self._full_batch = rule(first.optimizer).full_batch
        # Of all folds, not of those present: a lane must not notice who trains beside it.
        shortest = min(map(data.training_rows, data.folds))
        self.batch_size = min(batch_size, shortest)
        self.model = self._modelled()
        values = self.model.init([lane.seed for lane in self.lanes], dtype).to(self.device)
        self.buffer = LaneBuffer(self.model.layout, values, shadow=self._compute)
        self.optimizer = LaneOptimizer(self.roster, self.buffer, length=length, scaled=self.subject.scaled)
        self.average = values.clone()
        self.oversight = Oversight(
            self.lanes,
            self.buffer.values,
            data,
            length=length,
            watched=self.subject.watched,
            judged=self._judged,
            reread=self._read_settings,
        )
        self._recalled: list[KeptLook] = []  # looks that a screen kept and nobody has asked for yet
        self._every = max(1, length // 100)
        self._group()

    def _group(self) -> None:
        """What depends on which lanes are left."""
        self._batches = Batches(
            self.data,
            self.roster,
            batch_size=None if self._full_batch else self.batch_size,
            dtype=self.buffer.values.dtype,
            compute=self._compute,
            axis=self.axis,
        )
        smoothing = torch.tensor(
            [lane.candidate.number("label_smoothing") for lane in self.lanes], dtype=self.buffer.values.dtype
        )
        self._smoothing = smoothing.to(self.device) if bool((smoothing > 0).any()) else None
        self._recorded: RecordedStep | None = None

    def _modelled(self) -> StackedModel:
        model = self.subject.model(self.lanes)
        model.place(self.device)
        return model

    @property
    def _rows(self) -> Rows:
        return self.buffer, self.optimizer, self.average

    @property
    def fraction(self) -> float:
        return self.optimizer.taken / self.length

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        """Train all lanes up to ``fraction`` of the full length."""
        self.go_on(round(fraction * self.length), between)

    def go_on(self, until: int, between: Callable[[], None] = nothing, *, look: bool = True) -> None:
        """Train all lanes up to step ``until``; ``look`` says whether lanes are looked at when they are there."""
        with turn(self.device):
            self._advance(until, between, look=look)

    def _asked_to_stop(self) -> bool:
        """Whether a rank of the axis was asked to: they leave at the same step."""
        return self.axis is not None and self.axis.stopping

    def _advance(self, until: int, between: Callable[[], None], *, look: bool) -> None:
        if self.optimizer.taken == 0:
            self.oversight.begin(self._rows)
        stop = self.stop if self.axis is None else self._asked_to_stop
        for at in each_step(self.optimizer.taken, until, stop=stop, between=between):
            losses = self._step(at)
            self.oversight.observe(losses, at + 1, self.optimizer.skipped)
            if (at + 1) % self._every == 0:
                averaged.follow(self.average, self.buffer.rows, taken=at + 1, every=self._every)
            self.oversight.after(at + 1, self._rows, look=look and at + 1 == until)

    def _step(self, at: int) -> Tensor:
        """The losses ``[L]`` of step ``at``."""
        rows = self._batches.rows(at)
        noise = self._batches.noise(at, rows)
        records = self._records and self.axis is None and self.optimizer.recordable
        if not records:
            return self._take(rows, None, noise)
        if self._recorded is None:
            self._recorded = RecordedStep()
        losses = self._recorded(self._take, rows, self.optimizer.rates(at), noise, left=self.length - at)
        self.optimizer.taken = at + 1  # a step that is replayed does not count itself
        return losses

    def _take(self, rows: Sequence[Tensor], rates: Tensor | None, noise: Noise) -> Tensor:
        following = self.optimizer.taken + 1
        shared = self.axis is not None and following < self.length
        return step(
            self.model,
            self.buffer,
            self.optimizer,
            self._batches.batch(rows),
            loss=self.loss,
            smoothing=self._smoothing,
            noise=noise,
            rates=rates,
            axis=self.axis,
            meanwhile=partial(self._batches.read_ahead, following) if shared else None,
            autocast=self.subject.autocast,
        )

    def scale(self, factor: float) -> None:
        """Multiply all weights, to see what becomes of so small a change."""
        self.buffer.values.mul_(factor)
        self.buffer.refresh()

    def settle(self) -> None:
        self._recorded = None
        self._batches.settle()

    def _read_settings(self) -> None:
        """Have the optimizer read the settings of all lanes as they are after the steps so far."""
        self.optimizer.keep(range(len(self.lanes)), self.roster, self.buffer)

    def outputs(
        self, rows_of: Callable[[int], Tensor], *, stop: Callable[[], bool] = never, judged: Tensor | None = None
    ) -> list[Tensor]:
        """Raw outputs ``[n, C]`` of every lane for the rows that ``rows_of(fold)`` names.

        Lanes are ``judged [L, P + S]`` by that; None: as they are now (:func:`lanewise.training.averaged.judged`).

        Raises ``Interrupted`` when ``stop``, asked before each block of rows, says so.
        """
        with turn(self.device), torch.no_grad():
            values = self._judged() if judged is None else judged
            return raw_outputs(self.model, values, self.data, self._batches, rows_of, compute=self._compute, stop=stop)

    def _judged(self) -> Tensor:
        """The rows ``[L, P + S]`` that predictions are made with: the mean over this stack and its peers."""
        own = self._own_judged()
        return torch.stack([own, *(peer._own_judged() for peer in self.peers)]).mean(0) if self.peers else own

    def _own_judged(self) -> Tensor:
        average = None if self.optimizer.taken < self._every else self.average
        return averaged.judged(self.lanes, self.buffer, self.optimizer, average)

    def kind(self, lane: str) -> Hashable:
        if self.subject.structure is None:
            return lane
        return self.subject.structure, self.lanes[self._row(lane)].candidate.optimizer, self.batch_size, self.length

    def held(self, lane: str) -> Held:
        row = self._row(lane)
        seen, known = self.oversight.held(row)
        tensors = {"values": self.buffer.rows[row].clone(), "average": self.average[row].clone()}
        tensors |= {f"optimizer/{name}": tensor[row].clone() for name, tensor in self.optimizer.state().items()}
        return Held(tensors=tensors | seen, rest=known)

    def take_over(self, lane: str, new: Lane, held: Held, *, factor: float) -> None:
        row = self._row(lane)
        self.roster = Roster((*self.lanes[:row], new, *self.lanes[row + 1 :]))
        self.lanes = self.roster.lanes
        self.model = self._modelled()
        self.buffer.rows[row] = held.tensors["values"]
        self.buffer.refresh()
        self.average[row] = held.tensors["average"]
        self._read_settings()
        state, own = self.optimizer.state(), under(held.tensors, "optimizer/")
        for name, tensor in state.items():
            tensor[row] = own.get(name, 0.0)  # the state of a rule that the source's stack does not have
        self.optimizer.restore(state)
        self.oversight.take_over(row, held.tensors, held.rest, self._rows, factor=factor)
        self.oversight.regroup(self.lanes)
        self._group()

    def passed(self, lanes: Collection[str]) -> dict[str, Held]:
        kept = self.oversight.kept
        if kept is None:
            return {}
        rows = {lane.id: row for row, lane in enumerate(self.lanes) if lane.id in lanes and kept.same[row]}
        return rows_passed(rows, *self.state())

    def begin_with(self, held: Mapping[str, Held]) -> None:
        self.oversight.guard.remember(*self._rows)
        self.restore(*begun_with([held[lane.id] for lane in self.lanes], *self.state()))

    def _row(self, lane: str) -> int:
        return next(row for row, own in enumerate(self.lanes) if own.id == lane)

    def export(self, lane: str) -> Fitted:
        row = self._row(lane)
        data = self.data.folds[self.lanes[row].fold]
        views = self.model.layout.all_views(self._judged()[row][None])
        return Fitted(
            candidate=self.lanes[row].candidate,
            seed=self.lanes[row].seed,
            stop=self.fraction,
            loss=self.loss if isinstance(self.loss, str) else "",
            center=data.center,
            scale=data.scale,
            tensors={name: view[0].detach().clone().cpu() for name, view in views.items()},
            columns=data.columns,
        )

    def evidence(self) -> list[Evidence]:
        # Ranks of an axis leave together, at a step. Nothing is altered before all outputs are there.
        stop = self.stop if self.axis is None else never
        look = self._recalled[0] if self._recalled else None
        judged, at = (self._judged(), self.optimizer.taken) if look is None else (look.judged, look.taken)
        outputs = self.outputs(lambda fold: self.data.folds[fold].valid, stop=stop, judged=judged)
        shown = self._shown(stop, judged)
        vitals = self.oversight.vitals
        if self.subject.watched:
            silent = self.subject.silent(self.model, judged, self.roster)
            vitals.units(silent, at / self.length, unseen=self.subject.unseen)
        means = self._mean_losses() if look is None else look.losses.tolist()
        del self._recalled[:1]
        return [
            Evidence(
                lane=lane,
                fraction=at / self.length,
                valid=self._response(lane.fold, raw),
                train_loss=mean,
                train=self._response(lane.fold, shown[row]) if shown else None,
                notices=(*(look.notices[row] if look else ()), *vitals.news(row)),
            )
            for row, (lane, raw, mean) in enumerate(zip(self.lanes, outputs, means, strict=True))
            if row not in self.oversight.guard.retired
        ]

    def _mean_losses(self) -> list[float]:
        """The mean loss of every lane since the evidence before, over this stack and its peers."""
        stacks = (self, *self.peers)
        means = torch.stack([own.oversight.means() for own in stacks]).mean(0).tolist()
        for own in stacks:
            own.oversight.begin_means()
        return means

    def _shown(self, stop: Callable[[], bool], judged: Tensor) -> list[Tensor]:
        """Outputs of every lane for the sample of its training rows; nothing where nobody asks."""
        parts = self.data.folds
        if not self.data.shows:
            return []
        return self.outputs(lambda fold: parts[fold].train[parts[fold].shown], stop=stop, judged=judged)

    def _response(self, fold: int, raw: Tensor) -> np.ndarray:
        return self.subject.judged(fold, raw)

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        guard = self.oversight.guard
        found = {self.lanes[row].id: tuple(events) for row, events in guard.repairs.items()}
        guard.repairs = {}
        return found

    def lost(self) -> dict[str, Failure]:
        return {self.lanes[row].id: failure for row, failure in self.oversight.guard.retired.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"values": self.buffer.rows, "average": self.average}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.state().items()}
        seen, known = self.oversight.state()
        looked, looks = looks_state(self._recalled)
        return tensors | seen | looked, {"taken": self.optimizer.taken, **known, "looks": looks}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self.buffer.rows.copy_(tensors["values"])
        self.buffer.refresh()
        self.average = tensors["average"].clone()
        self.optimizer.taken = rest["taken"]
        if any(event.changes for lane in self.lanes for event in lane.candidate.events):
            self._read_settings()
        self.optimizer.restore(under(tensors, "optimizer/"))
        self.oversight.restore(tensors, rest)
        self._recalled = looks_of(tensors, rest.get("looks", ()))

    def keep(self, lanes: Collection[str]) -> None:
        rows = [row for row, lane in enumerate(self.lanes) if lane.id in lanes]
        if len(rows) == len(self.lanes):
            return
        index = torch.tensor(rows, dtype=torch.int64)
        self.roster = self.roster.keep(rows)
        self.lanes = self.roster.lanes
        if not rows:
            return
        self.model = self._modelled()
        self.buffer.keep(index)
        self.optimizer.keep(rows, self.roster, self.buffer)
        self.average = self.average[index]
        self.oversight.keep(rows, self.lanes)
        self._recalled = [of_rows(look, rows) for look in self._recalled]
        self._group()
