"""Every exception that Lanewise raises on purpose.

::

    LanewiseError                 exit code 3
    |-- UserError (ValueError)    exit code 2: something given was not usable
    |   |-- UsageError            an option or argument
    |   |   |-- UnreachableError  this process could not meet the other ranks of its job
    |   |   `-- AlreadyDone       the run to be resumed is done; the command says so with exit code 0
    |   |-- ConfigError           a setting or configuration file
    |   `-- DataError             a file, a column, a row
    |-- TrainingError             every lane of a race was lost
    |   `-- CutOffError           this process was cut off from the other ranks of its job
    |       `-- LeaderLostError   the first of them, which speaks for all, gives no sign of life
    |-- StoreError                the run store or a model file failed or was damaged
    |   `-- UnavailableError      exit code 2: the folder for runs is not usable, or a run is at work elsewhere
    `-- Interrupted               Ctrl-C or SIGTERM; exit code 130, partial results kept

A message says what was given, what is allowed, and what to do; it never needs a traceback.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches
from typing import ClassVar, ParamSpec, TypeVar, final

FEW = 12
"""So many names are listed in a message; of more, the place is named that lists them."""


Failure = TypeVar("Failure", bound="LanewiseError")
Given = ParamSpec("Given")
Found = TypeVar("Found")


class LanewiseError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 3
    mistakes: tuple[str, ...] = ()
    """Where the message has a heading: the mistakes beneath it, a line each."""

    @property
    def lines(self) -> int:
        """How many lines the message has."""
        return 1 + len(self.mistakes)


class UserError(LanewiseError, ValueError):
    """Something the user gave is not usable."""

    exit_code: ClassVar[int] = 2


class UsageError(UserError):
    """An option or an argument is off."""


class UnreachableError(UsageError):
    """This process could not meet the other ranks, so each host says it for itself."""


class AlreadyDone(UsageError):
    """Nothing is left to go on with: the ``run`` is done."""

    def __init__(self, message: str, *, run: str = "") -> None:  # a copy, and one of another rank, gets it afterwards
        super().__init__(message)
        self.run = run


class ConfigError(UserError):
    """A setting or a configuration file is off."""


class DataError(UserError):
    """A file, a column or a row is not usable."""


class TrainingError(LanewiseError):
    """Training could not give any usable lane."""


class CutOffError(TrainingError):
    """This process reaches the other ranks no more, so each host says it for itself."""


class LeaderLostError(CutOffError):
    """It is rank 0 that gives no sign of life, which would speak for all: the next one does."""


class StoreError(LanewiseError):
    """The run store or a model file failed or is damaged."""


class UnavailableError(StoreError):
    """Nothing failed: the folder for runs cannot be used, or another process works on the run."""

    exit_code: ClassVar[int] = 2


class Interrupted(LanewiseError):
    """The run was stopped by Ctrl-C or SIGTERM; what it had is kept."""

    exit_code: ClassVar[int] = 130


def all_of(kind: type[Failure], mistakes: Sequence[str], *, heading: str) -> Failure:
    """One error for all ``mistakes``: of one its words, of several the ``heading`` and a line for each.

    >>> print(all_of(UsageError, ["--folds must be ...", "--seed must be ..."], heading="2 settings are off"))
    2 settings are off:
      --folds must be ...
      --seed must be ...
    """
    if len(mistakes) == 1:
        return kind(mistakes[0])
    error = kind("\n  ".join([f"{heading}:", *mistakes]))
    error.mistakes = tuple(mistakes)
    return error


@final
class Mistakes:
    """What several checks refuse, gathered so that all of it is told at once.

    >>> def whole(name, value):
    ...     if value != int(value):
    ...         raise UsageError(f"{name} must be whole, got {value}")
    ...     return int(value)
    >>> mistakes = Mistakes()
    >>> mistakes.of(whole, "folds", 3.0)
    3
    >>> mistakes.of(whole, "seeds", 1.5)
    >>> mistakes.tell()
    Traceback (most recent call last):
    lanewise.errors.UsageError: seeds must be whole, got 1.5
    """

    def __init__(self, kind: type[UserError] = UsageError, *, what: str = "settings") -> None:
        """Gather errors of that ``kind``; others are not caught. ``what`` is off where there are several."""
        self._kind = kind
        self._what = what
        self._errors: list[UserError] = []

    def of(self, check: Callable[Given, Found], *args: Given.args, **settings: Given.kwargs) -> Found | None:
        """What the check returns; None where it raises an error of the kind, which is kept for :meth:`tell`."""
        try:
            return check(*args, **settings)
        except self._kind as error:
            self._errors.append(error)
            return None

    def add(self, mistake: str) -> None:
        """One more, in words."""
        self._errors.append(UsageError(mistake))

    def __bool__(self) -> bool:
        return bool(self._errors)

    def tell(self) -> None:
        """Raise ``UsageError`` with each mistake once, a line each where there are several; nothing where none.

        An error that is the only one is raised as it came.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        told = dict.fromkeys(line for error in self._errors for line in error.mistakes or [str(error)])
        if told:
            raise all_of(UsageError, list(told), heading=f"{len(told)} {self._what} are off")


