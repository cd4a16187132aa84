"""What is seen of the lanes of a stack while they train, and what is done about it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.roster import Lane
from lanewise.optim.execution import LaneOptimizer
from lanewise.training.copying import under
from lanewise.training.data import TrainingData
from lanewise.training.going_on import KEPT
from lanewise.training.kept_looks import KeptLooks
from lanewise.training.watching.course import Course, NoCourse, Seen
from lanewise.training.watching.guard import CHECK_EVERY, SNAPSHOTS, Guard
from lanewise.training.watching.replay import Replay
from lanewise.training.watching.vitals import Vitals

Rows = tuple[LaneBuffer, LaneOptimizer, Tensor]
"""The lane buffer, its optimizer and the averages ``[L, P + S]``: all that is set back of a lane."""


@final
class Oversight:
    """Watches over the rows of a stack: after every step, and whenever they are looked at.

    ``guard`` sets lanes back, ``vitals`` tell of bad signs, ``course`` judges by losses who has blown up, and ``kept``
    has the looks of a confirmation, None where nobody keeps any. The losses of steps since the last evidence sum to
    ``loss_sum [L]``. Rows are ``judged`` by what that gives; ``reread`` has the optimizer read the settings of all
    lanes again.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        values: Tensor,
        data: TrainingData,
        *,
        length: int,
        watched: bool,
        judged: Callable[[], Tensor],
        reread: Callable[[], None],
    ) -> None:
        """At the start of a training of ``length`` steps, with the rows ``values [L, P]``."""
        self.guard, self.vitals = Guard(), Vitals()
        seen = data.answers and not data.in_windows
        self.course: Course = Seen(values, length=length) if seen else NoCourse()
        due = [round(fraction * length) for fraction in data.kept_looks]
        self.kept = KeptLooks(lanes, due, watched=watched, device=values.device) if due else None
        self.loss_sum = torch.zeros(len(lanes), dtype=torch.float64, device=values.device)
        self._loss_steps = 0
        self._length, self._watched = length, watched
        self._judged, self._reread = judged, reread
        self._snapshot_every = max(1, length // SNAPSHOTS)
        self.regroup(lanes)

    def regroup(self, lanes: Sequence[Lane]) -> None:
        """Know of the lanes that are in the rows now."""
        self._replay = Replay(lanes, self._length)
        # The default, with which all are compared, stays what it is as long as its numbers are finite.
        self._compared = {row for row, lane in enumerate(lanes) if lane.candidate.is_default}

    def begin(self, rows: Rows) -> None:
        """Remember the rows as they start."""
        self.guard.remember(*rows)
        values = rows[0].values
        self.vitals.begin(values)
        if self.kept is not None:
            self.kept.vitals.begin(values)

    def observe(self, losses: Tensor, taken: int, skipped: Tensor | None) -> None:
        """Know of the ``losses [L]`` of step ``taken``, of which the updates ``skipped [L]`` were left out."""
        self.loss_sum += losses
        self._loss_steps += 1
        if self._watched:
            self.vitals.observe(losses, taken)
        self.course.observe(losses, taken, skipped)
        if self.kept is not None:
            self.kept.observe(losses, taken)

    def after(self, taken: int, rows: Rows, *, look: bool) -> None:
        """After ``taken`` steps: repeat the repairs that candidates came with, find new ones, keep a snapshot."""
        buffer, optimizer, _ = rows
        for row, event in self._replay.after(taken):
            if event.rewinds:
                self.guard.rewind(row, *rows, factor=event.rate_factor)
                self._begin_anew([row])
                continue
            self.guard.change_rate(row, optimizer, factor=event.rate_factor)
            if event.changes:
                self._reread()
        if look or taken % CHECK_EVERY == 0:
            self._answer(taken, rows, look=look)
        if self.kept is not None and self.kept.due(taken):
            self.kept.look(self._judged(), buffer, self.guard, taken=taken, length=self._length)
        if taken % self._snapshot_every == 0:
            sound = self.course.sound(buffer.values)
            if self.kept is not None and sound is not None:
                self.kept.spoil((~sound).nonzero().flatten().tolist())
            self.guard.remember(*rows, fixed=self._replay.fixed(taken), sound=sound)

    def _answer(self, taken: int, rows: Rows, *, look: bool) -> None:
        """Set back what diverged or has blown up, and where it is a look tell of bad signs."""
        excused = self._replay.excused(taken)
        self._begin_anew(self.guard.check(self.loss_sum, *rows, excused=excused))
        values = rows[0].values
        blown = self.course.judge(values, taken) if taken % CHECK_EVERY == 0 else {}
        for row in sorted(blown.keys() - excused - self.guard.retired.keys() - self._compared):
            self.guard.answer(row, blown[row], *rows)
            self._begin_anew([row])
        if look and self._watched:
            known = {"taken": taken, "length": self._length}
            self.vitals.look(rows[0], self.guard, self.means(), **known, excused=excused)

    def _begin_anew(self, rows: Sequence[int]) -> None:
        """What is known of the losses of lanes that were set back is no longer true."""
        for row in rows:
            self.loss_sum[row] = 0.0
            self.course.forget(row, since=self.guard.taken[row])
        self.spoil(rows)

    def spoil(self, rows: Collection[int]) -> None:
        """From here on ``rows`` are not what they would be in a confirmation."""
        if self.kept is not None:
            self.kept.spoil(rows)

    def means(self) -> Tensor:
        """The mean losses ``[L]`` since the evidence before."""
        return self.loss_sum / max(self._loss_steps, 1)

    def begin_means(self) -> None:
        """Begin the means of losses anew."""
        self.loss_sum.zero_()
        self._loss_steps = 0

    def held(self, row: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is known of one lane, for :meth:`take_over`."""
        snapshot, known = self.guard.held(row)
        tensors = {f"snapshot/{name}": tensor for name, tensor in snapshot.items()}
        return tensors | {f"course/{name}": tensor for name, tensor in self.course.held(row).items()}, known

    def take_over(
        self, row: int, tensors: Mapping[str, Tensor], rest: Mapping[str, Any], rows: Rows, *, factor: float
    ) -> None:
        """Know of a lane what :meth:`held` of its source gave; ``factor`` multiplies its later rates."""
        buffer, optimizer, _ = rows
        self.loss_sum[row] = 0.0
        self.guard.take_over(row, under(tensors, "snapshot/"), rest)
        self.guard.change_rate(row, optimizer, factor=factor)
        self.course.take_over(row, under(tensors, "course/"))
        self.spoil([row])
        self.vitals.take_over(row, buffer.values[row])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What :meth:`restore` needs."""
        snapshot, guard = self.guard.state()
        known, vitals = self.vitals.state()
        tensors = {"loss_sum": self.loss_sum}
        tensors |= {f"snapshot/{name}": tensor for name, tensor in snapshot.items()}
        tensors |= {f"vitals/{name}": tensor for name, tensor in known.items()}
        tensors |= {f"course/{name}": tensor for name, tensor in self.course.state().items()}
        rest: dict[str, Any] = {"loss_steps": self._loss_steps, "guard": guard, "vitals": vitals}
        if self.kept is not None:
            kept, rest["kept"] = self.kept.state()
            tensors |= {f"{KEPT}{name}": tensor for name, tensor in kept.items()}
        return tensors, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.loss_sum, self._loss_steps = tensors["loss_sum"].clone(), rest["loss_steps"]
        self.guard.restore(under(tensors, "snapshot/"), rest["guard"])
        self.vitals.restore(under(tensors, "vitals/"), rest["vitals"])
        self.course.restore(under(tensors, "course/"))
        if self.kept is not None and "kept" in rest:
            self.kept.restore(under(tensors, KEPT), rest["kept"])
        else:
            self.kept = None  # saved by a version that kept nothing: who is confirmed is trained from the start

    def keep(self, rows: list[int], lanes: Sequence[Lane]) -> None:
        """Compact what is known to ``rows``, of which ``lanes`` are left."""
        self.loss_sum = self.loss_sum[torch.tensor(rows, dtype=torch.int64)]
        self.guard.keep(rows)
        self.vitals.keep(rows)
        self.course.keep(rows)
        if self.kept is not None:
            self.kept.keep(rows)
        self.regroup(lanes)
