"""NAdamW: NAdam with decoupled weight decay."""

from typing import final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.optim.drop_in import DropIn
from lanewise.optim.nadam import NAdamWRule


@final
class NAdamW(DropIn):
    """NAdamW: ``theta <- (1 - lr weight_decay) theta``, then the step of :class:`NAdam` (:class:`NAdamWRule`).

    The same as ``NAdam(decoupled_weight_decay=True)``. ``betas``, ``eps`` and ``momentum_decay`` as there;
    ``weight_decay`` is multiplied by lr, schedule included.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = NAdamW([weight], lr=0.1, weight_decay=0.1, momentum_decay=0.0)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]
    [0.8844, -98.8944]

    Dozat 2016, "Incorporating Nesterov momentum into Adam"; Loshchilov & Hutter 2019, "Decoupled weight decay
    regularization".
    """

    rule = NAdamWRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        momentum_decay: float = 4e-3,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            maximize=maximize,
            capturable=capturable,
        )
