"""Lower the rate when the loss no longer falls: a pure function of the history of losses, lane by lane."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

Number = float | int | Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the history of a lane comes to: all ``[L]``, or numbers of no axis.

    ``best`` loss so far, how many losses in a row were ``bad``, how many are still ``excused`` after a reduction,
    and the ``factor`` of the peak rate.
    """

    best: Tensor
    bad: Tensor
    excused: Tensor
    factor: Tensor

    @classmethod
    def of(cls, *shape: int, device: torch.device | None = None) -> "Standing":
        """Before any loss was seen."""
        zeros = torch.zeros(shape, dtype=torch.float64, device=device)
        largest = torch.finfo(torch.float64).max  # not inf, which a guard would take for a lane that diverged
        return cls(best=zeros + largest, bad=zeros, excused=zeros, factor=zeros + 1)

    def tensors(self) -> dict[str, Tensor]:
        """What it holds, by name."""
        return {"best": self.best, "bad": self.bad, "excused": self.excused, "factor": self.factor}


def follow(
    standing: Standing,
    loss: Number,
    *,
    gamma: Number = 0.1,
    patience: Number = 10,
    threshold: Number = 1e-4,
    cooldown: Number = 0,
    least: Number = 0.0,
) -> Standing:
    """The standing after one more ``loss``.

    A loss is better if it is below ``best - threshold |best|``. After more than ``patience`` losses in a row that are
    not, the factor is multiplied by ``gamma``, down to ``least`` at most, and the next ``cooldown`` losses are excused.
    A loss that is nan is not better. So does torch's ``ReduceLROnPlateau``, except that under a negative best it takes
    losses for better that are worse.
    """
    loss = torch.as_tensor(loss, dtype=torch.float64)
    better = loss < standing.best - threshold * standing.best.abs()
    best = torch.where(better, loss, standing.best)
    bad = torch.where(better, 0.0, standing.bad + 1)
    bad = torch.where(standing.excused > 0, 0.0, bad)
    excused = (standing.excused - 1).clamp_min(0)
    due = bad > patience
    lowered = torch.maximum(standing.factor * gamma, torch.as_tensor(least, dtype=torch.float64))
    return Standing(
        best=best,
        bad=torch.where(due, 0.0, bad),
        excused=torch.where(due, torch.as_tensor(cooldown, dtype=torch.float64), excused),
        factor=torch.where(due, torch.minimum(lowered, standing.factor), standing.factor),
    )


def plateau(losses: Tensor, **settings: Number) -> Tensor:
    """The factor ``[...]`` of the peak rate after the history ``losses [T, ...]``; settings as for :func:`follow`.

    >>> plateau(torch.tensor([[3.0, 3.0], [2.0, 3.0], [1.0, 3.0]]), gamma=0.5, patience=1).tolist()
    [1.0, 0.5]
    """
    standing = Standing.of(*losses.shape[1:])
    for loss in losses:
        standing = follow(standing, loss, **settings)
    return standing.factor


@final
class LanePlateau:
    """The plateau schedule over the lanes of a stack; a loss of its history is the mean over ``window`` steps.

    The losses of single batches are too noisy to say whether training goes on. The state is part of what a rewound lane
    goes back to. ``settings`` are ``[L]``, as :func:`follow` names them; ``wanted [L]`` are the lanes that it is for.
    """

    def __init__(self, wanted: Tensor, settings: Mapping[str, Tensor], *, window: int) -> None:
        self._wanted, self._settings, self._window = wanted, dict(settings), window
        self._standing = Standing.of(len(wanted), device=wanted.device)
        self._sum = torch.zeros(len(wanted), dtype=torch.float64, device=wanted.device)
        self._seen = torch.zeros_like(self._sum)

    @property
    def factors(self) -> Tensor:
        """What the rate of every lane is multiplied by, ``[L]``."""
        return torch.where(self._wanted, self._standing.factor, 1.0)

    def observe(self, losses: Tensor) -> None:
        """Take in the losses ``[L]`` of one step."""
        finite = losses.isfinite()  # what is not is the guard's business
        self._sum = self._sum + torch.where(finite, losses, 0.0)
        self._seen = self._seen + finite
        due = self._seen >= self._window
        if not bool(due.any()):
            return
        after = follow(self._standing, self._sum / self._seen, **self._settings).tensors()
        before = self._standing.tensors()
        self._standing = Standing(**{name: torch.where(due, after[name], before[name]) for name in before})
        self._sum = torch.where(due, 0.0, self._sum)
        self._seen = torch.where(due, 0.0, self._seen)

    def state(self) -> dict[str, Tensor]:
        """Everything but the settings, ``[L]`` each."""
        return self._standing.tensors() | {"sum": self._sum, "seen": self._seen}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self._standing = Standing(**{name: state[name].clone() for name in self._standing.tensors()})
        self._sum, self._seen = state["sum"].clone(), state["seen"].clone()
