"""Optimizers for a PyTorch training loop: ``lanewise.optim.NAME(params, lr=...)``, each a ``torch.optim.Optimizer``.

They run the same rules as the lanes of a race (:mod:`lanewise.optim.rule`). Importing this loads torch and nothing
else of weight.
"""

from lanewise.optim.adam import Adam
from lanewise.optim.adamw import AdamW
from lanewise.optim.gd import GradientDescent
from lanewise.optim.momentum import Momentum
from lanewise.optim.nesterov import Nesterov
from lanewise.optim.rmsprop import RMSprop
from lanewise.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "GradientDescent",
    "Momentum",
    "Nesterov",
    "RMSprop",
]
