"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

from typing import ClassVar, final

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import ADAM_RATE, BETA1, BETA2, EPSILON, Adam

DECOUPLED_DECAY = Hyper(
    name="weight_decay",
    default=0.01,
    low=1e-4,
    high=0.3,
    scale="log",
    words="decoupled weight decay, multiplied by lr",
)


@final
class AdamW(Adam):
    """``theta <- (1 - lr weight_decay) theta``, then Adam's step.

    torch's convention: the decay is multiplied by lr, schedule included; in the paper it is not.
    """

    name: ClassVar[str] = "adamw"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAM_RATE, BETA1, BETA2, EPSILON, DECOUPLED_DECAY)
    decoupled_decay: ClassVar[bool] = True
