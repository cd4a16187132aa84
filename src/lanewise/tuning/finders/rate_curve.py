"""Loss against learning rate after a short training: where it is least, where it breaks, what to train with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanewise.statistics import paired_difference

Array = NDArray[np.float64]

MARGIN = 2.0
"""What the largest good rate is divided by: the best constant rate falls as one over the root of the steps, so half
of it serves a training four times as long."""

RISE = 0.5
"""Share by which the mean loss of a tenth of a training may exceed that without training on the same batches: networks
that blow up and then die end below their start."""

WORSE = 2.0
"""Paired standard errors by which a training must end above its start to count as unstable; at most its own size."""


@dataclass(frozen=True, kw_only=True)
class RateCurve:
    """Loss after a short training at each rate, for one optimizer.

    ``rates [R]`` rise; ``losses [R]`` are means over the judged rows, NaN where a training diverged, and ``errors [R]``
    the standard errors of their paired differences to the least. ``start`` is the loss without training.

    ``best`` has the least loss; ``tied`` spans the neighbouring rates within one standard error of it. ``edge`` is the
    largest stable rate: going up from the best, the last before one that diverges, or whose loss on its batches rises
    by half at some time, or that ends worse than it began, by two paired standard errors or by as much as the loss was;
    None where no tried rate is too large. ``suggested`` is the largest tried rate up to the upper end of ``tied``
    divided by a margin. All are None where no rate gets better than the start by more than a standard error.
    """

    optimizer: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    errors: tuple[float, ...]
    start: float
    best: float | None
    tied: tuple[float, float] | None
    edge: float | None
    suggested: float | None

    @property
    def least(self) -> float:
        """The loss at the best rate; NaN where there is none."""
        return self.losses[self.rates.index(self.best)] if self.best is not None else float("nan")

    @property
    def words(self) -> str:
        """The curve in one line."""
        lost = sum(not np.isfinite(loss) for loss in self.losses)
        ends = f"{self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        if self.best is None or self.suggested is None:
            many = f"{lost} of {len(self.rates)} diverged"
            return f"{self.optimizer}: no rate from {ends} got better than the start; {many}"
        edge = f"not stable above {self.edge:.2g}" if self.edge is not None else f"stable up to {self.rates[-1]:.2g}"
        return (
            f"{self.optimizer}: train with a rate of {self.suggested:.2g}; the loss falls most at {self.best:.2g}, "
            f"from {self.start:.3g} to {self.least:.3g}; training is {edge}"
        )


def read_curve(
    optimizer: str,
    rates: Sequence[float],
    losses: Array,
    start: Array,
    *,
    rises: Sequence[float] | None = None,
    margin: float = MARGIN,
) -> RateCurve:
    """The curve of one optimizer, read by the rules of :class:`RateCurve`.

    Args:
        optimizer: its name.
        rates: ``[R]``, rising.
        losses: ``[R, n]`` of the same n rows after training at each rate; NaN where it diverged.
        start: ``[n]`` of those rows without training.
        rises: ``[R]``, by which share the loss on the batches exceeded that without training, at the worst time.
        margin: what the largest good rate is divided by.

    Source: constant steps of ``D / (M √N)`` for N steps of stochastic gradient descent, Nemirovski, Juditsky, Lan and
    Shapiro (2009), SIAM Journal on Optimization 19; curves of loss against rate, Smith (2017), Cyclical learning rates.

    >>> losses = np.array([[0.9, 1.1], [0.2, 0.6], [0.25, 0.65], [9.0, 8.0]])
    >>> curve = read_curve("sgd", [0.01, 0.1, 0.2, 0.4], losses, np.array([1.0, 1.2]))
    >>> curve.best, curve.edge, curve.suggested
    (0.1, 0.2, 0.01)
    """
    means = losses.mean(1)
    against_start = [paired_difference(own, start) for own in losses]
    # A row that explodes alone makes the error as large as the mean; twice the loss is never noise.
    allowed = [min(WORSE * np.nan_to_num(d.standard_error), abs(start.mean())) for d in against_start]
    stable = [bool(d.mean <= most) for d, most in zip(against_start, allowed, strict=True)]
    stable = [own and rise <= RISE for own, rise in zip(stable, rises or [0.0] * len(stable), strict=True)]
    known = np.where(stable, means, np.inf)
    least = int(known.argmin())
    gained = against_start[least]
    errors = [float(paired_difference(own, losses[least]).standard_error) for own in losses]
    found = bool(np.isfinite(known[least])) and -gained.mean > np.nan_to_num(gained.standard_error)
    flat = RateCurve(
        optimizer=optimizer,
        rates=tuple(rates),
        losses=tuple(means.tolist()),
        errors=tuple(errors),
        start=float(start.mean()),
        best=None,
        tied=None,
        edge=None,
        suggested=None,
    )
    if not found:
        return flat
    edge = _reach(stable, least, 1)
    gaps = zip(stable, means - means[least], errors, strict=True)
    good = [on and bool(gap <= np.nan_to_num(error)) for on, gap, error in gaps]
    low, high = _reach(good, least, -1), _reach(good, least, 1)
    return replace(
        flat,
        best=rates[least],
        tied=(rates[low], rates[high]),
        edge=rates[edge] if edge + 1 < len(rates) else None,
        suggested=max((rate for rate in rates if rate <= rates[high] / margin), default=rates[0]),
    )


def _reach(flags: Sequence[bool], place: int, step: int) -> int:
    """The last place of the run of true flags that ``place`` is in, going by ``step``."""
    while 0 <= place + step < len(flags) and flags[place + step]:
        place += step
    return place
