"""Every exception that Lanewise raises on purpose.

::

    LanewiseError                 exit code 3
    |-- UserError (ValueError)    exit code 2: something given was not usable
    |   |-- UsageError            an option or argument
    |   |-- ConfigError           a setting or configuration file
    |   `-- DataError             a file, a column, a row
    |-- TrainingError             every lane of a race was lost
    |-- StoreError                the run store or a model file failed or was damaged
    |   `-- UnavailableError      exit code 2: the folder for runs is not usable, or a run is at work elsewhere
    `-- Interrupted               Ctrl-C or SIGTERM; exit code 130, partial results kept

A message says what was given, what is allowed, and what to do; it never needs a traceback.
"""

from typing import ClassVar


class LanewiseError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 3


class UserError(LanewiseError, ValueError):
    """Something the user gave is not usable."""

    exit_code: ClassVar[int] = 2


class UsageError(UserError):
    """An option or an argument is off."""


class ConfigError(UserError):
    """A setting or a configuration file is off."""


class DataError(UserError):
    """A file, a column or a row is not usable."""


class TrainingError(LanewiseError):
    """Training could not give any usable lane."""


class StoreError(LanewiseError):
    """The run store or a model file failed or is damaged."""


class UnavailableError(StoreError):
    """Nothing failed: the folder for runs cannot be used, or another process works on the run."""

    exit_code: ClassVar[int] = 2


class Interrupted(LanewiseError):
    """The run was stopped by Ctrl-C or SIGTERM; what it had is kept."""

    exit_code: ClassVar[int] = 130
