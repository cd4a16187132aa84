"""Optimizers for a PyTorch training loop: ``lanewise.optim.NAME(params, lr=...)``, each a ``torch.optim.Optimizer``.

They run the same rules as the lanes of a race (:mod:`lanewise.optim.rule`). Importing this loads torch and nothing
else of weight.
"""

from lanewise.optim.adafactor import Adafactor
from lanewise.optim.adam import Adam
from lanewise.optim.adamw import AdamW
from lanewise.optim.ademamix import AdEMAMix
from lanewise.optim.dog import DoG
from lanewise.optim.gd import GradientDescent
from lanewise.optim.lion import Lion
from lanewise.optim.momentum import Momentum
from lanewise.optim.muon import Muon
from lanewise.optim.nesterov import Nesterov
from lanewise.optim.prodigy import Prodigy
from lanewise.optim.rmsprop import RMSprop
from lanewise.optim.sam import SAM
from lanewise.optim.schedule_free_adamw import ScheduleFreeAdamW
from lanewise.optim.schedule_free_sgd import ScheduleFreeSGD
from lanewise.optim.sgd import SGD
from lanewise.optim.sgld import SGLD
from lanewise.optim.shampoo import Shampoo
from lanewise.optim.soap import SOAP

__all__ = [
    "SAM",
    "SGD",
    "SGLD",
    "SOAP",
    "AdEMAMix",
    "Adafactor",
    "Adam",
    "AdamW",
    "DoG",
    "GradientDescent",
    "Lion",
    "Momentum",
    "Muon",
    "Nesterov",
    "Prodigy",
    "RMSprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
]
