"""Watches every lane for divergence, rewinds it, and lets no other lane notice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.candidate import Event
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
    ``0 * nan`` is nan, so the other rows keep every bit.
    """

    snapshot: dict[str, Tensor] = field(default_factory=dict)
    taken: int = 0
    repairs: dict[int, Event] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)

    def remember(self, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor) -> None:
        """Keep the state of all lanes as the place to rewind to; a lane that is not finite keeps its old one."""
        fresh = {"values": buffer.values, "average": average, **optimizer.state()}
        finite = buffer.values.isfinite().all(1)
        if not self.snapshot:
            self.snapshot = {name: tensor.clone() for name, tensor in fresh.items()}
        else:
            for name, tensor in fresh.items():
                self.snapshot[name][finite] = tensor[finite]
        self.taken = optimizer.taken

    def check(self, losses: Tensor, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor) -> None:
        """Rewind every lane whose summed ``losses [L]`` or weights stopped being finite."""
        sick = (~(losses.isfinite() & buffer.values.isfinite().all(1))).nonzero().flatten().tolist()
        for row in sick:
            losses[row] = 0.0
            self.rewind(row, buffer, optimizer, average)

    def rewind(self, row: int, buffer: LaneBuffer, optimizer: LaneOptimizer, average: Tensor) -> None:
        """Put one lane back to its snapshot, at a lower rate; the third time it is retired."""
        buffer.values[row] = self.snapshot["values"][row]
        average[row] = self.snapshot["average"][row]
        state = optimizer.state()
        for name, tensor in state.items():
            tensor[row] = self.snapshot[name][row]
        optimizer.restore(state)
        self.counts[row] = self.counts.get(row, 0) + 1
        # The factor is cumulative: the snapshot may hold a rate from before an earlier repair.
        optimizer.slow(row, RATE_FACTOR ** self.counts[row] / float(self.snapshot["rate_factor"][row]))
        if self.counts[row] > REPAIRS:
            self.retired.add(row)
            optimizer.slow(row, 0.0)
        self.repairs[row] = Event(
            fraction=optimizer.taken / optimizer.length,
            restored=self.taken / optimizer.length,
            rate_factor=RATE_FACTOR,
            cause=f"diverged by step {optimizer.taken}",
        )
        buffer.refresh()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What :meth:`restore` needs."""
        rest = {
            "taken": self.taken,
            "repairs": {str(row): asdict(event) for row, event in self.repairs.items()},
            "counts": {str(row): count for row, count in self.counts.items()},
            "retired": sorted(self.retired),
        }
        return self.snapshot, rest

    def restore(self, snapshot: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.snapshot = dict(snapshot)
        self.taken = rest["taken"]
        self.repairs = {int(row): Event(**event) for row, event in rest["repairs"].items()}
        self.counts = {int(row): count for row, count in rest["counts"].items()}
        self.retired = set(rest["retired"])

    def keep(self, rows: list[int]) -> None:
        """Compact what is known to ``rows``."""
        index = torch.tensor(rows)
        self.snapshot = {name: tensor[index] for name, tensor in self.snapshot.items()}
        place = {old: new for new, old in enumerate(rows)}
        self.repairs = {place[row]: event for row, event in self.repairs.items() if row in place}
        self.counts = {place[row]: count for row, count in self.counts.items() if row in place}
        self.retired = {place[row] for row in self.retired if row in place}
