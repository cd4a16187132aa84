"""Signs that a lane learns badly though its numbers are finite: seen at looks, told, and nothing is done about them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from lanewise.data.wording import counted
from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.candidate import Notice
from lanewise.training.watching.guard import Guard

VANISHING = 1e-4
"""Share of their size that weights must move by in a whole training, at the pace of the moment, to learn anything."""

EXPLODING = 10.0
"""Growth of the weights from one look to the next that is too much where the loss did not fall for it."""

SPIKE = 10.0
"""How many times the mean loss of the stretch before the loss of one batch must be, and above that of the first."""

DEAD_SHARE = 0.5
"""Share of the units of a rectifier, all of them where they are few, that must be zero to be worth a word."""

FEW_UNITS = 8


@dataclass
class Vitals:
    """What is known of the rows of a stack beside their weights.

    ``norms [L]`` of the weights at the last look, ``first [L]`` the losses of the first batch; ``moved`` says whether a
    row ever moved as weights do that learn, ``told`` what was told of it, and ``fresh`` is yet to be fetched.
    ``peaks [L]`` are the largest losses of a batch since the last look, in steps ``peaked [L]``; ``usual [L]`` the mean
    losses up to the last look, none before there was one.
    """

    norms: Tensor = field(default_factory=lambda: torch.zeros(0))
    first: Tensor = field(default_factory=lambda: torch.zeros(0))
    peaks: Tensor = field(default_factory=lambda: torch.zeros(0))
    peaked: Tensor = field(default_factory=lambda: torch.zeros(0))
    usual: Tensor = field(default_factory=lambda: torch.zeros(0))
    moved: list[bool] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)
    fresh: list[list[Notice]] = field(default_factory=list)

    def begin(self, values: Tensor) -> None:
        """Remember the rows ``values [L, P]`` as they start."""
        self.norms, self.first = torch.linalg.vector_norm(values, dim=1), torch.zeros(0)
        self._no_peaks(values.device)
        self.usual = torch.zeros(0)
        self.moved = [False] * len(values)
        self.told, self.fresh = [[] for _ in self.moved], [[] for _ in self.moved]

    def _no_peaks(self, device: torch.device) -> None:
        self.peaks = torch.full((len(self.norms),), -torch.inf, dtype=torch.float64, device=device)
        self.peaked = torch.zeros(len(self.norms), dtype=torch.int64, device=device)

    def observe(self, losses: Tensor, taken: int) -> None:
        """Know of the ``losses [L]`` of the batch of step ``taken``."""
        if taken == 1:
            self.first = losses.to(torch.float64, copy=True)
        higher = losses > self.peaks
        self.peaks = torch.where(higher, losses, self.peaks)
        self.peaked = torch.where(higher, taken, self.peaked)

    def look(
        self, buffer: LaneBuffer, guard: Guard, losses: Tensor, *, taken: int, length: int, excused: Collection[int]
    ) -> None:
        """Judge the updates since the snapshots of ``guard``, before it makes others.

        ``losses [L]`` are means since the last look. The update-to-weight ratio of row l is
        ``|values_l - snapshot_l| / |snapshot_l|``. The rows ``excused`` will be put back, as those repaired were.
        """
        values, before = buffer.values, guard.snapshot["values"][:, : buffer.layout.width]
        norms, sizes = torch.linalg.vector_norm(values, dim=1), torch.linalg.vector_norm(before, dim=1)
        least = torch.finfo(sizes.dtype).tiny
        ratios = (torch.linalg.vector_norm(values - before, dim=1) / sizes.clamp_min(least)).tolist()
        growth = (norms / self.norms.clamp_min(least)).tolist()
        worse = (losses >= self.first).tolist()
        self.norms = norms
        for row, ratio in enumerate(ratios):
            steps = taken - guard.taken[row]
            if row in excused or row in guard.repairs or row in guard.retired or not steps:
                continue
            vanishing = ratio * length / steps < VANISHING
            if vanishing and not self.moved[row]:  # later the same means that it has converged, or that its rate fell
                words = f"in {counted(steps, 'step')} they moved the weights by {ratio:.1g} of their size"
                self.tell(row, "vanishing", f"updates vanish: {words}", taken / length)
            self.moved[row] = self.moved[row] or not vanishing
            if growth[row] >= EXPLODING and worse[row]:
                words = f"by step {taken} the weights were {growth[row]:.2g} times as large, and the loss no better"
                self.tell(row, "exploding", f"updates explode: {words}", taken / length)
        passed = {*excused, *guard.repairs, *guard.retired}
        self._spikes(losses.double(), length=length, passed=passed)

    def _spikes(self, losses: Tensor, *, length: int, passed: Collection[int]) -> None:
        """Judge the largest losses of a batch since the last look, of the rows that are not ``passed`` over."""
        if len(self.usual):
            spiked = (self.peaks > SPIKE * self.usual) & (self.usual > 0) & (self.peaks > self.first)
            for row in (spiked & self.peaks.isfinite()).nonzero().flatten().tolist():
                at, times = int(self.peaked[row]), float(self.peaks[row] / self.usual[row])
                if row not in passed:
                    words = f"that of the batch of step {at} was {times:.2g} times the mean of those before"
                    self.tell(row, "spike", f"the loss spikes: {words}", at / length)
        self.usual = losses
        self._no_peaks(losses.device)

    def units(self, silent: Sequence[tuple[Sequence[Tensor], int]], fraction: float, *, unseen: str = "") -> None:
        """Judge each row by :meth:`silent`: its units, and the rows that they were looked at with.

        ``unseen`` says why nobody could look at them; empty where that went well.
        """
        for row, (units, rows) in enumerate(silent):
            self.silent(row, units, rows=rows, fraction=fraction)
            if unseen:
                self.tell(row, "unseen", f"units could not be looked at: {unseen}", fraction)

    def silent(self, row: int, units: Sequence[Tensor], *, rows: int, fraction: float) -> None:
        """Judge ``units``, for each rectifier which units ``[U]`` of the lane are zero on all of ``rows`` rows."""
        shares = [float(own.double().mean()) if len(own) else 0.0 for own in units]
        limits = [DEAD_SHARE if len(own) >= FEW_UNITS else 1.0 for own in units]
        dead = [place for place, share in enumerate(shares) if share >= limits[place]]
        if dead:
            worst = max(dead, key=lambda place: shares[place])
            many = f"{int(units[worst].sum())} of the {len(units[worst])} units"
            where = f"rectifier {worst + 1} of {len(units)}" if len(units) > 1 else "its rectifier"
            self.tell(row, "dead", f"units are dead: {many} of {where} give zero for each of {rows} rows", fraction)

    def tell(self, row: int, kind: str, words: str, fraction: float) -> None:
        """Note of a row what was not told of it before."""
        if kind not in self.told[row]:
            self.told[row].append(kind)
            self.fresh[row].append(Notice(kind=kind, fraction=fraction, cause=words))

    def news(self, row: int) -> tuple[Notice, ...]:
        """What was noted of a row since the last call."""
        found, self.fresh[row] = tuple(self.fresh[row]), []
        return found

    def take_over(self, row: int, values: Tensor) -> None:
        """Another lane goes on in the row, from the weights ``values [P]`` of one that does well."""
        self.norms[row] = torch.linalg.vector_norm(values)
        self.moved[row], self.told[row], self.fresh[row] = True, [], []
        self.peaks[row] = -torch.inf
        if len(self.usual):
            self.usual[row] = torch.inf  # it is not known what is usual of the other

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What :meth:`restore` needs."""
        fresh = [[asdict(notice) for notice in own] for own in self.fresh]
        names = ("norms", "first", "peaks", "peaked", "usual")
        tensors = {name: getattr(self, name) for name in names}
        return tensors, {"moved": self.moved, "told": self.told, "fresh": fresh}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.norms, self.first, self.usual = (tensors[name].clone() for name in ("norms", "first", "usual"))
        self.peaks, self.peaked = tensors["peaks"].clone(), tensors["peaked"].clone()
        self.moved, self.told = list(rest["moved"]), [list(own) for own in rest["told"]]
        self.fresh = [[Notice(**notice) for notice in own] for own in rest["fresh"]]

    def keep(self, rows: Sequence[int]) -> None:
        """Compact what is known to ``rows``."""
        if not self.moved:
            return
        index = torch.tensor(rows, dtype=torch.int64)
        self.norms, self.first = self.norms[index], self.first[index] if len(self.first) else self.first
        self.peaks, self.peaked = self.peaks[index], self.peaked[index]
        self.usual = self.usual[index] if len(self.usual) else self.usual
        self.moved, self.told = [self.moved[row] for row in rows], [self.told[row] for row in rows]
        self.fresh = [self.fresh[row] for row in rows]
