"""Optimizers for a PyTorch training loop: ``lanewise.optim.NAME(params, lr=...)``, each a ``torch.optim.Optimizer``.

They run the same rules as the lanes of a race (:mod:`lanewise.optim.rule`). With them: schedules
(:mod:`lanewise.optim.schedules`), adaptive clipping, accumulation of gradients, averaged weights, and leaving out
updates that are not finite, for any optimizer of PyTorch. Importing this loads torch and nothing else of weight.

See ``docs/methods`` for a page on each: formula, picture, when to use it, costs and settings.
"""

from typing import TYPE_CHECKING, Never

from lanewise.errors import suggestion
from lanewise.optim import schedules
from lanewise.optim.accumulation import Accumulation
from lanewise.optim.adadelta import Adadelta
from lanewise.optim.adafactor import Adafactor
from lanewise.optim.adagrad import Adagrad
from lanewise.optim.adam import Adam
from lanewise.optim.adamax import Adamax
from lanewise.optim.adamw import AdamW
from lanewise.optim.ademamix import AdEMAMix
from lanewise.optim.amsgrad import AMSGrad
from lanewise.optim.asgd import ASGD
from lanewise.optim.clipping import clip_grad_adaptive_
from lanewise.optim.dog import DoG
from lanewise.optim.ema import EMA
from lanewise.optim.gd import GradientDescent
from lanewise.optim.lion import Lion
from lanewise.optim.momentum import Momentum
from lanewise.optim.muon import Muon
from lanewise.optim.nadam import NAdam
from lanewise.optim.nadamw import NAdamW
from lanewise.optim.nesterov import Nesterov
from lanewise.optim.polyak import PolyakSGD
from lanewise.optim.prodigy import Prodigy
from lanewise.optim.radam import RAdam
from lanewise.optim.rmsprop import RMSprop
from lanewise.optim.rprop import Rprop
from lanewise.optim.sam import SAM
from lanewise.optim.schedule_free_adamw import ScheduleFreeAdamW
from lanewise.optim.schedule_free_sgd import ScheduleFreeSGD
from lanewise.optim.sgd import SGD
from lanewise.optim.sgld import SGLD
from lanewise.optim.shampoo import Shampoo
from lanewise.optim.skipping import SkipNonFinite
from lanewise.optim.soap import SOAP

__all__ = [
    "ASGD",
    "EMA",
    "SAM",
    "SGD",
    "SGLD",
    "SOAP",
    "AMSGrad",
    "Accumulation",
    "AdEMAMix",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "DoG",
    "GradientDescent",
    "Lion",
    "Momentum",
    "Muon",
    "NAdam",
    "NAdamW",
    "Nesterov",
    "PolyakSGD",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
    "SkipNonFinite",
    "clip_grad_adaptive_",
    "schedules",
]

_CLOSURES = (
    "it asks for the loss where it wants it, and a drop-in is handed gradients: lanewise.minimize(loss, weights, "
    "method='lbfgs') takes a function of the weights; torch.optim.LBFGS takes closures (docs/methods/lbfgs.md)"
)

if not TYPE_CHECKING:  # where every name would be one

    def __getattr__(name: str) -> Never:
        hint = _CLOSURES if name.lower() == "lbfgs" else suggestion(name, __all__, place="lanewise.optim.__all__")
        message = f"lanewise.optim has no {name!r}; {hint}"
        raise AttributeError(message)
