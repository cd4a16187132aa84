"""What people have as training rows, read: arrays, data sets, loaders, and iterables of batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from lanewise.data.memory import free_bytes
from lanewise.errors import DataError, UsageError, first_line
from lanewise.models.batch import Tree, form_of, joined, leaves
from lanewise.models.keyed_draws import other_states, own_generator
from lanewise.tuning.inputs.sources import Load, Source, as_tensors, check_finite, length_of, loaded, places
from lanewise.tuning.inputs.table_rows import TableRows

MEMORY_SHARE = 0.5
"""Of the memory that is free: what may be read into it."""

MORE_THAN_ROWS = "; of graphs and the like give a DataLoader with a collate function, which can make any batch of rows"
"""What to do with batches that cannot be taken apart."""

FORMS = (
    "a pair (X, y) of tensors or NumPy arrays, of which X may be a dict or tuple of them, or X alone where no y is "
    "needed; a torch Dataset or DataLoader; or an iterable of batches"
)


def source_of(name: str, given: object) -> Source:
    """The rows of ``given``, in memory where they fit.

    Raises ``UsageError`` or ``DataError``: nothing of the :data:`FORMS`, no rows, lengths that differ, NaN.
    """
    if isinstance(given, DataLoader):
        return _of_loader(name, given)
    if isinstance(given, TableRows):
        return given.source(name)
    if type(given) is TensorDataset:  # a class made of it may change the rows it gives
        return _of_table(name, given.tensors)
    if isinstance(given, IterableDataset):
        message = (
            f"{name} is an IterableDataset, which gives one row after another; give batches of them, as "
            "DataLoader(dataset, batch_size=32) does"
        )
        raise UsageError(message)
    whole = isinstance(given, tuple | Mapping | Tensor | np.ndarray)
    if whole or (isinstance(given, list) and not _are_batches(given)):
        return _of_table(name, given)
    if not isinstance(given, list) and _has_rows(given):
        return _of_rows(name, given, default_collate, exact=True)
    if isinstance(given, Iterable) and not isinstance(given, str):
        return _of_batches(name, given)
    message = f"{name} must be {FORMS}; got {type(given).__name__}"
    raise UsageError(message)


def _of_table(name: str, given: Any) -> Source:
    table = as_tensors(name, tuple(given) if isinstance(given, list) else given)
    rows = length_of(name, table)
    check_finite(name, table)
    if not any(isinstance(leaf, np.memmap) for _, leaf in places(given)):
        return Source(name=name, rows=rows, table=table)
    words = f"{name}: {rows:,} rows stay in their files"
    return Source(name=name, rows=rows, table=table, mapped=True, words=(words,))


def _are_batches(given: Sequence[Any]) -> bool:
    """Whether a list holds batches, rather than the X and y of one table."""
    return bool(given) and all(isinstance(own, tuple | list | Mapping) for own in given)


def _has_rows(given: object) -> bool:
    """Whether it gives any row on demand, as a map-style data set does."""
    if isinstance(given, str):
        return False
    return (isinstance(given, Dataset) or hasattr(given, "__getitem__")) and hasattr(given, "__len__")


def _of_rows(name: str, dataset: Any, collate: Callable[[list[Any]], Tree], *, exact: bool) -> Source:
    """The rows of a map-style data set, as ``collate`` makes batches of them.

    They are read into memory if they fit, are the same each time and, ``exact``, collating works on each row apart.
    """
    rows = len(dataset)
    if not rows:
        message = f"{name} has no rows; give at least one"
        raise DataError(message)

    def load(numbers: Sequence[int]) -> Tree:
        return collate([dataset[number] for number in numbers])

    (first, elsewhere), (other, _), (again, _) = (_drawn(name, load, key, collated=not exact) for key in (0, 1, 0))
    fixed, keyed = _equal(first, other), _equal(first, again)
    size, free, unkeyed = _bytes_of(first) * rows, MEMORY_SHARE * free_bytes(), ()
    if not fixed:
        why = "which draw anew each time, keyed by seed and step"
        if not keyed:
            why = "which draw anew each time"
            unkeyed = (
                f"the rows of {name} are drawn anew each time, and not from the default generator of torch, NumPy or "
                "Python: the race cannot be repeated exactly; draw from one of these",
            )
    elif not exact:
        why = "as its collate function makes them"
    elif size > free:
        why = f"which need {_size(size)}, more than {_size(free)} that are to spare"
    else:
        table = _all_rows(name, load, rows)
        return Source(name=name, rows=rows, table=table, words=(f"{name}: {rows:,} rows were read into memory",))
    words = (f"{name}: batches are loaded as they are needed, {why}",)
    return Source(
        name=name, rows=rows, load=load, words=words, unkeyed=unkeyed, draws_elsewhere=elsewhere, collated=not exact
    )


def _drawn(name: str, load: Load, key: int, *, collated: bool) -> tuple[Tree, bool]:
    """The first row by ``key``, and whether it draws from the default generators of NumPy or Python."""
    with own_generator(key, others=True):
        before = other_states()
        return loaded(name, load, [0], collated=collated), before != other_states()


def _all_rows(name: str, load: Load, rows: int) -> Tree:
    with own_generator(0, others=True):
        return loaded(name, load, range(rows))


def _of_loader(name: str, loader: DataLoader) -> Source:
    """A loader's data set, collate function and batch size; its order is not kept, and not needed."""
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return _of_batches(name, loader)
    batches, dataset = cast("Any", loader.batch_sampler), cast("Any", loader.dataset)
    sampler = batches.sampler if type(batches) is BatchSampler else batches
    plain = isinstance(sampler, SequentialSampler) or (isinstance(sampler, RandomSampler) and not sampler.replacement)
    if not plain or len(cast("Any", sampler)) != len(dataset):
        message = f"{name} is a DataLoader whose {type(sampler).__name__} {_instead_of(sampler)}"
        raise UsageError(message)
    exact = loader.collate_fn is default_collate
    if exact and (type(loader.dataset) is TensorDataset or isinstance(loader.dataset, TableRows)):
        found = source_of(name, loader.dataset)
    else:
        found = _of_rows(name, loader.dataset, loader.collate_fn, exact=exact)
    order = f"{name}: of the DataLoader its rows and its batch size, {batches.batch_size}, are taken, not its order"
    return replace(found, batch_size=batches.batch_size, words=(order, *found.words))


