"""The arguments of ``minimize`` and ``compare`` as they are stated: what is wrong with them, all of it at once."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

from lanewise.errors import UsageError, all_of, suggestion

ELSEWHERE = {
    "tol": "tolerance",
    "gtol": "tolerance",
    "maxiter": "max_evaluations",
    "max_iter": "max_evaluations",
    "maxfev": "max_evaluations",
    "lr": "options={'lr': ...}",
    "args": "a lambda that fills them in",
    "fprime": "jac",
    "grad": "jac",
    "hessian": "hess",
    "x": "x0",
}
"""What arguments of other libraries are called here."""

WANTED = {
    "jac": (
        "a function of the point that returns the derivatives; where one function returns the value and them, "
        "fun=lambda x: both(x)[0] and jac=lambda x: both(x)[1]; without jac they are found by autograd or differences"
    ),
    "hess": "a function of the point that returns the matrix of second derivatives",
    "callback": "a function of a Step, which stops the search by returning True",
}


def refuse(mistakes: Iterable[str]) -> None:
    """Raise one ``UsageError`` for all ``mistakes``, if there are any.

    >>> refuse(wrong_numbers(starts=0, max_evaluations=None, tolerance=-1.0, seed=0))
    Traceback (most recent call last):
    lanewise.errors.UsageError: 2 arguments are off:
      starts must be a whole number of at least 1, got 0
      tolerance must be zero or more, got -1.0
    """
    told = list(mistakes)
    if told:
        raise all_of(UsageError, told, heading=f"{len(told)} arguments are off")


def unknown_arguments(unknown: Mapping[str, object], function: Callable[..., Any]) -> Iterator[str]:
    """Arguments that ``function`` does not have, with the nearest that it has."""
    names = [one for one, kind in signature(function).parameters.items() if kind.kind is not Parameter.VAR_KEYWORD]
    for name in unknown:
        ours = ELSEWHERE.get(name, "")
        there = " " in ours or ours.partition("=")[0] in names
        hint = f"use {ours}" if there else suggestion(name, names, place=f"help({function.__name__})")
        yield f"{function.__name__} has no argument {name!r}; {hint}"


def wrong_functions(**given: object) -> Iterator[str]:
    """What is to be a function and is none: ``jac=True``, say, as SciPy takes it."""
    for name, value in given.items():
        if value is not None and not callable(value):
            yield f"{name} must be {WANTED[name]}; got {value!r:.80}"


def wrong_statements(method: object, options: object) -> Iterator[str]:
    """A method that is no name, and options that are no dict."""
    if not isinstance(method, str):
        yield f"method must be the name of one, such as 'auto' or 'bfgs', got {method!r:.80}"
    if options is not None and not isinstance(options, Mapping):
        yield f"options must be a dict of the method's settings by name, got {options!r:.80}"


def wrong_numbers(*, starts: object, max_evaluations: object, tolerance: float | None, seed: object) -> Iterator[str]:
    """Counts and tolerances that mean nothing."""
    if not isinstance(seed, int) or seed < 0:
        yield f"seed must be a whole number of at least 0, got {seed!r}"
    for name, value in (("starts", starts), ("max_evaluations", max_evaluations)):
        if name == "max_evaluations" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{name} must be a whole number of at least 1, got {value!r}"
    if tolerance is not None and not tolerance >= 0:
        yield f"tolerance must be zero or more, got {tolerance!r}"


def wrong_comparison(methods: Sequence[str], lr: float | None) -> Iterator[str]:
    """Methods that are none or given twice, and a rate at which nothing moves."""
    if not methods or len(set(methods)) < len(methods):
        yield f"name each method to compare once, got {', '.join(methods) or 'none'}"
    if lr is not None and not 0 < lr < math.inf:
        yield f"lr must be positive, got {lr:g}"
