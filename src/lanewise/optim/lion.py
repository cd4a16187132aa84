"""Lion: the sign of an interpolated momentum (Chen et al. 2023)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.rule import HyperValues, Rule, Slot, State

LION_RATE = Hyper(name="lr", default=1e-4, low=1e-5, high=1e-2, scale="log", words="length of every step")
BETA1 = Hyper(name="beta1", default=0.9, low=0.8, high=0.99, words="share of the momentum in the direction")
BETA2 = Hyper(name="beta2", default=0.99, low=0.9, high=0.999, words="memory of the momentum")
LION_DECAY = Hyper(
    name="weight_decay", default=0.0, low=1e-3, high=1.0, scale="log", words="decoupled weight decay, multiplied by lr"
)


@final
class LionRule(Rule):
    """``theta <- theta - lr sign(b1 m + (1-b1) g)``; then ``m <- b2 m + (1-b2) g``.

    Every coordinate moves by lr, so lr is 3 to 10 times smaller than Adam's and the decay that much larger. The decay
    is decoupled and multiplied by lr, as in the paper. One slot, against two of Adam.
    """

    name: ClassVar[str] = "lion"
    hypers: ClassVar[tuple[Hyper, ...]] = (LION_RATE, BETA1, BETA2, LION_DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean"),)
    decay = "decoupled"
    proximal: ClassVar[bool] = False  # a sign outweighs any smaller penalty: weights would rest elsewhere

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        mean = state["mean"]
        params.add_(mean.lerp(grads, 1 - hyper["beta1"]).sign_(), -hyper["lr"])
        mean.lerp_(grads, 1 - hyper["beta2"])


@final
class Lion(DropIn):
    """Lion: ``theta <- theta - lr sign(b1 m + (1-b1) g)``; ``m <- b2 m + (1-b2) g`` (:class:`LionRule`).

    ``betas`` are b1 and b2. ``weight_decay`` is decoupled and multiplied by lr, as in the paper.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = Lion([weight], lr=0.5)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> weight.tolist()
    [0.5, -99.5]

    Chen et al. 2023, "Symbolic discovery of optimization algorithms": eta is ``lr``, lambda is ``weight_decay``.
    """

    rule = LionRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize, capturable=capturable
        )
