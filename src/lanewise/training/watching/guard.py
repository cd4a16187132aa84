"""Watches every lane for divergence, rewinds it, and lets no other lane notice."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.candidate import Event, Failure
from lanewise.optim.execution import LaneOptimizer

CHECK_EVERY = 25
"""Steps between two looks at the losses; a non-finite value stays visible in their sum."""

SNAPSHOTS = 20
"""Snapshots over a full training; a rewound lane loses at most the steps since the last."""

RATE_FACTOR = 0.3
"""What the rate of a rewound lane is multiplied by: about half a decade."""

REPAIRS = 2
"""How often a lane is rewound before it is retired."""


@dataclass
class Guard:
    """Snapshots of a stack and the repairs made to its lanes.

    Only the row of a lane that diverged is written to; nothing is multiplied by a mask, for
    ``0 * nan`` is nan, so the other rows keep every bit. ``taken`` says after how many steps each
    row's snapshot was made, ``factors`` what its rate was multiplied by in all, ``retired`` why a
    row was given up.
    """

    snapshot: dict[str, Tensor] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)
    repairs: dict[int, list[Event]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    factors: dict[int, float] = field(default_factory=dict)
    retired: dict[int, Failure] = field(default_factory=dict)

    def remember(
        self,
        buffer: LaneBuffer,
        optimizer: LaneOptimizer,
        average: Tensor,
        *,
        fixed: Collection[int] = (),
        sound: Tensor | None = None,
    ) -> None:
        """Keep the state of all lanes as the place to rewind to.

        A lane that is not finite or not ``sound [L]`` keeps its old place, and so do the rows ``fixed``.
        """
        fresh = {"values": buffer.rows, "average": average, **optimizer.state(shared=True)}
        if not self.snapshot:
            self.snapshot = {name: tensor.clone() for name, tensor in fresh.items()}
            self.taken = [optimizer.taken] * len(buffer)
            return
        renewed = _finite_rows(*fresh.values())
        if sound is not None:
            renewed &= sound
        renewed[[*fixed, *self.retired]] = False
        rows = renewed.nonzero().flatten()
        for name, tensor in fresh.items():
            if len(rows) == len(buffer):
                self.snapshot[name].copy_(tensor)
            else:
                self.snapshot[name][rows] = tensor[rows]
        for row in rows.tolist():
            self.taken[row] = optimizer.taken

    def check(
        self,
        losses: Tensor,
        buffer: LaneBuffer,
        optimizer: LaneOptimizer,
        average: Tensor,
        *,
        excused: Collection[int] = (),
    ) -> list[int]:
        """Answer every lane whose summed ``losses [L]``, weights or optimizer state stopped being finite; which rows.

        A second moment that overflowed leaves finite weights that never move again. The rows ``excused``
        are left as they are.
        """
        well = _finite_rows(losses, buffer.rows, *optimizer.state(shared=True).values())
        ill = [row for row in (~well).nonzero().flatten().tolist() if row not in excused and row not in self.retired]
        for row in ill:
            self.answer(row, f"diverged by step {optimizer.taken}", buffer, optimizer, average)
        return ill

    def answer(self, row: int, cause: str, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor) -> None:
        """Rewind a lane to go on at a lower rate, for the ``cause``; retire one that had its repairs."""
        if self.counts.get(row, 0) >= REPAIRS:
            self._put_back(row, buffer, optimizer, average)
            optimizer.slow(row, 0.0)
            why = f"{cause}, at the third rate that was tried"
            self.retired[row] = Failure(cause=why, fraction=optimizer.taken / optimizer.length)
            return
        event = Event(
            fraction=optimizer.taken / optimizer.length,
            restored=self.taken[row] / optimizer.length,
            rate_factor=RATE_FACTOR,
            cause=cause,
        )
        self.repairs.setdefault(row, []).append(event)
        self.rewind(row, buffer, optimizer, average, factor=RATE_FACTOR)

    def rewind(self, row: int, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor, *, factor: float) -> None:
        """Put one lane back to its snapshot; ``factor`` multiplies all its later rates."""
        self._put_back(row, buffer, optimizer, average)
        self.counts[row] = self.counts.get(row, 0) + 1
        self.factors[row] = self.factors.get(row, 1.0) * factor
        # The factor is cumulative: the snapshot may hold a rate from before an earlier repair.
        optimizer.slow(row, self.factors[row] / float(self.snapshot["rate_factor"][row]))

    def change_rate(self, row: int, optimizer: LaneOptimizer, *, factor: float) -> None:
        """Multiply all later rates of one lane by ``factor``; nothing is taken back."""
        self.factors[row] = self.factors.get(row, 1.0) * factor
        optimizer.slow(row, factor)

    def held(self, row: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is known of one lane, for :meth:`take_over`."""
        rest = {"taken": self.taken[row], "count": self.counts.get(row, 0), "factor": self.factors.get(row, 1.0)}
        return {name: tensor[row].clone() for name, tensor in self.snapshot.items()}, rest

    def take_over(self, row: int, snapshot: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Know of a lane what :meth:`held` of its source, in this stack or another, gave."""
        for name, tensor in self.snapshot.items():
            tensor[row] = snapshot.get(name, 0.0)  # the state of a rule that the source's stack does not have
        self.taken[row], self.counts[row], self.factors[row] = rest["taken"], rest["count"], rest["factor"]
        self.repairs.pop(row, None)
        self.retired.pop(row, None)

    def _put_back(self, row: int, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor) -> None:
        buffer.rows[row] = self.snapshot["values"][row]
        average[row] = self.snapshot["average"][row]
        state = optimizer.state()
        for name, tensor in state.items():
            tensor[row] = self.snapshot[name][row]
        optimizer.restore(state)
        buffer.refresh()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What :meth:`restore` needs."""
        rest = {
            "taken": self.taken,
            "repairs": {str(row): [asdict(event) for event in events] for row, events in self.repairs.items()},
            "counts": {str(row): count for row, count in self.counts.items()},
            "factors": {str(row): factor for row, factor in self.factors.items()},
            "retired": {str(row): asdict(failure) for row, failure in self.retired.items()},
        }
        return self.snapshot, rest

    def restore(self, snapshot: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.snapshot = {name: tensor.clone() for name, tensor in snapshot.items()}
        self.taken = list(rest["taken"])
        self.repairs = {int(row): [Event(**event) for event in events] for row, events in rest["repairs"].items()}
        self.counts = {int(row): count for row, count in rest["counts"].items()}
        self.factors = {int(row): factor for row, factor in rest["factors"].items()}
        self.retired = {int(row): Failure.of(told) for row, told in rest["retired"].items()}

    def keep(self, rows: list[int]) -> None:
        """Compact what is known to ``rows``."""
        index = torch.tensor(rows)
        self.snapshot = {name: tensor[index] for name, tensor in self.snapshot.items()}
        self.taken = [self.taken[row] for row in rows] if self.taken else []
        place = {old: new for new, old in enumerate(rows)}
        self.repairs = {place[row]: events for row, events in self.repairs.items() if row in place}
        self.counts = {place[row]: count for row, count in self.counts.items() if row in place}
        self.factors = {place[row]: factor for row, factor in self.factors.items() if row in place}
        self.retired = {place[row]: failure for row, failure in self.retired.items() if row in place}


def _finite_rows(*tensors: Tensor) -> Tensor:
    """Which rows ``[L]`` are finite in every one of ``tensors [L, ...]``.

    A sum is finite only if all of its terms are; it is one pass over memory where a test of every entry is five.
    A row whose finite entries overflow their sum is beyond repair as well.
    """
    sums = [tensor.flatten(1).sum(1) if tensor.dim() > 1 else tensor for tensor in tensors]
    return torch.stack([total.isfinite() for total in sums]).all(0)
