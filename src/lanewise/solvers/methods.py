"""Every method of :func:`lanewise.minimize` by name."""

from lanewise.errors import UsageError, suggestion
from lanewise.solvers.cmaes_method import CMAES
from lanewise.solvers.method import Method
from lanewise.solvers.rule_methods import RULE_METHODS
from lanewise.solvers.scipy_methods import SCIPY_METHODS
from lanewise.solvers.search_methods import SEARCH_METHODS
from lanewise.solvers.smooth_methods import SMOOTH_METHODS

METHODS: dict[str, Method] = {
    method.name: method for method in (*SMOOTH_METHODS, *SEARCH_METHODS, *SCIPY_METHODS, CMAES, *RULE_METHODS)
}


def find_method(name: str) -> Method:
    """The method of that name; raises ``UsageError`` with the nearest names if there is none.

    >>> find_method("bfgs").derivatives
    1
    """
    if name not in METHODS:
        hint = suggestion(name, ["auto", *METHODS], place="lanewise.solvers.methods.METHODS")
        message = f"there is no method {name!r}; {hint}"
        raise UsageError(message)
    return METHODS[name]
