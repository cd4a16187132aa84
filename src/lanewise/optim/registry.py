"""Every rule by name."""

from lanewise.errors import UsageError
from lanewise.optim.adam import Adam
from lanewise.optim.adamw import AdamW
from lanewise.optim.gd import GradientDescent
from lanewise.optim.momentum import Momentum
from lanewise.optim.nesterov import Nesterov
from lanewise.optim.rmsprop import RMSprop
from lanewise.optim.rule import Rule
from lanewise.optim.sgd import SGD

RULES: dict[str, Rule] = {
    rule.name: rule for rule in (GradientDescent(), SGD(), Momentum(), Nesterov(), RMSprop(), Adam(), AdamW())
}


def rule(name: str) -> Rule:
    """The rule of that name.

    >>> rule("adamw").slots
    ('mean', 'mean_square')
    """
    if name not in RULES:
        message = f"there is no optimizer {name!r}; there are {', '.join(sorted(RULES))}"
        raise UsageError(message)
    return RULES[name]
