"""Lanewise: train every candidate at once, lane by lane, and keep the one that wins.

The names below are loaded when they are first used, so that ``import lanewise`` takes no time:

========================  ============================================================
``fit``, ``resume``       from a table to a :class:`Fit`; go on with a run that was stopped
``load``                  a finished run as a :class:`Fit`
``tune``                  the race for your own ``torch.nn.Module``, as a :class:`TuneResult`
``train``                 one model with one optimizer, on one device or split over many, as a
                          :class:`TrainResult`; ``Outer`` says what ranks make of their averaged weights
``table_rows``            rows of Parquet and Arrow files for it that stay on disk, as :class:`TableRows`
``find_rate``             the learning rate for it, from one curve, as a :class:`RateFinding`
``find_batch``            the batch size for it, by throughput, as a :class:`BatchFinding`
``LanewiseClassifier``    scikit-learn estimators: the same race for arrays and pipelines
``LanewiseRegressor``
``minimize``              a function, bounds and constraints in, a :class:`Solution` out; ``Equality``
                          and ``Inequality`` state constraints
``LanewiseError``         the base of all errors raised on purpose, see :mod:`lanewise.errors`
========================  ============================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING

from lanewise._version import __version__
from lanewise.errors import (
    ConfigError,
    DataError,
    Interrupted,
    LanewiseError,
    StoreError,
    TrainingError,
    UsageError,
    UserError,
)

if TYPE_CHECKING:
    from lanewise.distributed.outer import Outer
    from lanewise.estimators import LanewiseClassifier, LanewiseRegressor
    from lanewise.fitting.experiment import fit
    from lanewise.fitting.finished import Fit, load
    from lanewise.one_model import TrainResult, train
    from lanewise.resuming import repeat, resume
    from lanewise.solvers.constraints import Equality, Inequality
    from lanewise.solvers.minimizing import minimize
    from lanewise.solvers.solution import Solution
    from lanewise.tuning import (
        BatchFinding,
        RateFinding,
        TableRows,
        TuneResult,
        find_batch,
        find_rate,
        table_rows,
        tune,
    )

__all__ = [
    "BatchFinding",
    "ConfigError",
    "DataError",
    "Equality",
    "Fit",
    "Inequality",
    "Interrupted",
    "LanewiseClassifier",
    "LanewiseError",
    "LanewiseRegressor",
    "Outer",
    "RateFinding",
    "Solution",
    "StoreError",
    "TableRows",
    "TrainResult",
    "TrainingError",
    "TuneResult",
    "UsageError",
    "UserError",
    "__version__",
    "find_batch",
    "find_rate",
    "fit",
    "load",
    "minimize",
    "repeat",
    "resume",
    "table_rows",
    "train",
    "tune",
]

_HOMES = {
    "BatchFinding": "lanewise.tuning",
    "Equality": "lanewise.solvers.constraints",
    "Fit": "lanewise.fitting.finished",
    "Inequality": "lanewise.solvers.constraints",
    "LanewiseClassifier": "lanewise.estimators",
    "LanewiseRegressor": "lanewise.estimators",
    "Outer": "lanewise.distributed.outer",
    "RateFinding": "lanewise.tuning",
    "Solution": "lanewise.solvers.solution",
    "TableRows": "lanewise.tuning",
    "TrainResult": "lanewise.one_model",
    "TuneResult": "lanewise.tuning",
    "find_batch": "lanewise.tuning",
    "find_rate": "lanewise.tuning",
    "fit": "lanewise.fitting.experiment",
    "load": "lanewise.fitting.finished",
    "minimize": "lanewise.solvers.minimizing",
    "repeat": "lanewise.resuming",
    "resume": "lanewise.resuming",
    "table_rows": "lanewise.tuning",
    "train": "lanewise.one_model",
    "tune": "lanewise.tuning",
}
"""Where the names are that load torch or scikit-learn, which take seconds."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
