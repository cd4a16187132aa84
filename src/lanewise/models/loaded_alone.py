"""Packages of trees, imported without those that they only offer themselves to.

It is for processes that run nobody else's code: LightGBM that was imported so has no estimators for anybody.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, final

OFFERED = ("pandas", "pyarrow", "matplotlib", "graphviz", "dask")
"""What LightGBM and scikit-learn load only to offer pictures, and to take tables of others."""

PARTLY_USED = ("scipy.stats", "sklearn.neighbors")
"""What scikit-learn's trees load as a whole, for one part of it or for none."""


def load_lightgbm() -> None:
    """Import LightGBM alone, without its estimators, in 0.3 s instead of 1.6 s."""
    load_alone("lightgbm", ("sklearn", *OFFERED))


def load_trees() -> None:
    """Import scikit-learn's single trees alone, and what the first of them loads, in 0.5 s instead of 1.7 s."""
    with _without((*OFFERED, "rich")):  # that is for bars of progress
        _import("sklearn.tree", PARTLY_USED)
        from sklearn.tree import DecisionTreeRegressor

        DecisionTreeRegressor(random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])


def load_alone(module: str, without: Iterable[str], *, bare: Iterable[str] = ()) -> None:
    """Import ``module`` as where none of ``without`` is installed.

    Of the packages ``bare`` only those modules are loaded that it imports by name, unless that does not suffice it.
    """
    with _without(without):
        _import(module, bare)


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]  # Python's word for a module that is not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _import(module: str, bare: Iterable[str]) -> None:
    standing: list[str] = []
    try:
        with suppress(ImportError, AttributeError):  # where something is wrong it is said below
            for name in bare:
                if name not in sys.modules:
                    sys.modules[name] = _Bare(name)
                    standing.append(name)
            import_module(module)
    finally:
        for name in standing:
            del sys.modules[name]
    import_module(module)


@final
class _Bare(ModuleType):
    """A package that has not been run: its modules can be imported; it has names of its own once nothing stands in."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        found = PathFinder.find_spec(name, import_module(name.rpartition(".")[0]).__path__)
        self.__path__ = [] if found is None else list(found.submodule_search_locations or ())

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            message = f"{self.__name__} has not been run"
            raise AttributeError(message)
        return getattr(import_module(self.__name__), name)
