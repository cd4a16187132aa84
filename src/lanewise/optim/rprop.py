"""Rprop, resilient backpropagation (Riedmiller & Braun 1993)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

RPROP_RATE = Hyper(name="lr", default=0.01, low=1e-3, high=0.1, scale="log", words="first step of every weight")
SHRINK = Hyper(name="eta1", default=0.5, low=0.3, high=0.7, words="factor of a step when the gradient turned")
GROW = Hyper(name="eta2", default=1.2, low=1.05, high=1.5, words="factor of a step when it did not")
SMALLEST = Hyper(name="step_size1", default=1e-6, words="the smallest step")
LARGEST = Hyper(name="step_size2", default=50.0, words="the largest step")


@final
class RpropRule(Rule):
    """``theta <- theta - d sign(g)``, each weight having a step d of its own, on all training rows.

    Before it ``d <- eta2 d`` where g has the sign of the gradient before, ``d <- eta1 d`` where it turned, held
    between ``step_size1`` and ``step_size2``. Where it turned the weight rests for a step and its gradient counts
    as zero: the variant that Igel & Hüsken 2003 call iRprop-, which torch has too; the paper takes the last step
    back. d begins at lr, which plays no part later: a schedule does nothing. ``weight_decay`` is added to the
    gradient; torch's has none.
    """

    name: ClassVar[str] = "rprop"
    hypers: ClassVar[tuple[Hyper, ...]] = (RPROP_RATE, SHRINK, GROW, SMALLEST, LARGEST, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("before", torch="prev"), Slot("size", at="lr", torch="step_size"))
    full_batch: ClassVar[bool] = True
    proximal: ClassVar[bool] = False  # a sign outweighs any smaller penalty: weights would rest elsewhere

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        before, size = state["before"], state["size"]
        shrink, grow = hyper["eta1"], hyper["eta2"]
        turn = grads.mul(before).sign_()
        # a parabola through (-1, eta1), (0, 1), (1, eta2)
        factor = turn.mul((shrink + grow) / 2 - 1).add_((grow - shrink) / 2).mul_(turn).add_(1.0)
        size.mul_(factor).clamp_(hyper["step_size1"], hyper["step_size2"])
        before.copy_(grads.map(lambda grad, own: grad.masked_fill(own < 0, 0.0), turn))
        params.addcmul_(before.sign(), size, -1.0)


@final
class Rprop(DropIn):
    """Rprop: ``theta <- theta - d sign(g)``, with a step d for each weight (:class:`RpropRule`).

    For gradients of all rows only: the sign of a noisy gradient says little. ``lr`` is the first step; ``etas`` are the
    factors of d when the gradient turned and when it did not; ``step_sizes`` are the smallest and the largest d.
    ``weight_decay`` is added to the gradient as ``weight_decay theta``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and unless ``0 < etas[0] < 1 < etas[1]``
    and ``step_sizes[0] <= step_sizes[1]``.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = Rprop([weight], lr=0.5, etas=(0.5, 1.5))
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> weight.tolist()
    [-0.25, -98.75]

    Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm":
    eta- and eta+ are ``etas``, Delta_0 is ``lr``, Delta_min and Delta_max are ``step_sizes``.
    """

    rule = RpropRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            etas=etas,
            step_sizes=step_sizes,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
        for group in self.param_groups:
            (shrink, grow), (smallest, largest) = group["etas"], group["step_sizes"]
            if not 0 < shrink < 1 < grow:
                message = f"Rprop: etas must be a factor between 0 and 1 and one above 1, got {group['etas']}"
                raise UsageError(message)
            if smallest > largest:
                message = f"Rprop: step_sizes must be the smallest and the largest, got {group['step_sizes']}"
                raise UsageError(message)
