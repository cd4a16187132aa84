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

ROUNDING = 32.0  # rounding error of a value, in units of its last place


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Where the search of each row stands; all tensors ``[R]``.

    ``step`` is the next trial, ``slope`` is ``phi'(0)``, ``width`` the previous length of the bracket.
    """

    step: Tensor
    slope: Tensor
    low: Tensor
    low_value: Tensor
    low_slope: Tensor
    high: Tensor
    high_value: Tensor
    high_slope: Tensor
    width: Tensor
    trials: Tensor

    @classmethod
    def start(cls, values: Tensor, slopes: Tensor) -> "Bracket":
        """Searches that begin at ``phi(0) = values [R]``, ``phi'(0) = slopes [R]`` with the step 1."""
        zero = torch.zeros_like(values)
        infinite = torch.full_like(values, torch.inf)
        return cls(
            step=torch.ones_like(values),
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
    def unpack(cls, table: Tensor) -> "Bracket":
        """The inverse of ``pack``."""
        return cls(**dict(zip(COLUMNS, table.unbind(1), strict=True)))

    def pack(self) -> Tensor:
        """One table ``[R, columns]``, so that rows are gathered and scattered in one operation."""
        return torch.stack([getattr(self, name) for name in COLUMNS], dim=1)


COLUMNS = tuple(field.name for field in fields(Bracket))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was found at the step of a bracket; all tensors ``[R]``.

    ``base`` is ``phi(0)`` and ``promise`` the decrease that the slope at zero promises (negative).
    ``value`` is infinite where the objective was not finite. ``slope`` is nan there, and on a path
    that a projection bends; then sufficient decrease alone is asked for.
    """

    base: Tensor
    promise: Tensor
    value: Tensor
    slope: Tensor


@dataclass(frozen=True, kw_only=True)
class LineSearch:
    """The two conditions and the number of trials after which a search gives up."""

    decrease: float = 1e-4
    curvature: float = 0.9
    trials: int = 20

    def accepts(self, bracket: Bracket, trial: Trial) -> Tensor:
        """Which rows ``[R]`` may take the step. The last trial is content with any real decrease."""
        flat = ~(trial.slope.abs() > self.curvature * bracket.slope.abs())
        last = (bracket.trials + 1 >= self.trials) & bracket.high.isfinite() & (trial.value < trial.base)
        return self._sufficient(trial) & (flat | last)

    def narrow(self, bracket: Bracket, trial: Trial) -> Bracket:
        """The brackets of rows that were refused, with the next step of each."""
        long = ~self._sufficient(trial) | (trial.slope >= 0)
        inside = replace(
            bracket,
            low=torch.where(long, bracket.low, bracket.step),
            low_value=torch.where(long, bracket.low_value, trial.value),
            low_slope=torch.where(long, bracket.low_slope, trial.slope),
            high=torch.where(long, bracket.step, bracket.high),
            high_value=torch.where(long, trial.value, bracket.high_value),
            high_slope=torch.where(long, trial.slope, bracket.high_slope),
            trials=bracket.trials + 1,
        )
        width = inside.high - inside.low
        step = torch.where(width.isfinite(), _interpolate(inside, _slack(trial)), _extrapolate(bracket, trial))
        # The last trial goes back to a point known to be lower rather than fail.
        rescue = (inside.trials + 1 >= self.trials) & (inside.low > 0) & width.isfinite()
        return replace(inside, step=torch.where(rescue, inside.low, step), width=width)

    def exhausted(self, bracket: Bracket) -> Tensor:
        """Which rows ``[R]`` have used up their trials."""
        return bracket.trials >= self.trials

    def _sufficient(self, trial: Trial) -> Tensor:
        return trial.value <= trial.base + self.decrease * trial.promise + _slack(trial)


def _slack(trial: Trial) -> Tensor:
    return ROUNDING * torch.finfo(trial.base.dtype).eps * trial.base.abs()


def _interpolate(bracket: Bracket, slack: Tensor) -> Tensor:
    """A step ``[R]`` well inside the bracket: the minimum of a cubic, a parabola, or a halving."""
    low, slope = bracket.low, bracket.low_slope
    width = bracket.high - low
    rise = bracket.high_value - bracket.low_value
    bend = slope + bracket.high_slope - 3 * rise / width
    root = (bend.square() - slope * bracket.high_slope).clamp_min(0).sqrt()
    cubic = 1 - (bracket.high_slope + root - bend) / (bracket.high_slope - slope + 2 * root)
    parabola = -slope * width / (2 * (rise - slope * width))
    secant = slope / (slope - bracket.high_slope)
    # A value that is not finite has no slope either: the parabola then asks for the shortest step.
    # Two values that differ by rounding only say nothing about the minimum; their slopes do.
    noisy = (rise.abs() <= slack) & (bracket.high_slope > 0)
    fraction = torch.where(noisy, secant, torch.where(bracket.high_slope.isnan(), parabola, cubic))
    # A bracket that shrinks slowly is halved, as is one whose interpolation failed.
    halve = (width > 2 / 3 * bracket.width) | fraction.isnan()
    fraction = torch.where(halve, torch.full_like(fraction, 0.5), fraction.clamp(0.1, 0.9))
    return low + fraction * width


def _extrapolate(bracket: Bracket, trial: Trial) -> Tensor:
    """A longer step ``[R]`` for rows still falling: where the secant of the slopes is zero, within limits."""
    stride = bracket.step - bracket.low
    ratio = trial.slope / (bracket.low_slope - trial.slope)
    growth = torch.where(ratio > 0, ratio, torch.full_like(ratio, 10.0)).clamp(2.0, 100.0)
    return bracket.step + growth * stride
