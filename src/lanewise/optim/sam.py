"""Sharpness-aware minimization (Foret et al. 2021) around any of the other optimizers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.optim.drop_in import DropIn
from lanewise.optim.rule import Rule

OWN = ("rho", "adaptive")
"""Settings that are no matter of the base."""

SMALLEST = 1e-12
"""Added to the norm of the gradient, which may be zero."""


@final
class SAM(DropIn):
    """``e = rho g / |g|``; then the step of ``base`` with the gradient at ``theta + e``: towards flat minima.

    ``adaptive`` scales by the weights, ``e = rho theta^2 g / | |theta| g |`` (ASAM, Kwon et al. 2021). The norm goes
    over all groups. ``settings`` are those of ``base``, a class of this module. ``step`` needs a closure that zeroes
    the gradients, computes the loss and calls ``backward``; it is called twice and the first loss is returned. A loop
    that calls ``step()`` itself takes the second gradient inside :meth:`perturbed`. The base's weight decay does not
    enter e. Batch normalization sees both passes. A gradient scaler does not support closures.

    Raises ``UsageError`` for a step without a closure, a ``base`` that is not such a class or has a ``rho`` of its own
    (Adadelta), and settings it refuses.

    >>> from lanewise.optim.sgd import SGD
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = SAM([weight], lr=0.25, base=SGD, rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = weight.square().sum()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)  # the gradient at 1.5 is 3
    >>> weight.item()
    0.25

    Foret et al. 2021, "Sharpness-aware minimization for efficiently improving generalization".
    """

    _second_taken = False  # whether the gradients are those at theta + e

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        base: type[DropIn],
        *,
        rho: float = 0.05,
        adaptive: bool = False,
        **settings: Any,
    ) -> None:
        if not (isinstance(base, type) and issubclass(base, DropIn)) or base is SAM:
            message = f"base must be an optimizer class of lanewise.optim, AdamW for instance, got {base!r}"
            raise UsageError(message)
        self._base = base([nn.Parameter(torch.zeros(()))], lr=lr, **settings)
        if "rho" in self._base.defaults:
            message = f"SAM does not go around {base.__name__}, which has a setting rho of its own; AdamW has none"
            raise UsageError(message)
        super().__init__(params, **self._base.defaults, rho=rho, adaptive=adaptive)

    def _check(self, settings: Mapping[str, Any]) -> None:
        self._base._check({name: value for name, value in settings.items() if name not in OWN})
        super()._check(settings)

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return self._base.rule_of(group)

    @property
    def _name_in_torch(self) -> str:
        return type(self._base).__name__

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_base": self._base}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch overloads it
        """One update; ``closure`` is called at the weights and again where the loss around them is largest."""
        if closure is None:
            if not self._second_taken:
                message = "SAM needs step(closure), or the second gradient inside perturbed(): see its documentation"
                raise UsageError(message)
            self._second_taken = False
            super().step()
            return None
        with torch.enable_grad():
            loss = closure()
        before = self._climb()
        with torch.enable_grad():
            closure()
        for param, value in before:
            param.copy_(value)
        super().step()
        return loss

    @contextmanager
    def perturbed(self) -> Iterator[None]:
        """For a loop that calls ``step()`` without a closure: in this block take the gradient a second time.

        Enter it after the first ``backward()``. Inside, the weights are ``theta + e`` and the gradients are gone;
        after it the weights are back, and ``step()`` uses the gradients that were taken within.

        >>> from lanewise.optim.sgd import SGD
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = SAM([weight], lr=0.25, base=SGD, rho=0.5)
        >>> weight.square().sum().backward()
        >>> with optimizer.perturbed():
        ...     weight.square().sum().backward()
        >>> optimizer.step()
        >>> weight.item()
        0.25
        """
        with torch.no_grad():
            before = self._climb()
        self.zero_grad()
        try:
            yield
            self._second_taken = True
        finally:
            with torch.no_grad():
                for param, value in before:
                    param.copy_(value)

    def _climb(self) -> list[tuple[Tensor, Tensor]]:
        """Move to ``theta + e``; returns the parameters that moved and what they were."""
        moved = [
            (group, param, param.grad)
            for group in self.param_groups
            for param in group["params"]
            if param.grad is not None
        ]
        if not moved:
            return []
        scaled = [grad * param.abs() if group["adaptive"] else grad for group, param, grad in moved]
        norms = [torch.linalg.vector_norm(grad, dtype=_wide(grad)).abs().to(moved[0][1].device) for grad in scaled]
        norm = torch.linalg.vector_norm(torch.stack([one.double() for one in norms]))
        before = [(param, param.clone()) for _, param, _ in moved]
        for (group, param, _), grad in zip(moved, scaled, strict=True):
            size = group["rho"] * (-1 if group["maximize"] else 1) / (norm + SMALLEST)
            direction = grad * param.abs() if group["adaptive"] else grad
            param.add_(direction * size.to(device=grad.device, dtype=_wide(grad)).to(direction.dtype))
        return before


def _wide(tensor: Tensor) -> torch.dtype:
    """The dtype that sums over ``tensor`` are made in."""
    return torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype
