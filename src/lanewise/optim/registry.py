"""Every rule by name."""

from lanewise.errors import UsageError, suggestion
from lanewise.optim.adadelta import AdadeltaRule
from lanewise.optim.adafactor import AdafactorRule
from lanewise.optim.adagrad import AdagradRule
from lanewise.optim.adam import AdamRule, AMSGradRule
from lanewise.optim.adamax import AdamaxRule
from lanewise.optim.adamw import AdamWRule, AMSGradWRule
from lanewise.optim.ademamix import AdEMAMixRule
from lanewise.optim.asgd import ASGDRule
from lanewise.optim.dog import DoGRule
from lanewise.optim.gd import GradientDescentRule
from lanewise.optim.lion import LionRule
from lanewise.optim.momentum import DampenedMomentumRule, MomentumRule
from lanewise.optim.muon import MuonRule
from lanewise.optim.nadam import NAdamRule, NAdamWRule
from lanewise.optim.nesterov import NesterovRule
from lanewise.optim.polyak import PolyakRule
from lanewise.optim.prodigy import ProdigyRule
from lanewise.optim.radam import RAdamRule, RAdamWRule
from lanewise.optim.rmsprop import CentredRMSpropMomentumRule, CentredRMSpropRule, RMSpropMomentumRule, RMSpropRule
from lanewise.optim.rprop import RpropRule
from lanewise.optim.rule import Rule
from lanewise.optim.schedule_free_adamw import ScheduleFreeAdamWRule
from lanewise.optim.schedule_free_sgd import ScheduleFreeSGDRule
from lanewise.optim.sgd import SGDRule
from lanewise.optim.sgld import LangevinRule
from lanewise.optim.shampoo import ShampooRule
from lanewise.optim.soap import SOAPRule

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        GradientDescentRule(),
        SGDRule(),
        MomentumRule(),
        NesterovRule(),
        RMSpropRule(),
        AdamRule(),
        AdamWRule(),
        LionRule(),
        MuonRule(),
        ScheduleFreeAdamWRule(),
        DoGRule(),
        DampenedMomentumRule(),
        RMSpropMomentumRule(),
        CentredRMSpropRule(),
        CentredRMSpropMomentumRule(),
        AdagradRule(),
        AdadeltaRule(),
        RpropRule(),
        AMSGradRule(),
        AMSGradWRule(),
        AdamaxRule(),
        NAdamRule(),
        NAdamWRule(),
        RAdamRule(),
        RAdamWRule(),
        ASGDRule(),
        PolyakRule(),
        ScheduleFreeSGDRule(),
        AdEMAMixRule(),
        ProdigyRule(),
        AdafactorRule(),
        LangevinRule(),
        ShampooRule(),
        SOAPRule(),
    )
}


def rule(name: str) -> Rule:
    """The rule of that name.

    >>> [slot.name for slot in rule("adamw").slots]
    ['mean', 'mean_square']
    """
    if name not in RULES:
        message = f"there is no optimizer {name!r}; {suggestion(name, RULES, place='lanewise.optim.registry.RULES')}"
        raise UsageError(message)
    return RULES[name]
