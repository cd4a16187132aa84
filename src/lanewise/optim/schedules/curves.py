"""Learning-rate schedules as pure functions: the factor of the peak rate at a step.

``step`` counts from 0: the factor at step s is for the update that s updates came before. Steps and parameters are
numbers or tensors and broadcast against each other: ``step [T, 1]`` with parameters ``[L]`` gives ``[T, L]``, a column
for each lane. Results are float64. After its ``length`` a curve stays where it ended.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Number = float | int | Tensor
Curve = Callable[[Tensor], Tensor]
"""A schedule whose parameters are settled: from steps to factors."""


def _wide(value: Number) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _progress(step: Number, length: Number) -> Tensor:
    """0 at the first step, 1 from ``length`` on."""
    return (_wide(step) / _wide(length)).clamp(0, 1)


def constant(step: Number) -> Tensor:
    """Factor 1 all along.

    >>> constant(torch.arange(3)).tolist()
    [1.0, 1.0, 1.0]
    """
    return torch.ones_like(_wide(step))


def linear(step: Number, *, length: Number, start: Number = 1.0, final: Number = 0.0) -> Tensor:
    """A straight line, to zero unless stated: ``start + (final - start) s / length``.

    To zero it is the default of Lanewise, for it beat cosine in wide comparisons (Defazio et al. 2023,
    arXiv:2310.07831; arXiv:2502.15938).

    >>> linear(torch.arange(5), length=4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return start + (final - start) * _progress(step, length)


def cosine(step: Number, *, length: Number, final: Number = 0.0) -> Tensor:
    """Half a wave: ``final + (1 - final) (1 + cos(pi s / length)) / 2`` (Loshchilov & Hutter 2017, one period).

    >>> cosine(torch.tensor([0, 2, 4]), length=4, final=0.5).tolist()
    [1.0, 0.75, 0.5]
    """
    return final + (1 - final) * (0.5 * (1 + torch.cos(math.pi * _progress(step, length))))


def exponential(step: Number, *, gamma: Number) -> Tensor:
    """``gamma ** s``.

    >>> exponential(torch.arange(3), gamma=torch.tensor([0.5])).tolist()
    [1.0, 0.5, 0.25]
    """
    return torch.pow(_wide(gamma), _wide(step))


def stairs(step: Number, *, every: Number, gamma: Number = 0.1) -> Tensor:
    """Down by a factor after ``every`` steps: ``gamma ** floor(s / every)``.

    >>> stairs(torch.arange(4), every=2, gamma=0.5).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """
    return torch.pow(_wide(gamma), torch.floor(_wide(step) / _wide(every)))


def polynomial(step: Number, *, length: Number, power: Number = 2.0, final: Number = 0.0) -> Tensor:
    """``final + (1 - final) (1 - s / length) ** power``.

    >>> polynomial(torch.tensor([0, 2, 4]), length=4).tolist()
    [1.0, 0.25, 0.0]
    """
    return final + (1 - final) * torch.pow(1 - _progress(step, length), _wide(power))


def inverse_square_root(step: Number, *, timescale: Number) -> Tensor:
    """``sqrt(timescale / (s + timescale))``; after a warm-up of ``timescale`` steps it is the Transformer's.

    Vaswani et al. 2017, section 5.3: there the rate is measured without its peak.

    >>> inverse_square_root(torch.tensor([0, 3]), timescale=1).tolist()
    [1.0, 0.5]
    """
    return torch.sqrt(_wide(timescale) / (_wide(step) + _wide(timescale)))


def one_cycle(
    step: Number,
    *,
    length: Number,
    peak: Number = 0.3,
    start: Number = 1 / 25,
    final: Number = 1 / 250_000,
    shape: Literal["cosine", "linear"] = "cosine",
) -> Tensor:
    """Up from ``start`` to 1 until the share ``peak`` of the steps, then down to ``final`` (Smith & Topin 2019).

    As torch has it, the peak is at step ``peak length - 1`` and the end at ``length - 1``; torch's ``div_factor`` is
    ``1 / start``, its ``final_div_factor`` is ``start / final``. Momentum is left alone.

    >>> one_cycle(torch.tensor([0, 4, 9]), length=10, peak=0.5, start=0.25, final=0.0).tolist()
    [0.25, 1.0, 0.0]
    """
    top = _wide(peak) * length - 1
    up = (_wide(step) / top.clamp_min(1e-12)).clamp(0, 1)
    down = ((_wide(step) - top) / (length - 1 - top).clamp_min(1e-12)).clamp(0, 1)
    if shape == "cosine":
        up, down = (0.5 * (1 - torch.cos(math.pi * share)) for share in (up, down))
    return torch.where(_wide(step) <= top, start + (1 - start) * up, 1 + (final - 1) * down)


def warm_restarts(step: Number, *, first: Number, growth: Number = 1.0, final: Number = 0.0) -> Tensor:
    """Cosine again and again, each period ``growth`` times the one before (SGDR, Loshchilov & Hutter 2017).

    ``first`` is T_0, ``growth`` is T_mult, ``final`` is eta_min over eta_max.

    >>> warm_restarts(torch.tensor([0, 1, 2, 4, 6]), first=2, growth=2).round(decimals=9).tolist()
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    steps, length, factor = torch.broadcast_tensors(_wide(step), _wide(first), _wide(growth))
    grows = factor.ne(1)
    base = torch.where(grows, factor, 2.0)  # a stand-in where periods are equal, for 0 / 0 is nan even unchosen

    def begins(period: Tensor) -> Tensor:
        return torch.where(grows, length * (base**period - 1) / (base - 1), period * length)

    period = torch.where(grows, torch.log(steps / length * (base - 1) + 1) / torch.log(base), steps / length).floor()
    # The logarithm may miss a boundary by one rounding; the beginnings themselves do not.
    period = torch.where(begins(period) > steps, period - 1, period)
    period = torch.where(begins(period + 1) <= steps, period + 1, period)
    return cosine(steps - begins(period), length=length * torch.where(grows, base**period, 1.0), final=final)


def stable_decay(
    step: Number,
    *,
    length: Number,
    cooldown: Number,
    final: Number = 0.0,
    shape: Literal["sqrt", "linear"] = "sqrt",
) -> Tensor:
    """1, then down over the last ``cooldown`` steps; with a warm-up it is warmup-stable-decay.

    With u from 0 to 1 over the cool-down: ``1 - sqrt(u)``, or ``1 - u`` for ``"linear"``. It matches cosine
    without knowing the end in advance: train on, and cool down when you wish to stop (Hagele et al. 2024,
    arXiv:2405.18392, where 1 - sqrt is the better).

    >>> stable_decay(torch.tensor([0, 4, 5, 8]), length=8, cooldown=4).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    share = ((_wide(step) - length + cooldown) / _wide(cooldown)).clamp(0, 1)
    share = share.sqrt() if shape == "sqrt" else share
    return 1 + (final - 1) * share


def warmed(step: Number, curve: Curve, *, warmup: Number) -> Tensor:
    """A linear climb over ``warmup`` steps to where ``curve`` begins, which then runs from its step 0.

    ``curve(0) (s + 1) / warmup``: the first step is not wasted at rate zero, and the last is at the full rate.

    >>> warmed(torch.arange(6), lambda step: linear(step, length=4), warmup=2).tolist()
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    steps, climb = _wide(step), _wide(warmup)
    after = curve((steps - climb).clamp_min(0))
    return torch.where(steps < climb, curve(torch.zeros_like(steps)) * (steps + 1) / climb.clamp_min(1), after)


def joined(step: Number, pieces: Sequence[tuple[Curve, Number]]) -> Tensor:
    """One curve after another, each with the number of steps that it has; the last goes on for ever.

    Every piece counts its own steps from 0.

    >>> halved = lambda step: 0.5 * constant(step)
    >>> joined(torch.arange(4), [(constant, 2), (halved, 1)]).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """
    steps = _wide(step)
    start, result = torch.zeros((), dtype=torch.float64), pieces[0][0](steps)
    for (_, length), (curve, _) in pairwise(pieces):
        start = start + length
        result = torch.where(steps < start, result, curve((steps - start).clamp_min(0)))
    return result
