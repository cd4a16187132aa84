"""Objects that the command line names: ``mymodel.py:make_model``."""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import Mistakes, UsageError, UserError, first_line
from lanewise.settings.text_form import names_of
from lanewise.tuning.inputs.table_rows import check_columns, written_rows

LOSSES: Final[Mapping[str, Callable[..., Tensor]]] = MappingProxyType(
    {
        "cross_entropy": F.cross_entropy,
        "mse": F.mse_loss,
        "l1": F.l1_loss,
        "huber": F.huber_loss,
        "bce_with_logits": F.binary_cross_entropy_with_logits,
    }
)
"""The losses of torch that have a short name."""

USUAL_SHARE = 0.2
"""Of the rows of a table: what judges, where nothing is said of it."""


def named(reference: str) -> Any:
    """The object that ``FILE:NAME`` names; the file is run as Python.

    Raises ``UsageError``: not of that form, no such file or name, or the file fails.
    """
    file, colon, name = reference.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        table = "; of a table name the target column too (target)" if Path(reference).exists() else ""
        message = f"name an object as FILE:NAME, such as mymodel.py:make_model, got {reference!r}{table}"
        raise UsageError(message)
    module = _module(Path(file))
    if not hasattr(module, name):
        offered = ", ".join(own for own in vars(module) if not own.startswith("_")) or "nothing"
        message = f"{file} has no {name!r}; it has {offered}"
        raise UsageError(message)
    return getattr(module, name)


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        message = f"there is no file {path}"
        raise UsageError(message)
    name = f"lanewise_user_{path.resolve()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as import does: dataclasses, for one, look themselves up there
    try:
        with _importing_from(path.resolve().parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        message = f"{path} failed: {type(error).__name__}: {first_line(error)}"
        raise UsageError(message) from error
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """With what lies beside the file importable, as if Python had been started on it."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def data_of(reference: str) -> tuple[Any, Any]:
    """Train and valid: what the function of that name returns, or the pair of that name.

    Raises ``UsageError``: as :func:`named`, or it is not a pair.
    """
    found: Any = named(reference)
    if callable(found):
        try:
            found: Any = found()
        except Exception as error:
            message = f"{reference} failed: {type(error).__name__}: {first_line(error)}"
            raise UsageError(message) from error
    if wrong := _no_pair(found):
        message = (
            f"{reference} must give ((X, y), (X_valid, y_valid)), or two data sets, or train and None with --folds; "
            f"got {wrong}"
        )
        raise UsageError(message)
    return found[0], found[1]


def _no_pair(found: Any) -> str:
    """What was given instead of train and valid; empty where it may be these."""
    if not isinstance(found, tuple | list):
        return type(found).__name__
    if len(found) != len(("train", "valid")):
        return f"a {type(found).__name__} of {len(found)}"
    if any(isinstance(one, Tensor | np.ndarray) for one in found):  # which may be X or y, never both
        return "(X, y), rows to train on without rows to judge by"
    return ""


def check_source(source: str, *, target: str | None, inputs: str | None, valid: str | None, folds: int | None) -> None:
    """Raise what :func:`table_of` would raise, all of it at once, as far as no row need be read."""
    mistakes = Mistakes(UserError)
    if target is None:
        for name, given in (("inputs", inputs), ("valid", valid)):
            if given is not None:
                mistakes.add(f"{name} is for a table; give its target too, or leave {name} out")
        mistakes.of(named, source)
    else:
        mistakes.of(check_columns, source, target=target, inputs=None if inputs is None else names_of(inputs))
        share = _share(valid)
        if valid is not None and folds is not None:
            mistakes.add("give either valid or folds, not both")
        elif share is not None and not 0 < share < 1:
            mistakes.add(f"valid must be a share of the rows between 0 and 1, or a table, got {valid}")
    mistakes.tell()


def _share(valid: str | None) -> float | None:
    """The share of the rows that ``valid`` is; None where it is none, or a table."""
    try:
        return None if valid is None else float(valid)
    except ValueError:
        return None


def table_of(
    source: str,
    *,
    target: str | None,
    inputs: str | None,
    valid: str | None,
    folds: int | None,
    ranks: Ranks | None = None,
) -> tuple[Any, Any]:
    """Train and valid of ``--data``: what :func:`data_of` gives, or with a ``target`` the rows of a table.

    ``valid`` is a share of the rows or another table; None: a fifth of them, unless there are ``folds``. All ``ranks``
    call this alike; None: this process alone.

    Raises as :func:`lanewise.table_rows` and :func:`data_of`; :func:`check_source` knows more.
    """
    if target is None:
        return data_of(source)
    names = None if inputs is None else names_of(inputs)
    train = written_rows(source, target=target, inputs=names, ranks=ranks or Lone())
    if valid is None:
        return train, None if folds is not None else USUAL_SHARE
    share = _share(valid)
    return train, train.like(valid) if share is None else share


def loss_of(reference: str | None, train: Any = None) -> Callable[..., Tensor]:
    """The loss that is named; None: cross-entropy for whole numbers, the mean squared error for others."""
    if reference is not None:
        if reference in LOSSES:
            return LOSSES[reference]
        if ":" not in reference:
            message = f"there is no loss {reference!r}; there are {', '.join(LOSSES)}, or one of yours as FILE:NAME"
            raise UsageError(message)
        return named(reference)
    return LOSSES["cross_entropy" if _whole_targets(train) else "mse"]


def learning(train: Any, *, loss: str | None, step: str | None, groups: str | None) -> dict[str, Any]:
    """What a module learns by, of the names of it: ``loss`` or ``step``, and ``groups``.

    Raises ``UsageError`` with all that cannot be found.
    """
    mistakes = Mistakes()
    found: dict[str, Any] = {
        name: None if reference is None else mistakes.of(named, reference)
        for name, reference in (("step", step), ("groups", groups))
    }
    if loss is not None or step is None:
        found["loss"] = mistakes.of(loss_of, loss, train)
    mistakes.tell()
    return found


def learner(
    model: str,
    source: str,
    *,
    loss: str | None,
    step: str | None,
    groups: str | None,
    check: Callable[..., object],
    mistakes: Mistakes,
    **settings: Any,
) -> dict[str, Any]:
    """The arguments of a finder that names stand for: ``make_model``, ``train``, ``valid`` and what it learns by.

    ``check(make_model, **settings)`` looks at the other settings. Raises ``UsageError`` with the ``mistakes`` that are
    known already, all that cannot be found and, then too, what is off among the other settings.
    """
    make_model = mistakes.of(named, model)
    train, valid = mistakes.of(data_of, source) or (None, None)
    own = mistakes.of(learning, train, loss=loss, step=step, groups=groups)
    if mistakes:
        mistakes.of(check, nn.Identity, loss=LOSSES["mse"], **settings)
        mistakes.tell()
    return {"make_model": make_model, "train": train, "valid": valid, **(own or {})}


def _whole_targets(train: Any) -> bool:
    """Whether the first target is a whole number; what is wrong with the targets is told where all data are checked."""
    dataset = train.dataset if isinstance(train, DataLoader) else train
    try:
        first = dataset[0][-1] if isinstance(dataset, Dataset) else dataset[-1][:1]
        return not torch.as_tensor(first).is_floating_point()
    except Exception:  # whatever a data set of the user's raises
        return True
