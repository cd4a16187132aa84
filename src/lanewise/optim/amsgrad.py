"""AMSGrad: Adam whose rates never rise (Reddi, Kale & Kumar 2018)."""

from typing import final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.optim.adam import AMSGradRule
from lanewise.optim.drop_in import DropIn


@final
class AMSGrad(DropIn):
    """AMSGrad: Adam with the largest mean square so far (:class:`AMSGradRule` has the formula).

    The same as ``Adam(amsgrad=True)``; ``AdamW(amsgrad=True)`` decouples the decay. ``betas`` and ``eps`` as for
    :class:`Adam`; ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = AMSGrad([weight], lr=0.1)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]
    [0.9, -99.9]

    Reddi, Kale & Kumar 2018, "On the convergence of Adam and beyond": alpha_t is ``lr``, v-hat is u.
    """

    rule = AMSGradRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable
        )
