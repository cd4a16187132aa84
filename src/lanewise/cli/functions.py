"""What a command line names to be minimized: a test function of ours, or a function in a file."""

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanewise.errors import LanewiseError, Mistakes, UsageError, suggestion

if TYPE_CHECKING:
    from lanewise.solvers.landscapes import Landscape

NAMES = ("rosenbrock", "himmelblau", "rastrigin", "beale", "ackley", "booth", "quadratic")
METHODS = (
    "bfgs",
    "lbfgs",
    "cg",
    "newton",
    "newton-cg",
    "gauss-newton",
    "levenberg-marquardt",
    "augmented-lagrangian",
    "proximal-gradient",
    "genetic",
    "grid",
    "random",
    "quasi-random",
    "slsqp",
    "trust-constr",
    "differential-evolution",
    "dual-annealing",
    "cmaes",
    "gd",
    "sgd",
    "momentum",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "lion",
    "muon",
    "schedule_free_adamw",
    "dog",
    "dampened_momentum",
    "rmsprop_momentum",
    "centred_rmsprop",
    "centred_rmsprop_momentum",
    "adagrad",
    "adadelta",
    "rprop",
    "amsgrad",
    "amsgradw",
    "adamax",
    "nadam",
    "nadamw",
    "radam",
    "radamw",
    "asgd",
    "polyak",
    "schedule_free_sgd",
    "ademamix",
    "prodigy",
    "adafactor",
    "sgld",
    "shampoo",
    "soap",
)


def check_target(target: str) -> None:
    """``UsageError`` where neither a test function nor a file is named: said before anything of weight is loaded."""
    file, colon, name = target.rpartition(":")
    if not colon:
        if target in NAMES:
            return
        message = f"there is no test function {target!r}; {suggestion(target, NAMES)}, or name a file.py:function"
        raise UsageError(message)
    if not Path(file).is_file():
        message = f"no file {file}: check the path"
        raise UsageError(message)
    if not name.isidentifier():
        message = f"name a function after the colon, as in {file}:cost; got {name!r}"
        raise UsageError(message)


def read_target(target: str, *, condition: float | None) -> "tuple[Callable[..., Any], Landscape | None]":
    """The function that ``target`` names, and the test function that it is, if it is one of ours."""
    check_target(target)
    if ":" not in target:
        from lanewise.solvers.landscapes import landscape

        found = landscape(target, condition=condition)
        return found.function, found
    if condition is not None:
        message = "--condition is a setting of quadratic; leave it out"
        raise UsageError(message)
    path, _, name = target.rpartition(":")
    return _load(Path(path), name), None


def _load(path: Path, name: str) -> Callable[..., Any]:
    """Run the file as Python would, with the modules beside it within reach, and take the function out of it."""
    file = path.resolve()
    spec = importlib.util.spec_from_file_location(f"lanewise_given_{file.stem}", file)
    if spec is None or spec.loader is None:
        message = f"{path} is no Python file: name a file.py:function"
        raise UsageError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    with told(path):
        try:
            spec.loader.exec_module(module)
        except SyntaxError as error:
            message = f"{path} line {error.lineno} is not valid Python: {error.msg}"
            raise UsageError(message) from error
    found = getattr(module, name, None)
    if callable(found):
        return found
    own = [one for one, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == spec.name]
    message = f"{path} has no function {name!r}; {suggestion(name, own or ['none'], noun='it has')}"
    raise UsageError(message)


@contextmanager
def told(path: Path | None) -> Iterator[None]:
    """What fails within ``path``, or a file beside it, is told as a mistake there, and not as one of ours."""
    try:
        yield
    except LanewiseError:
        raise
    except SystemExit as ended:
        if path is None:
            raise
        message = f"{path} ended the program (exit code {ended.code}); put such a call under if __name__ == '__main__'"
        raise UsageError(message) from ended
    except Exception as error:
        place = None if path is None else _place_of(error, path)
        if place is None:
            raise
        message = f"{place} raised {type(error).__name__}: {error}"
        raise UsageError(message) from error


def _place_of(error: Exception, path: Path) -> str | None:
    """File and line where a user's code failed: the last call in ``path``, or else in a file beside it."""
    own, ours = path.resolve(), Path(__file__).resolve().parents[1]
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for file, line in reversed(frames):
        if file == own:
            return f"{path} line {line}"
    for file, line in reversed(frames):
        beside = file.is_relative_to(own.parent) and not file.is_relative_to(ours) and "site-packages" not in file.parts
        if beside:
            return f"{path.parent / file.relative_to(own.parent)} line {line}"
    return None


def path_of(target: str) -> Path | None:
    """The file of a target, if it names one."""
    return Path(target.rpartition(":")[0]) if ":" in target else None


def check_problem(target: str, *, x0: str | None, bounds: Sequence[str], condition: float | None, command: str) -> None:
    """``UsageError`` with all that is off in a problem as it was stated, before anything of weight is loaded."""
    mistakes = Mistakes()
    mistakes.of(check_target, target)
    own = ":" in target
    if own and x0 is None and not mistakes:
        mistakes.add(f"say where to start: lanewise {command} {target} --x0 1,2,3")
    if condition is not None and target != "quadratic":
        of = "" if own else f", not of {target}"
        mistakes.add(f"condition is a setting of quadratic{of}; leave it out")
    elif condition is not None and not 1 <= condition < math.inf:
        mistakes.add(f"condition must be at least 1, got {condition:g}")
    start = None if x0 is None else mistakes.of(read_numbers, x0, name="x0")
    mistakes.of(read_bounds, bounds, max(len(bounds), 1) if start is None else len(start))
    mistakes.tell()


def start_of(given: str | None, known: "Landscape | None") -> list[float]:
    """Where to start: as it was stated, or as a test function knows."""
    if given is not None:
        return read_numbers(given, name="x0")
    assert known is not None, "check_problem asks for the start of any other function"
    return list(known.x0)


def read_numbers(text: str, *, name: str) -> list[float]:
    """Numbers separated by commas.

    >>> read_numbers("-1.2, 1e3", name="x0")
    [-1.2, 1000.0]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        message = f"{name} must be numbers separated by commas, such as 1,2.5,-3; got {text!r}"
        raise UsageError(message) from None


def read_bounds(given: Sequence[str], count: int) -> "tuple[list[float], list[float]] | None":
    """Lower and upper bounds of ``count`` variables: one pair ``low,high`` for all, or one for each.

    >>> read_bounds(["0,inf"], 2), read_bounds([], 2)
    (([0.0, 0.0], [inf, inf]), None)
    """
    if not given:
        return None
    pairs = [read_numbers(pair, name="bounds") for pair in given]
    wrong = next((text for text, pair in zip(given, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        message = f"bounds must be low,high, such as -5,5 or 0,inf; got {wrong!r}"
        raise UsageError(message)
    if any(math.isnan(bound) for pair in pairs for bound in pair):
        message = f"bounds must be numbers, inf or -inf; got {' '.join(given)}"
        raise UsageError(message)
    if len(pairs) == 1:
        pairs *= count
    if len(pairs) != count:
        message = f"give --bounds once for all variables, or once for each of the {count}; got {len(pairs)}"
        raise UsageError(message)
    return [low for low, _ in pairs], [high for _, high in pairs]
