"""Adadelta (Zeiler 2012)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

ADADELTA_RATE = Hyper(name="lr", default=1.0, low=0.03, high=10.0, scale="log", words="factor of Adadelta's own rate")
RHO = Hyper(name="rho", default=0.9, low=0.8, high=0.99, words="memory of the mean squares")
EPSILON = Hyper(name="eps", default=1e-6, words="sets the first step; inside the roots")


@final
class AdadeltaRule(Rule):
    """``v <- rho v + (1-rho) g^2``; ``d = sqrt(u + eps) / sqrt(v + eps) g``; ``theta <- theta - lr d``;
    ``u <- rho u + (1-rho) d^2``.

    The root of the mean square of past steps gives the step its unit, so the paper has no lr; it is 1 here as in torch.
    eps inside both roots is also where steps begin: about ``sqrt(eps / (1-rho))``. ``weight_decay`` is added to the
    gradient. A proximal step uses the rate of the step that follows.
    """

    name: ClassVar[str] = "adadelta"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADADELTA_RATE, RHO, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("mean_square", torch="square_avg"),
        Slot("mean_square_step", torch="acc_delta"),
    )

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        rho, eps = hyper["rho"], hyper["eps"]
        square = state["mean_square"].mul_(rho).addcmul_(grads, grads, 1 - rho)
        root = square.add(eps).sqrt_()
        move = state["mean_square_step"].add(eps).sqrt_().div_(root).mul_(grads)
        state["mean_square_step"].mul_(rho).addcmul_(move, move, 1 - rho)
        params.add_(move, -hyper["lr"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [
            rowwise(hyper["lr"], square)
            * ((steps + rowwise(hyper["eps"], square)) / (square + rowwise(hyper["eps"], square))).sqrt()
            for square, steps in zip(state["mean_square"], state["mean_square_step"], strict=True)
        ]


@final
class Adadelta(DropIn):
    """Adadelta: ``theta <- theta - lr sqrt(u + eps) / sqrt(v + eps) g`` (:class:`AdadeltaRule`).

    v and u are running means of the squared gradients and of the squared steps, with memory ``rho``. ``lr`` multiplies
    the rate that results, and is not in the paper. ``weight_decay`` is added to the gradient as ``weight_decay theta``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for ``rho`` of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([3.0, -40.0]))
    >>> optimizer = Adadelta([weight], rho=0.75, eps=1e-2)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 3) for value in weight.tolist()]  # by sqrt(eps / (1 - rho))
    [2.8, -39.8]

    Zeiler 2012, "ADADELTA: an adaptive learning rate method": E[g^2] is v, E[dx^2] is u.
    """

    rule = AdadeltaRule()
    fractions = ("rho",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable
        )
