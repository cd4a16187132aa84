"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import ADAM_RATE, BETA1, BETA2, EPSILON, AdamRule, AMSGradRule
from lanewise.optim.drop_in import DropIn
from lanewise.optim.rule import DECOUPLED_DECAY, Rule, Slot


class AdamWRule(AdamRule):
    """``theta <- (1 - lr weight_decay) theta``, then Adam's step.

    torch's convention: the decay is multiplied by lr, schedule included; in the paper it is not.
    """

    name: ClassVar[str] = "adamw"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAM_RATE, BETA1, BETA2, EPSILON, DECOUPLED_DECAY)
    decay = "decoupled"


@final
class AMSGradWRule(AdamWRule):
    """``theta <- (1 - lr weight_decay) theta``, then the step of :class:`AMSGradRule`."""

    name: ClassVar[str] = "amsgradw"
    slots: ClassVar[tuple[Slot, ...]] = AMSGradRule.slots
    amsgrad: ClassVar[bool] = True


@final
class AdamW(DropIn):
    """AdamW: ``theta <- (1 - lr weight_decay) theta``, then the step of :class:`Adam` (:class:`AdamWRule`).

    ``betas`` and ``eps`` as for :class:`Adam`. ``weight_decay`` is multiplied by lr, schedule included: torch's
    convention; in the paper it is multiplied by the schedule alone. With ``amsgrad`` the largest mean square so far
    counts, as in :class:`AMSGrad`.
    ``foreach`` and ``fused`` choose between implementations in torch, and are ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = AdamW([weight], lr=0.1, weight_decay=0.1)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]
    [0.89, -98.9]

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
    """

    rule = AdamWRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        amsgrad: bool = False,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        del foreach, fused  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _AMSGRAD if group["amsgrad"] else self.rule


_AMSGRAD = AMSGradWRule()
