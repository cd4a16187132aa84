"""The rules of a tuning race as optimizers for the user's own loop."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim.optimizer import ParamsT

from lanewise import optim
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.models.groups import Groups, grouped
from lanewise.optim.drop_in import DropIn
from lanewise.optim.registry import RULES
from lanewise.optim.settings import check_settings

PAIRED = {"beta1", "beta2"}
"""Hyper-parameters that a drop-in takes together, as ``betas``."""


def _takes_all(kind: type[DropIn]) -> bool:
    """Whether every hyper-parameter of the rule is an argument of its own, or one of ``betas``."""
    known = set(inspect.signature(kind).parameters)
    known |= PAIRED if "betas" in known else set()
    return {hyper.name for hyper in kind.rule.hypers} <= known


DROP_INS: dict[str, type[DropIn]] = {
    own.rule.name: own
    for own in (getattr(optim, name) for name in optim.__all__)
    if isinstance(own, type) and issubclass(own, DropIn) and own is not optim.SAM and _takes_all(own)
}
"""By the name of the rule; SAM asks for two gradients a step, which lanes do not take."""

SCALED = ("lr", "weight_decay")
"""What the factors of a group of parameters multiply."""

RACED = tuple(name for name, rule in RULES.items() if name in DROP_INS and not rule.full_batch and not rule.draws)
"""The optimizers that a tuning race offers: those that it can hand over, except the one that reads all rows a step.

A rule that draws noise samples rather than trains, and its draws in a loop of the user's own would be others.
"""


def check_settings_of(optimizer: str, settings: Mapping[str, Any]) -> None:
    """``UsageError`` for a setting that the optimizer could not be handed over with, such as a beta of 1.

    >>> check_settings_of("adamw", {"beta2": 1.0})
    Traceback (most recent call last):
    lanewise.errors.UsageError: AdamW: beta2 must be at least 0 and below 1, got 1.0
    """
    kind = DROP_INS[optimizer]
    check_settings(kind, settings, fractions=kind.fractions, counts=kind.counts)


def steady_rate(candidate: Candidate) -> float:
    """The learning rate of the candidate, schedule apart: lower than stated if it had diverged and was slowed down."""
    return candidate.number("lr") * math.prod(event.rate_factor for event in candidate.events if event.rewinds)


def drop_in(candidate: Candidate, params: ParamsT | nn.Module, *, groups: Groups | None = None) -> DropIn:
    """The candidate's rule with its settings over ``params``, at the :func:`steady_rate` from the start.

    The parameters of a module are in its ``groups``. Raises ``UsageError`` where there are groups, and no module.
    """
    kind = DROP_INS[candidate.optimizer]
    names = {hyper.name for hyper in kind.rule.hypers}
    settings: dict[str, Any] = {name: candidate.settings[name] for name in names - PAIRED}
    settings["lr"] = steady_rate(candidate)
    if names >= PAIRED:
        settings["betas"] = (candidate.number("beta1"), candidate.number("beta2"))
    if isinstance(params, nn.Module):
        return kind(
            grouped(groups, params, **{name: settings[name] for name in SCALED if name in settings}), **settings
        )
    if groups is not None:
        message = "the race had groups of parameters; give the module, so that its parameters are in the same groups"
        raise UsageError(message)
    return kind(params, **settings)