def as_given(value: object) -> str:
    """A value as messages show it: functions and classes by their names, others cut.

    >>> as_given(len), as_given(int), as_given("x" * 90)[:4]
    ('the function len', 'the class int', "'xxx")
    """
    name = getattr(value, "__name__", None)
    if name and callable(value):
        return f"the {'class' if isinstance(value, type) else 'function'} {name}"
    return f"{value!r:.80}"


@contextmanager
def unrecorded() -> Iterator[None]:
    """Ctrl-C within the block, before a run is recorded, is ``Interrupted`` and says that nothing was kept."""
    try:
        yield
    except KeyboardInterrupt:
        message = "stopped before a run was recorded: nothing was kept"
        raise Interrupted(message) from None


def closest(name: object, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The names of ``known`` that ``name`` is nearest to, whatever its case; the nearest first, ``most`` at the most.

    >>> closest("ADAN", ["sgd", "adamw", "adam", "lion"])
    ['adam', 'adamw']
    """
    given = str(name).strip().lower()
    by_lower = {one.lower(): one for one in reversed(list(known))}
    near = get_close_matches(given, by_lower, n=3 * most)

    def nearness(one: str) -> tuple[float, int]:  # of equally near ones, those that begin alike
        alike = [one[:length] == given[:length] for length in range(1, len(one) + 1)]
        return SequenceMatcher(None, one, given).ratio(), sum(alike)

    return [by_lower[one] for one in sorted(near, key=nearness, reverse=True)[:most]]


def suggestion(name: object, known: Iterable[str], *, place: str = "", noun: str = "there are", most: int = FEW) -> str:
    """What to say after an unknown name: what may have been meant, and which names there are.

    ``known`` are the names, in the order to list them in; of more than ``most``, ``place`` is said to list them all.
    ``noun`` begins the list.

    >>> suggestion("lineer", ["linear", "mlp"])
    'did you mean linear? There are linear, mlp'
    >>> suggestion("adan", ["adam", "adamw", *map(str, range(20))], place="lanewise fit --help")
    'did you mean adam or adamw? All 22: lanewise fit --help'
    >>> suggestion("zzz", map(str, range(20)))
    'there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more'
    """
    names = list(known)
    rest = len(names) - most
    if rest > 0 and place:
        every = f"all {len(names)}: {place}"
    else:
        every = f"{noun} {', '.join(names[:most])}{f' and {rest} more' if rest > 0 else ''}"
    near = closest(name, names)
    if not near:
        return every
    meant = " or ".join([", ".join(near[:-1]), near[-1]] if len(near) > 1 else near)
    return f"did you mean {meant}? {every[:1].upper()}{every[1:]}"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().split("\n", 1)[0] or "no message"


def first_sentence(error: BaseException) -> str:
    """What an error says before it explains itself, without the full stop.

    >>> first_sentence(RuntimeError("vmap: no .item() here. Please rewrite it."))
    'vmap: no .item() here'
    """
    return first_line(error).split(". ", 1)[0].rstrip(".")
