"""Rows as they were given: in memory as one table, or loaded batch by batch whenever they are needed."""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import DataError, UsageError, first_line
from lanewise.models.batch import PAIR, Tree, form_of, leaves, mapped, take, targets_of
from lanewise.models.keyed_draws import own_generator

OF_OBJECTS = (
    "of graphs and other objects give a DataLoader whose collate_fn returns the tensors of a batch, the targets last, "
    "such as ((x, edge_index, graph), y), or a dict of them with 'labels'"
)
"""What to do with rows that hold neither numbers nor tensors."""

CHECKED_ELEMENTS = 2**24
"""Numbers that are looked at together."""

Load = Callable[[Sequence[int]], Tree]
"""Numbers of rows to the batch of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """``rows`` rows, either a ``table`` (one batch of all of them) or loaded by ``load``.

    ``batch_size`` is what the source came with, if anything; ``words`` what the plan has to say of it, ``unkeyed`` that
    rows are drawn where no key reaches, ``draws_elsewhere`` whether the default generators of NumPy or Python draw.
    A table that is ``mapped`` lies in files and not in memory; where it lies in random windows, they begin at
    ``edges [W + 1]``. What a collate function of the user's makes, ``collated``, may have other sizes in every batch.
    """

    name: str
    rows: int
    table: Tree | None = None
    load: Load | None = None
    batch_size: int | None = None
    words: tuple[str, ...] = ()
    unkeyed: tuple[str, ...] = ()
    draws_elsewhere: bool = False
    mapped: bool = False
    collated: bool = False
    edges: Tensor | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def batch(self, rows: Tensor, key: int = 0) -> Tree:
        """The batch of ``rows [B]``; what loading draws from the default generators depends on ``key`` only.

        Raises ``DataError``: a row cannot be loaded.
        """
        if self.load is None:
            return take(self.table, rows)
        # A file that a data set reads from has one position.
        with self.lock, own_generator(key, others=self.draws_elsewhere):
            return loaded(self.name, self.load, rows.tolist(), collated=self.collated)


def loaded(name: str, load: Load, rows: Sequence[int], *, collated: bool = False) -> Tree:
    """The batch of ``rows`` as tensors; raises ``DataError`` in the words of whatever went wrong.

    Where a collate function of the user's made it, ``collated``, rows are counted by the targets: inputs may be the
    nodes and edges of all its graphs, or have time before rows.
    """
    try:
        found = load(rows)
    except Exception as error:
        which = f"row {rows[0]}" if len(rows) == 1 else f"rows {rows[0]}, {rows[1]}, ..."
        message = f"{name} failed at {which}: {type(error).__name__}: {first_line(error)}"
        if "default_collate: batch must contain" in message:  # torch says what it found, not what to do
            message += f"; {OF_OBJECTS}"
        raise DataError(message) from error
    batch = as_tensors(name, found)
    by_targets = "; rows are counted by the targets: give them last, or as 'labels'" if collated else ""
    count = length_of(name, targets_of(batch) if collated else batch, otherwise=by_targets)
    if count != len(rows):
        message = (
            f"{name} made a batch of {count} rows of {len(rows)}; what collates them must keep every row{by_targets}"
        )
        raise DataError(message)
    check_finite(name, batch, numbers=rows)
    return batch


def places(tree: Tree) -> list[tuple[str, Any]]:
    """The leaves with the names that people give them: ``y`` for the last of a sequence, ``X`` for what is before it.

    >>> places(({"ids": 1, "mask": 2}, 3))
    [("X['ids']", 1), ("X['mask']", 2), ('y', 3)]
    """
    if isinstance(tree, tuple | list) and len(tree) >= PAIR:
        inputs = tree[0] if len(tree) == PAIR else tuple(tree[:-1])
        return [*leaves(inputs, "X"), *leaves(tree[-1], "y")]
    return list(leaves(tree, "X"))


def at_home(given: Any, device: torch.device) -> Any:
    """What was given as rows, with its tensors that lie on ``device`` brought to the processor.

    One on another device is refused by :func:`as_tensors`.
    """
    if not isinstance(given, tuple | list | Mapping):
        return given

    def moved(leaf: Any) -> Any:
        return leaf.cpu() if isinstance(leaf, Tensor) and leaf.device == device else leaf

    return mapped(moved, given)


def as_tensors(name: str, tree: Tree) -> Tree:
    """``tree`` with NumPy arrays made tensors; raises ``UsageError`` for leaves that are no numbers on the CPU."""
    for place, leaf in places(tree):
        if not isinstance(leaf, Tensor | np.ndarray):
            of, _, within = place.partition("[0]")
            message = f"{of} of {name} must be a tensor or a NumPy array, got {type(leaf).__name__}"
            message += " in a list" if within or of != place else ""
            message += f"; {_made_tensors(leaf)}"
            raise UsageError(message)
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc":
            message = f"{place} of {name} is an array of {leaf.dtype}; give numbers"
            raise UsageError(message)
        if isinstance(leaf, Tensor) and (leaf.layout != torch.strided or leaf.is_nested):
            what = "nested" if leaf.is_nested else "sparse"
            message = f"{place} of {name} is a {what} tensor, of which no rows can be drawn; give a dense one"
            raise UsageError(message)
        if isinstance(leaf, Tensor) and leaf.device.type != "cpu":
            message = (
                f"{place} of {name} is on {leaf.device}, and tune trains elsewhere: "
                f"give device={str(leaf.device)!r}, or the tensor with .cpu()"
            )
            raise UsageError(message)
    return mapped(_tensor, tree)


def _made_tensors(leaf: object) -> str:
    """How what is neither a tensor nor an array can be given."""
    if isinstance(leaf, str | bytes | None):
        return "leave out what is no number"
    if isinstance(leaf, int | float):
        return "make one tensor of all numbers, by torch.tensor(...)"
    if hasattr(leaf, "to_numpy"):  # a column or table of pandas or Polars
        return "give what its to_numpy() returns"
    return OF_OBJECTS


def _tensor(leaf: Any) -> Tensor:
    """A leaf as a tensor over the same memory, or the same file."""
    with warnings.catch_warnings():
        # Torch has no tensors that cannot be written to, and says so; nobody writes.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.as_tensor(leaf).detach()


def length_of(name: str, tree: Tree, *, otherwise: str = "") -> int:
    """The number of rows, which every leaf must have; raises ``DataError`` where they differ or there are none.

    ``otherwise`` says how rows are given that have not.
    """
    found = places(tree)
    if not found:
        message = f"{name} holds no tensor, got {form_of(tree)}"
        raise DataError(message)
    first, one = found[0]
    for place, leaf in found[1:] or found:
        if not one.dim() or not leaf.dim() or len(leaf) != len(one):
            message = (
                f"{first} of {name} has shape {tuple(one.shape)} and {place} {tuple(leaf.shape)}; "
                f"both must have one entry per row{otherwise}"
            )
            raise DataError(message)
    if not len(one):
        message = f"{name} has no rows; give at least one"
        raise DataError(message)
    return len(one)


def check_finite(name: str, tree: Tree, *, numbers: Sequence[int] | None = None) -> None:
    """Raise ``DataError`` where a floating tensor has NaN or infinite values, with the rows that do.

    ``numbers`` are those of the rows, where they are not just counted.
    """
    for place, leaf in places(tree):
        if not leaf.is_floating_point():
            continue
        # A block at a time: a table that lies in files may be larger than the memory.
        block = max(1, CHECKED_ELEMENTS // max(1, leaf[:1].numel()))
        broken = torch.cat([_not_finite(rows) for rows in leaf.split(block)])
        if bool(broken.any()):
            first = int(broken.nonzero()[0])
            own = numbers if numbers is not None and len(numbers) == len(leaf) else range(len(leaf))
            message = (
                f"{place} of {name} has NaN or infinite values in {int(broken.sum()):,} of {len(leaf):,} rows, the "
                f"first in row {own[first]}; remove those rows or fill them"
            )
            raise DataError(message)


def _not_finite(rows: Tensor) -> Tensor:
    """Whether each of some rows holds a number that is not finite: bool ``[n]``."""
    broken = ~torch.isfinite(rows)
    return broken.flatten(1).any(1) if rows.dim() > 1 else broken


def check_alike(one: Source, other: Source) -> None:
    """Raise ``DataError`` where the rows of two sources are not of one form, by the first row of each.

    Where a collate function makes the batches, a row may be longer in one than in another: padded, as a rule.
    """
    first, second = (own.batch(torch.zeros(1, dtype=torch.int64)) for own in (one, other))
    mine, theirs = dict(places(first)), dict(places(second))
    if mine.keys() != theirs.keys():
        message = f"a row of {one.name} is {form_of(first)}, one of {other.name} {form_of(second)}; they must be alike"
        raise DataError(message)
    anew = one.collated or other.collated
    for place, leaf in mine.items():
        sizes = leaf.dim() == theirs[place].dim() if anew else leaf.shape[1:] == theirs[place].shape[1:]
        if not sizes or leaf.dtype != theirs[place].dtype:
            message = (
                f"{place} of {one.name} is [rows, {_form(leaf)}], that of {other.name} "
                f"[rows, {_form(theirs[place])}]; they must be alike"
            )
            if isinstance(first, Tensor):
                message += "; where they are X and y of the same rows, both belong into train=(X, y)"
            raise DataError(message)


def _form(tensor: Tensor) -> str:
    return ", ".join([*map(str, tensor.shape[1:]), str(tensor.dtype).removeprefix("torch.")])
