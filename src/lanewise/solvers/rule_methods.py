"""Every gradient rule of :mod:`lanewise.optim` as a method."""

import math
from collections.abc import Callable

from lanewise.errors import UsageError
from lanewise.optim.registry import RULES
from lanewise.optim.rule import Rule
from lanewise.solvers.descent import Descent
from lanewise.solvers.method import Method
from lanewise.solvers.outcome import Outcome, Setup, drive
from lanewise.solvers.rule_steps import RuleSteps
from lanewise.solvers.steepest_descent import SteepestDescent

SEARCHED = "gd"
"""The rule whose steps are as long as a line search finds where no learning rate is given."""


def _along(rule: Rule) -> Callable[[Setup], Outcome]:
    def run(setup: Setup) -> Outcome:
        if rule.name == SEARCHED and "lr" not in setup.options:
            search = Descent(direction=SteepestDescent(), low=setup.low, high=setup.high, tolerance=setup.tolerance)
            return drive(search, setup)[0]
        solver = RuleSteps(
            rule=rule,
            hyper={name: _checked(rule, name, value) for name, value in setup.options.items()},
            low=setup.low,
            high=setup.high,
            tolerance=setup.tolerance,
            max_evaluations=setup.max_evaluations,
        )
        return drive(solver, setup)[0]

    return run


def _checked(rule: Rule, name: str, value: object) -> float:
    """A hyper-parameter that the rule can work with, as the drop-ins have it; ``UsageError`` for any other."""
    fraction = name.rstrip("123") == "beta"
    if isinstance(value, (int, float)) and 0 <= value < (1 if fraction else math.inf):
        return float(value)
    allowed = "at least 0 and below 1" if fraction else "a finite number, at least 0"
    message = f"{rule.name}: {name} must be {allowed}, got {value!r}"
    raise UsageError(message)


def rule_method(rule: Rule) -> Method:
    """A rule as a method; its hyper-parameters, weight decay excepted, are the options.

    >>> rule_method(RULES["momentum"]).options
    ('lr', 'momentum')
    """
    options = tuple(hyper.name for hyper in rule.hypers if hyper.name != "weight_decay")
    words = f"takes the steps of the rule {rule.name} at a constant rate"
    if rule.name == SEARCHED:
        words += ", or, without one, as long as a line search finds"
    return Method(name=rule.name, words=words, run=_along(rule), options=options)


RULE_METHODS = tuple(rule_method(rule) for rule in RULES.values())