def _instead_of(sampler: object) -> str:
    """What a sampler does that is not kept, and what to do instead."""
    if isinstance(sampler, WeightedRandomSampler):
        return (
            "draws some rows more often than others, and here every row is seen once in an epoch; let the loss weigh "
            "them, as CrossEntropyLoss(weight=...) does with classes, and give the DataLoader without the sampler"
        )
    return (
        "decides which rows there are, and here all rows are drawn in an order of their own; give the Dataset of the "
        "rows you want, such as a Subset"
    )


def _of_batches(name: str, given: Iterable[Any]) -> Source:
    """The batches of an iterable, read once and kept: rows that any order and any batch size can be made of."""
    # A loader draws from the generator of the process, even where it does not shuffle.
    with own_generator(0, others=True):
        batches = _kept(name, given)
    if not batches:
        message = f"{name} gave no batch; a generator gives its batches only once: make a new one, or give a list"
        raise DataError(message)
    promised = _promised(given)
    if len(batches) < promised:
        message = (
            f"{name} ended after {len(batches):,} batches, and its len says {promised:,}; see why it ends early, or "
            "leave __len__ out where it is not known"
        )
        raise DataError(message)
    table = joined(batches)
    check_finite(name, table)
    rows = length_of(name, table)
    words = f"{name}: {len(batches):,} batches, {rows:,} rows, were read once and are kept; their order is not"
    return Source(name=name, rows=rows, table=table, batch_size=length_of(name, batches[0]), words=(words,))


def _promised(given: Iterable[Any]) -> int:
    """How many batches an iterable says that it has; 0 where it does not say, or only guesses."""
    if isinstance(given, DataLoader) and isinstance(given.dataset, IterableDataset):
        return 0  # its workers may each drop the end of their own part, which its len does not know
    try:
        return len(given)  # pyright: ignore[reportArgumentType]  # who has no length raises
    except (TypeError, NotImplementedError):
        return 0


def _kept(name: str, given: Iterable[Any]) -> list[Tree]:
    """All batches, as far as there is memory for them."""
    batches: list[Tree] = []
    size, free = 0, MEMORY_SHARE * free_bytes()
    for place, batch in enumerate(_each(name, given)):
        own = as_tensors(f"batch {place} of {name}", batch)
        length_of(f"batch {place} of {name}", own, otherwise=MORE_THAN_ROWS)
        _check_joins(name, batches[0] if batches else own, own, place)
        batches.append(own)
        size += _bytes_of(own)
        if size > free:
            message = (
                f"{name} gave {len(batches):,} batches of {_size(size)} and is not at its end; the batches of an "
                f"iterable are kept in memory, where {_size(free)} are to spare. Give fewer, or a Dataset with its rows"
            )
            raise DataError(message)
    return batches


def _each(name: str, given: Iterable[Any]) -> Iterator[Any]:
    place = 0
    try:
        for batch in given:
            yield batch
            place += 1
    except Exception as error:
        message = f"{name} failed at batch {place}: {type(error).__name__}: {first_line(error)}"
        raise DataError(message) from error


def _check_joins(name: str, first: Tree, own: Tree, place: int) -> None:
    """Raise ``DataError`` unless the rows of two batches have one form."""
    mine, theirs = dict(places(first)), dict(places(own))
    if mine.keys() != theirs.keys():
        message = f"batch {place} of {name} is {form_of(own)}, batch 0 {form_of(first)}; batches must be alike"
        raise DataError(message)
    for at, leaf in mine.items():
        if leaf.shape[1:] != theirs[at].shape[1:] or leaf.dtype != theirs[at].dtype:
            message = (
                f"{at} of {name} is {form_of(theirs[at])} in batch {place} and {form_of(leaf)} in batch 0; the rows "
                "must be alike: pad them to one length, or give a Dataset with a collate function"
            )
            raise DataError(message)


def _equal(one: Tree, other: Tree) -> bool:
    theirs = dict(leaves(other))
    return all(torch.equal(leaf, theirs[place]) for place, leaf in leaves(one) if place in theirs)


def _bytes_of(tree: Tree) -> int:
    return sum(leaf.numel() * leaf.element_size() for _, leaf in leaves(tree))


def _size(count: float) -> str:
    """Bytes in words: megabytes, or gigabytes from one on."""
    return f"{count / 2**30:.3g} GB" if count >= 2**30 else f"{count / 2**20:.3g} MB"
