"""The schedules as ``torch.optim.lr_scheduler.LRScheduler``, for any optimizer of PyTorch."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from lanewise.errors import UsageError
from lanewise.optim.schedules import curves
from lanewise.optim.schedules.curves import Curve
from lanewise.optim.schedules.plateau import Standing, follow


class Schedule(LRScheduler):
    """A curve, after ``warmup`` steps of climb, times the rate that each parameter group was made with: its peak.

    As torch's own: call ``step()`` after every ``optimizer.step()``; ``state_dict``, ``get_last_lr``, ``last_epoch``,
    and ``SequentialLR`` work alike. Constructing one sets the optimizer's rate to the first of the schedule: build
    it before a state dict is loaded into the optimizer. The rate is a function of the step alone and overwrites what
    ``ChainedScheduler`` would multiply: use ``warmup`` or :class:`JoinedSchedule` there.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, warmup: int = 0, last_epoch: int = -1) -> None:
        _steps(0, warmup=warmup)
        self.warmup = warmup
        super().__init__(optimizer, last_epoch)

    @abstractmethod
    def curve(self, step: Tensor) -> Tensor:
        """The factor of the peak rate at a step, counted from 0 after the warm-up."""

    def get_lr(self) -> list[float | Tensor]:
        """The rates at ``last_epoch``, one for each parameter group."""
        factor = curves.warmed(self.last_epoch, self.curve, warmup=self.warmup).item()
        return [base * factor for base in self.base_lrs]


