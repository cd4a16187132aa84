"""Gradient descent on all rows at once (Cauchy 1847)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.optim.drop_in import DropIn
from lanewise.optim.sgd import SGDRule


@final
class GradientDescentRule(SGDRule):
    """``theta <- theta - lr grad``, the gradient being that of all training rows.

    Converges only for lr below 2 / lambda_max of the Hessian, so unscaled features make it diverge.
    """

    name: ClassVar[str] = "gd"
    full_batch: ClassVar[bool] = True


@final
class GradientDescent(DropIn):
    """Gradient descent: ``theta <- theta - lr grad`` (:class:`GradientDescentRule`).

    The same step as :class:`SGD`; that the gradient is the one of all rows is up to the caller.
    ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.tensor(0.0))
    >>> optimizer = GradientDescent([x], lr=0.25)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (x - 3).square().backward()
    ...     optimizer.step()
    >>> x.item()
    2.625

    Cauchy 1847, "Méthode générale pour la résolution des systèmes d'équations simultanées".
    """

    rule = GradientDescentRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, maximize=maximize, capturable=capturable)
