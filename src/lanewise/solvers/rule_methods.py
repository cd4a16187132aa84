"""Every gradient rule of :mod:`lanewise.optim` as a method."""

from collections.abc import Callable

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
            hyper={name: float(value) for name, value in setup.options.items()},
            low=setup.low,
            high=setup.high,
            tolerance=setup.tolerance,
            max_evaluations=setup.max_evaluations,
        )
        return drive(solver, setup)[0]

    return run


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
