"""Judges by the losses of its batches whether a lane has blown up though its numbers are finite."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from lanewise.training.watching.guard import CHECK_EVERY

GROWN = 10.0
"""How many times as large as at the start the weights of a lane are that has blown up before it learned anything."""

STAYS = 75
"""Steps for which a loss must stay there, three stretches, and"""

STAYS_SHARE = 0.05
"""the share of a whole training: large rates often throw a lane far off for a while, and it comes back the better."""

LATEST = 10
"""Losses that tell of now, of which at least half must be known."""

ROUNDING = 1e-3
"""Share of its size by which a loss differs from another only by rounding, in the lowest precisions."""

NAMES = ("first", "start", "best", "noise", "sizes", "bad", "doubtful")


class Course(ABC):
    """What the losses of batches say of lanes, over a training. NoCourse knows nothing, and finds nothing."""

    @abstractmethod
    def observe(self, losses: Tensor, taken: int, skipped: Tensor | None) -> None:
        """Know of the ``losses [L]`` of step ``taken``; those of ``skipped [L]`` updates are not known."""

    @abstractmethod
    def judge(self, values: Tensor, taken: int) -> dict[int, str]:
        """Close a stretch after ``taken`` steps: which of the rows ``values [L, P]`` have blown up, and how, in words.

        Asked after every :data:`~lanewise.training.watching.guard.CHECK_EVERY` steps.
        """

    @abstractmethod
    def sound(self, values: Tensor) -> Tensor | None:
        """Which rows ``[L]`` of ``values [L, P]`` are worth going back to, by the latest losses; None: all."""

    @abstractmethod
    def forget(self, row: int, *, since: int) -> None:
        """A lane was set back to step ``since``: what it went through since says nothing of it."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs: tensors of which the last axis is that of lanes."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""

    def held(self, row: int) -> dict[str, Tensor]:
        """What is known of one lane, for :meth:`take_over`."""
        return {name: tensor[..., row].clone() for name, tensor in self.state().items()}

    def take_over(self, row: int, held: Mapping[str, Tensor]) -> None:
        """Know of a lane what :meth:`held` of its source, in this stack or another at the same step, gave."""
        state = {name: tensor.clone() for name, tensor in self.state().items()}
        for name, tensor in state.items():
            tensor[..., row] = held[name]
        self.restore(state)

    def keep(self, rows: Sequence[int]) -> None:
        """Compact what is known to ``rows``."""
        index = torch.tensor(list(rows), dtype=torch.int64)
        self.restore({name: tensor[..., index] for name, tensor in self.state().items()})


@final
class NoCourse(Course):
    """Of lanes that are not to be answered while their numbers are finite."""

    def observe(self, losses: Tensor, taken: int, skipped: Tensor | None) -> None:
        del losses, taken, skipped

    def judge(self, values: Tensor, taken: int) -> dict[int, str]:
        del values, taken
        return {}

    def sound(self, values: Tensor) -> None:
        del values

    def forget(self, row: int, *, since: int) -> None:
        del row, since

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        del tensors


