"""A strong-Wolfe line search in which every row is at a place of its own.

A row looks for a step ``t`` along its direction with, for ``phi(t) = F(x + t d)``,

::

    phi(t) <= phi(0) + decrease * t * phi'(0) + slack       sufficient decrease
    |phi'(t)| <= curvature * |phi'(0)|                      strong Wolfe condition

``slack`` is the rounding error of a value. Where the decrease to be had is smaller than that, the
first condition holds by itself and the slope alone, which is still accurate, decides: this is what
lets a search go on to tight gradients (the approximate Wolfe conditions of Hager and Zhang, SIAM J.
Optim. 16, 2005, serve the same end).

The search keeps a bracket ``low < high``: at ``low`` the decrease is sufficient and the slope still
falls; ``high`` is too long (no sufficient decrease, not finite, or a rising slope), or infinite
while no such step is known. Between the two lies a step that satisfies both conditions.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lanewise.optim.leaves import choose
from lanewise.solvers.rows import Scalar, alike, clamp, divide, finite, negate, root, table

ROUNDING = 32.0  # rounding error of a value, in units of its last place


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Where the search of each row stands; every entry is a number for each row.

    ``step`` is the next trial, ``slope`` is ``phi'(0)``, ``width`` the previous length of the bracket.
    """

    step: Scalar
    slope: Scalar
    low: Scalar
    low_value: Scalar
    low_slope: Scalar
    high: Scalar
    high_value: Scalar
    high_slope: Scalar
    width: Scalar
    trials: Scalar

    @classmethod
    def start(cls, values: Scalar, slopes: Scalar) -> "Bracket":
        """Searches that begin at ``phi(0) = values``, ``phi'(0) = slopes`` with the step 1."""
        zero, infinite = alike(values, 0.0), alike(values, torch.inf)
        return cls(
            step=alike(values, 1.0),
            slope=slopes,
            low=zero,
            low_value=values,
            low_slope=slopes,
            high=infinite,
            high_value=infinite,
            high_slope=infinite,
            width=infinite,
            trials=zero,
        )

    @classmethod
    def of(cls, columns: tuple[Scalar, ...]) -> "Bracket":
        """The searches of the columns of a table, see :meth:`pack`."""
        return cls(**dict(zip(COLUMNS, columns, strict=True)))

    def pack(self) -> Tensor:
        """One table ``[R, columns]``, so that rows are gathered and scattered in one operation."""
        return table(*(getattr(self, name) for name in COLUMNS))


COLUMNS = tuple(field.name for field in fields(Bracket))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was found at the step of a bracket; every entry is a number for each row.

    ``base`` is ``phi(0)`` and ``promise`` the decrease that the slope at zero promises (negative).
    ``value`` is infinite where the objective was not finite. ``slope`` is nan there, and on a path
    that a projection bends; then sufficient decrease alone is asked for.
    """

    base: Scalar
    promise: Scalar
    value: Scalar
    slope: Scalar


@dataclass(frozen=True, kw_only=True)
class LineSearch:
    """The two conditions and the number of trials after which a search gives up."""

    decrease: float = 1e-4
    curvature: float = 0.9
    trials: int = 20

    def accepts(self, bracket: Bracket, trial: Trial) -> Scalar:
        """Which rows may take the step. The last trial is content with any real decrease."""
        flat = negate(abs(trial.slope) > self.curvature * abs(bracket.slope))
        last = (bracket.trials + 1 >= self.trials) & finite(bracket.high) & (trial.value < trial.base)
        return self._sufficient(trial) & (flat | last)

    def narrow(self, bracket: Bracket, trial: Trial) -> Bracket:
        """The brackets of rows that were refused, with the next step of each."""
        long = negate(self._sufficient(trial)) | (trial.slope >= 0)
        inside = replace(
            bracket,
            low=choose(long, bracket.low, bracket.step),
            low_value=choose(long, bracket.low_value, trial.value),
            low_slope=choose(long, bracket.low_slope, trial.slope),
            high=choose(long, bracket.step, bracket.high),
            high_value=choose(long, trial.value, bracket.high_value),
            high_slope=choose(long, trial.slope, bracket.high_slope),
            trials=bracket.trials + 1,
        )
        width = inside.high - inside.low
        step = choose(finite(width), _interpolate(inside, _slack(trial)), _extrapolate(bracket, trial))
        # The last trial goes back to a point known to be lower rather than fail.
        rescue = (inside.trials + 1 >= self.trials) & (inside.low > 0) & finite(width)
        return replace(inside, step=choose(rescue, inside.low, step), width=width)

    def exhausted(self, bracket: Bracket) -> Scalar:
        """Which rows have used up their trials."""
        return bracket.trials >= self.trials

    def _sufficient(self, trial: Trial) -> Scalar:
        return trial.value <= trial.base + self.decrease * trial.promise + _slack(trial)


def _slack(trial: Trial) -> Scalar:
    dtype = trial.base.dtype if isinstance(trial.base, Tensor) else torch.float64
    return ROUNDING * torch.finfo(dtype).eps * abs(trial.base)


def _interpolate(bracket: Bracket, slack: Scalar) -> Scalar:
    """A step well inside the bracket: the minimum of a cubic, a parabola, or a halving."""
    low, slope = bracket.low, bracket.low_slope
    width = bracket.high - low
    rise = bracket.high_value - bracket.low_value
    bend = slope + bracket.high_slope - divide(3 * rise, width)
    bow = root(clamp(bend * bend - slope * bracket.high_slope, 0.0))
    cubic = 1 - divide(bracket.high_slope + bow - bend, bracket.high_slope - slope + 2 * bow)
    parabola = divide(-slope * width, 2 * (rise - slope * width))
    secant = divide(slope, slope - bracket.high_slope)
    # A value that is not finite has no slope either: the parabola then asks for the shortest step.
    # Two values that differ by rounding only say nothing about the minimum; their slopes do.
    noisy = (abs(rise) <= slack) & (bracket.high_slope > 0)
    without = bracket.high_slope != bracket.high_slope  # nan
    fraction = choose(noisy, secant, choose(without, parabola, cubic))
    # A bracket that shrinks slowly is halved, as is one whose interpolation failed.
    halve = (width > 2 / 3 * bracket.width) | (fraction != fraction)  # noqa: PLR0124  # nan, as floats and tensors tell it
    return low + choose(halve, alike(fraction, 0.5), clamp(fraction, 0.1, 0.9)) * width


def _extrapolate(bracket: Bracket, trial: Trial) -> Scalar:
    """A longer step for rows still falling: where the secant of the slopes is zero, within limits."""
    stride = bracket.step - bracket.low
    ratio = divide(trial.slope, bracket.low_slope - trial.slope)
    growth = clamp(choose(ratio > 0, ratio, alike(ratio, 10.0)), 2.0, 100.0)
    return bracket.step + growth * stride
