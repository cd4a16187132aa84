"""Conformance checks for rules, models, policies and solvers, for ours and for those of third parties.

Each check takes an implementation and raises ``AssertionError`` with a sentence where it breaks its contract::

    from lanewise.testing import check_rule
    check_rule(MyRule())
"""

from lanewise.testing.models import check_stacked_model
from lanewise.testing.policies import check_policy
from lanewise.testing.rules import check_rule
from lanewise.testing.solvers import check_solver

__all__ = ["check_policy", "check_rule", "check_solver", "check_stacked_model"]
