"""Lists of what may race that contradict each other: found before anything is read or loaded."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from lanewise.settings.names import SOLVER, UNSCHEDULED, UNSMOOTH

GRADIENT = ("mlp", "linear")
"""The families that optimizers train."""

SHAPES = ("widths", "depths", "activations")
"""Lists of what networks alone have."""


def conflicts(lists: Mapping[str, Collection[Any]], *, scaling: str = "auto") -> Iterator[str]:
    """A line, beginning with its name, for each list of ``lists`` that nothing which races can heed.

    ``lists`` hold all of :data:`lanewise.settings.names.LISTS`; an empty one was not stated. So with a ``scaling``
    other than ``auto``.

    >>> none = dict.fromkeys(("losses", "schedules", "widths", "depths", "activations"), ())
    >>> for line in conflicts({**none, "models": ["tree"], "optimizers": ["sgd"], "widths": [64]}):
    ...     print(line)
    optimizers are for the models mlp and linear, and only tree take part
    widths are for mlp, and only tree take part
    """
    models, optimizers = lists["models"], set(lists["optimizers"])
    families = [name for name in GRADIENT if name in models]
    only = f"and only {', '.join(map(str, models))} take part"
    stated = [name for name in ("optimizers", "losses", "schedules") if lists[name]]
    if not families:
        yield from (f"{name} are for the models mlp and linear, {only}" for name in stated)
        if scaling != "auto":
            yield f"scaling is for the models mlp and linear, {only}"
    elif optimizers == {SOLVER} and families == ["mlp"]:
        yield f"optimizers must name one for mlp, such as adamw: {SOLVER} is for the model linear"
    elif optimizers == {SOLVER} and lists["losses"] and UNSMOOTH.issuperset(lists["losses"]):
        losses = " and ".join(lists["losses"])
        yield (
            f"optimizers must name a rule, such as sgd, or losses one that is smooth, such as squared_hinge: {SOLVER} "
            f"needs a smooth loss, and {losses} is none"
        )
    if families and optimizers and {*lists["schedules"]} - {"constant"}:
        yield from _unscheduled(optimizers)
    for name in SHAPES:
        if lists[name] and "mlp" not in models:
            yield f"{name} are for mlp, {only}"
        elif lists[name] and optimizers == {SOLVER}:
            yield f"{name} are for mlp, which {SOLVER} does not train; name another optimizer too, such as adamw"


def roles_twice(roles: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each column that has two roles, given as pairs of a role and a name, which contradict each other.

    >>> print(*roles_twice([("target", "y"), ("drop", "y"), ("weight", "w"), ("drop", "t"), ("time", "t")]))
    drop names 'y', which target names too; a column can be one of the two
    """
    taken: dict[str, str] = {}
    for role, name in roles:
        # Time may order the rows and be dropped or kept as a feature; no other role goes with a second one.
        if role == "time" and taken.get(name) in ("drop", "keep"):
            continue
        if taken.get(name, role) != role:
            yield f"{role} names {name!r}, which {taken[name]} names too; a column can be one of the two"
        taken.setdefault(name, role)


def _unscheduled(optimizers: set[Any]) -> Iterator[str]:
    """That none of the optimizers follows a schedule."""
    if not optimizers <= {SOLVER, *UNSCHEDULED}:
        return
    without = " and ".join(sorted(optimizers - {SOLVER}))
    reasons = [f"{SOLVER} has no learning rate"] if SOLVER in optimizers else []
    reasons += [f"the rate of {without} is constant, or found by itself"] if without else []
    said = ", and ".join(reasons)
    yield f"schedules are for optimizers that follow one, such as adamw: {said}; name another, or leave schedules out"
