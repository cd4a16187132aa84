"""Every method of :func:`lanewise.minimize` by name."""

from collections.abc import Iterable, Iterator

from lanewise.errors import closest
from lanewise.solvers.cmaes_method import CMAES
from lanewise.solvers.method import Method
from lanewise.solvers.rule_methods import RULE_METHODS
from lanewise.solvers.scipy_methods import SCIPY_METHODS
from lanewise.solvers.search_methods import SEARCH_METHODS
from lanewise.solvers.smooth_methods import SMOOTH_METHODS
from lanewise.solvers.stating import refuse

METHODS: dict[str, Method] = {
    method.name: method for method in (*SMOOTH_METHODS, *SEARCH_METHODS, *SCIPY_METHODS, CMAES, *RULE_METHODS)
}


KIN = {
    "nelder-mead": "cmaes",
    "simplex": "cmaes",
    "powell": "cmaes",
    "cobyla": "augmented-lagrangian",
    "l-bfgs-b": "lbfgs",
    "tnc": "newton-cg",
    "trust-exact": "newton",
    "trust-ncg": "newton-cg",
    "lm": "levenberg-marquardt",
    "trf": "levenberg-marquardt",
    "gradient-descent": "gd",
    "steepest-descent": "gd",
    "conjugate-gradient": "cg",
    "simulated-annealing": "dual-annealing",
    "annealing": "dual-annealing",
    "evolution": "genetic or differential-evolution",
    "pso": "cmaes or genetic",
}
"""What comes nearest to methods that go by another name elsewhere."""


def find_method(name: str) -> Method:
    """The method of that name; raises ``UsageError`` with the nearest names if there is none.

    >>> find_method("bfgs").derivatives
    1
    """
    refuse(unknown_methods([name]))
    return METHODS[name]


def unknown_methods(names: Iterable[str]) -> Iterator[str]:
    """Names of no method, each with the nearest names that there are; the first with where all of them are listed."""
    others = ""
    for name in names:
        if name in METHODS:
            continue
        near = KIN.get(name.lower().replace("_", "-")) or " or ".join(closest(name, ["auto", *METHODS]))
        meant = f"did you mean {near}?" if near else ""
        every = f"{'All' if near else 'all'} {len(METHODS) + 1}: lanewise.solvers.methods.METHODS"
        told = " ".join(part for part in (meant, others or every) if part)
        yield f"there is no method {name!r}; {told}"
        others = "see above"