@final
class Seen(Course):
    """The course that the losses of all lanes have taken, ``[L]`` each.

    ``first`` is the loss of the first batch, ``start`` the larger of it and the median of the first stretch of 25,
    ``noise`` that stretch from its first to its last decile, ``best`` the lowest median of a stretch, ``sizes`` the
    norms of the weights at the start. For ``bad`` steps in a row, a stretch at a time, a lane has been

    - lost: it had learned, ``start - best > noise``, and ``median > start`` and ``first decile > best``; or
    - exploded: no batch had a loss as low as the first, and the weights are ten times as large as they were.

    Both are the same for ``a loss + b`` with any a > 0 and b, up to rounding, so they hold for losses of any scale,
    near zero and below it. NaN is what is not known: the loss of an update that was left out, or from before a lane
    was set back.
    """

    def __init__(self, values: Tensor, *, length: int) -> None:
        """At the start of a training of ``length`` steps, with the rows ``values [L, P]``."""
        unknown = torch.full((len(values),), torch.nan, dtype=torch.float64, device=values.device)
        self.first, self.start, self.best, self.noise = (unknown.clone() for _ in range(4))
        sizes = norms(values)
        self.sizes = torch.where(sizes > 0, sizes, torch.inf)  # what starts at zero has no size of its own
        self.bad = torch.zeros(len(values), dtype=torch.int64, device=values.device)
        self.doubtful = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        self._recent: list[Tensor] = []
        self._begins = self._gaps = True
        self._overwritten = values.device.type == "cuda"
        self._stays = max(STAYS, round(STAYS_SHARE * length))

    def observe(self, losses: Tensor, taken: int, skipped: Tensor | None) -> None:
        if skipped is not None:
            losses, self._gaps = torch.where(skipped, torch.nan, losses), True
        elif self._overwritten:
            losses = losses.clone()  # a recorded step writes the next ones over them
        if taken == 1:
            self.first = losses.double()
        else:
            self._recent.append(losses)

    def judge(self, values: Tensor, taken: int) -> dict[int, str]:
        least, low, middle, high = self._quantiles(CHECK_EVERY, 0, 1, 5, 9)
        self._recent, self._gaps = [], False
        if self._begins:
            fresh = self.start.isnan() & ~middle.isnan()
            # The first update is left out of many lanes whose loss is scaled.
            self.start = torch.where(fresh, torch.fmax(self.first, middle), self.start)
            noise = torch.maximum(high - low, ROUNDING * self.start.abs())
            self.noise = torch.where(fresh, noise, self.noise)
            self._begins = bool(self.start.isnan().any())
        self.best = torch.fmin(self.best, middle)
        exploded = self._exploded(least, values)
        lost = self._lost(low, middle)
        self.doubtful = lost | exploded
        self.bad = torch.where(self.doubtful, self.bad + CHECK_EVERY, 0)
        found = {}
        for row in (self.bad >= self._stays).nonzero().flatten().tolist():
            first, start, best, loss = (float(own[row]) for own in (self.first, self.start, self.best, middle))
            if bool(lost[row]):
                known = f"a loss of {loss:.3g}, from {start:.3g} at first and {best:.3g} at best"
                found[row] = f"spiked by step {taken} and lost what it had learned ({known})"
            else:
                grown = float(norms(values[row : row + 1])) / float(self.sizes[row])
                known = f"a loss of {loss:.3g}, from {first:.3g}, and weights {grown:.2g} times as large"
                found[row] = f"diverged by step {taken} ({known})"
        return found

    def sound(self, values: Tensor) -> Tensor:
        if len(self._recent) * 2 < LATEST:
            return ~self.doubtful
        least, low, middle = self._quantiles(LATEST, 0, 1, 5)
        seen = self._lost(low, middle) | self._exploded(least, values)
        return ~torch.where(middle.isnan(), self.doubtful, seen)

    def _quantiles(self, count: int, *tenths: int) -> Tensor:
        """Lower quantiles ``[Q, L]`` of those of the last losses that are known; NaN where less than half are."""
        losses = torch.stack(self._recent[-count:]).double()
        ordered = losses.sort(0).values  # NaN comes last
        if not self._gaps:
            return ordered[[(len(ordered) - 1) * tenth // 10 for tenth in tenths]]
        known = (~losses.isnan()).sum(0)
        places = (known - 1).clamp_min(0) * known.new_tensor(tenths)[:, None] // 10
        return torch.where(known * 2 >= len(losses), ordered.gather(0, places), torch.nan)

    def _lost(self, low: Tensor, middle: Tensor) -> Tensor:
        """Whose losses, of which these are quantiles ``[L]``, say that all is lost that was learned beyond noise."""
        return (self.start - self.best > self.noise) & (middle > self.start) & (low > self.best)

    def _exploded(self, least: Tensor, values: Tensor) -> Tensor:
        return (least > self.first) & (norms(values) >= GROWN * self.sizes)

    def forget(self, row: int, *, since: int) -> None:
        if since < CHECK_EVERY:  # so does what it began with, apart from the first batch
            self.start[row] = self.best[row] = self.noise[row] = torch.nan
            self._begins = True
        self.bad[row], self.doubtful[row], self._gaps = 0, False, True
        self._recent = [losses.clone() for losses in self._recent]
        for losses in self._recent:
            losses[row] = torch.nan

    def state(self) -> dict[str, Tensor]:
        recent = torch.stack(self._recent) if self._recent else self.first.new_zeros(0, len(self.first))
        return {**{name: getattr(self, name) for name in NAMES}, "recent": recent}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name in NAMES:
            setattr(self, name, tensors[name].clone())
        self._recent = [own.clone() for own in tensors["recent"]]
        self._begins = self._gaps = True  # as far as is known


def norms(values: Tensor) -> Tensor:
    """The Euclidean norms ``[L]`` of the rows ``values [L, P]``."""
    return torch.linalg.vector_norm(values, dim=1, dtype=torch.float64)