class _Ending(Schedule):
    """A schedule that knows its end: ``total_steps``, the warm-up among them."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, total_steps: int, warmup: int = 0, last_epoch: int = -1
    ) -> None:
        _steps(1, total_steps=total_steps)
        if warmup >= total_steps:
            message = f"warmup must be less than total_steps, {total_steps}, got {warmup}"
            raise UsageError(message)
        self.total_steps = total_steps
        super().__init__(optimizer, warmup=warmup, last_epoch=last_epoch)

    @property
    def length(self) -> int:
        """The steps after the warm-up."""
        return self.total_steps - self.warmup


@final
class ConstantSchedule(Schedule):
    """The peak rate all along, after the warm-up.

    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> ConstantSchedule(optimizer, warmup=4).get_last_lr()
    [0.25]
    """

    def curve(self, step: Tensor) -> Tensor:
        return curves.constant(step)


@final
class LinearSchedule(_Ending):
    """A straight line to zero, or to ``final`` times the peak: the default of Lanewise (:func:`~.curves.linear`).

    Raises ``UsageError`` for ``total_steps`` below 1 and a ``warmup`` that is negative or as long.

    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = LinearSchedule(optimizer, total_steps=5, warmup=1)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.get_last_lr()
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, total_steps: int, final: float = 0.0, **rest: int) -> None:
        _at_least(0, final=final)
        self.final = final
        super().__init__(optimizer, total_steps=total_steps, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.linear(step, length=self.length, final=self.final)


@final
class CosineSchedule(_Ending):
    """Half a wave to zero, or to ``final`` times the peak (:func:`~.curves.cosine`)."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, total_steps: int, final: float = 0.0, **rest: int) -> None:
        _at_least(0, final=final)
        self.final = final
        super().__init__(optimizer, total_steps=total_steps, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.cosine(step, length=self.length, final=self.final)


@final
class PolynomialSchedule(_Ending):
    """``(1 - t) ** power``, to ``final`` times the peak (:func:`~.curves.polynomial`)."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, total_steps: int, power: float = 2.0, final: float = 0.0, **rest: int
    ) -> None:
        _at_least(0, final=final)
        self.power, self.final = power, final
        super().__init__(optimizer, total_steps=total_steps, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.polynomial(step, length=self.length, power=self.power, final=self.final)


@final
class ExponentialSchedule(Schedule):
    """Times ``gamma`` at every step (:func:`~.curves.exponential`)."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, gamma: float, **rest: int) -> None:
        self.gamma = gamma
        super().__init__(optimizer, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.exponential(step, gamma=self.gamma)


@final
class StepSchedule(Schedule):
    """Times ``gamma`` after ``every`` steps (:func:`~.curves.stairs`)."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, every: int, gamma: float = 0.1, **rest: int) -> None:
        _steps(1, every=every)
        self.every, self.gamma = every, gamma
        super().__init__(optimizer, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.stairs(step, every=self.every, gamma=self.gamma)


@final
class InverseSquareRootSchedule(Schedule):
    """``sqrt(timescale / (s + timescale))``; ``timescale`` is the warm-up unless stated, and it has no end."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, warmup: int, timescale: int | None = None, **rest: int
    ) -> None:
        self.timescale = warmup if timescale is None else timescale
        _at_least(1, timescale=self.timescale)
        super().__init__(optimizer, warmup=warmup, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.inverse_square_root(step, timescale=self.timescale)


@final
class OneCycleSchedule(_Ending):
    """Up to the optimizer's rate and down again (:func:`~.curves.one_cycle`); momentum is left alone.

    The peak is the rate that the optimizer was made with, where torch's ``OneCycleLR`` wants ``max_lr``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        total_steps: int,
        peak: float = 0.3,
        start: float = 1 / 25,
        final: float = 1 / 250_000,
        shape: Literal["cosine", "linear"] = "cosine",
        **rest: int,
    ) -> None:
        self.peak, self.start, self.final = peak, start, final
        self.shape: Literal["cosine", "linear"] = _one_of(("cosine", "linear"), shape)
        super().__init__(optimizer, total_steps=total_steps, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.one_cycle(
            step, length=self.length, peak=self.peak, start=self.start, final=self.final, shape=self.shape
        )


@final
class WarmRestartsSchedule(Schedule):
    """Cosine again and again, each period ``growth`` times as long (:func:`~.curves.warm_restarts`)."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, first: int, growth: float = 1.0, final: float = 0.0, **rest: int
    ) -> None:
        _at_least(1, first=first, growth=growth)
        self.first, self.growth, self.final = first, growth, final
        super().__init__(optimizer, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.warm_restarts(step, first=self.first, growth=self.growth, final=self.final)


@final
class WarmupStableDecaySchedule(_Ending):
    """Climb, stay, and cool down over the last ``cooldown`` steps (:func:`~.curves.stable_decay`).

    ``shape``: ``"sqrt"`` is 1 - sqrt, ``"linear"`` a straight line. To train on from before the cool-down, load that
    checkpoint into a schedule with more ``total_steps``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        total_steps: int,
        cooldown: int,
        final: float = 0.0,
        shape: Literal["sqrt", "linear"] = "sqrt",
        **rest: int,
    ) -> None:
        _at_least(1, cooldown=cooldown)
        self.cooldown, self.final = cooldown, final
        self.shape: Literal["sqrt", "linear"] = _one_of(("sqrt", "linear"), shape)
        super().__init__(optimizer, total_steps=total_steps, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.stable_decay(step, length=self.length, cooldown=self.cooldown, final=self.final, shape=self.shape)


@final
class JoinedSchedule(Schedule):
    """Curves one after another (:func:`~.curves.joined`), for a plan of your own.

    ``pieces`` are pairs of a function of the step and the number of steps that it has; the last goes on for ever. They
    are not part of the state dict.

    >>> from functools import partial
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> pieces = [(curves.constant, 100), (partial(curves.linear, length=50), 50)]
    >>> JoinedSchedule(optimizer, pieces=pieces, warmup=10).get_last_lr()
    [0.1]
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, pieces: Sequence[tuple[Curve, int]], **rest: int) -> None:
        if not pieces:
            message = "pieces must hold at least one pair of a curve and its number of steps, got none"
            raise UsageError(message)
        self.pieces = list(pieces)
        super().__init__(optimizer, **rest)

    def curve(self, step: Tensor) -> Tensor:
        return curves.joined(step, self.pieces)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, without the pieces."""
        return {name: value for name, value in super().state_dict().items() if name != "pieces"}


@final
class PlateauSchedule(Schedule):
    """Lower the rate by ``gamma`` after ``patience`` losses that were not better (:func:`~.plateau.follow`).

    Call ``step(loss)``, most often once an epoch with the validation loss. ``step()`` without one, as in a warm-up of
    ``warmup`` calls, counts the step and leaves the history alone. Lightning wants ``"reduce_on_plateau": True`` and a
    ``"monitor"`` beside it.

    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = PlateauSchedule(optimizer, gamma=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     optimizer.step()
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        gamma: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        least: float = 0.0,
        **rest: int,
    ) -> None:
        self.settings = {
            "gamma": gamma,
            "patience": patience,
            "threshold": threshold,
            "cooldown": cooldown,
            "least": least,
        }
        self.history = Standing.of().tensors()
        super().__init__(optimizer, **rest)

    def step(self, loss: float | Tensor | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as ReduceLROnPlateau
        """Count the step; take ``loss`` into the history."""
        if loss is not None:
            self.history = follow(Standing(**self.history), float(loss), **self.settings).tensors()
        super().step()

    def curve(self, step: Tensor) -> Tensor:
        return self.history["factor"] * curves.constant(step)


def _at_least(least: float, **given: float) -> None:
    for name, value in given.items():
        if not value >= least:
            message = f"{name} must be at least {least}, got {value}"
            raise UsageError(message)


def _steps(least: int, **given: float) -> None:
    for name, value in given.items():
        if not (value >= least and value == int(value)):
            message = f"{name} must be a whole number of steps, {least} or more, got {value}"
            raise UsageError(message)


def _one_of(allowed: Sequence[str], shape: str) -> Any:
    if shape not in allowed:
        message = f"shape must be one of {', '.join(allowed)}, got {shape!r}"
        raise UsageError(message)
    return shape
