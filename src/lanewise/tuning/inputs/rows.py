"""All rows of a tuning race, and which of them train and which judge."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.lanes.draws import generator
from lanewise.lanes.windows import window_rows
from lanewise.models.base import Width
from lanewise.models.batch import PAIR, Tree, inputs_and_targets, joined, leaves, mapped, take
from lanewise.models.module import Reader
from lanewise.task import Task, TaskKind
from lanewise.training.data import ALL_ROWS, FoldData, Moving, TrainingData
from lanewise.training.device import CPU
from lanewise.training.objective import BY_STEP, floats_as
from lanewise.tuning.inputs.reading import source_of
from lanewise.tuning.inputs.sources import Source, at_home, check_alike

FEWEST_FOLDS = 2

READ_TOGETHER = 64
"""Rows of a batch that is read for its targets."""


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Which rows train and which judge, as row numbers: one pair for a held-out set, one for each of several folds."""

    parts: tuple[tuple[Tensor, Tensor], ...]
    folds: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The rows of ``train``, and behind them those of ``valid`` where that has rows of its own."""

    train: Source
    valid: Source | None
    parting: Parting
    table: Tree | None

    @classmethod
    def of(cls, train: object, valid: object, *, folds: int | None, device: torch.device = CPU) -> "Rows":
        """Read what was given; ``valid`` may be a share of the training rows, or None with ``folds``.

        Tensors may lie on ``device``; they are brought to the processor, from where lanes get them.

        Raises ``UsageError`` or ``DataError``: as :func:`source_of`, sources that differ, or nothing to judge by.
        """
        train, valid = at_home(train, device), at_home(valid, device)
        first = source_of("train", train)
        share = None if valid is None or isinstance(valid, bool) or not isinstance(valid, float) else valid
        second = None if valid is None or share is not None else source_of("valid", valid)
        if second is not None:
            check_alike(first, second)
        order = _order(first)
        parting = _parting(order, second.rows if second else 0, share=share, folds=folds)
        tables = [own.table for own in (first, second) if own is not None]
        # What lies in files is not copied into one table.
        mapped = len(tables) > 1 and any(own.mapped for own in (first, second) if own is not None)
        whole = mapped or any(table is None for table in tables)
        return cls(
            train=first,
            valid=second,
            parting=parting,
            table=None if whole else tables[0] if len(tables) == 1 else joined(tables),
        )

    @property
    def count(self) -> int:
        return self.train.rows + (self.valid.rows if self.valid else 0)

    @property
    def judged(self) -> Tensor:
        """The rows that candidates are judged by, in order."""
        return torch.cat([valid for _, valid in self.parting.parts]).sort().values

    @property
    def trained(self) -> float | None:
        """How many rows the models behind the judgement were trained on; None where they are those handed over."""
        parts = self.parting.parts
        return sum(len(train) for train, _ in parts) / len(parts) if self.parting.folds else None

    @property
    def _mapped(self) -> bool:
        """Whether what is in one table lies in files: it is converted batch by batch, not as a whole."""
        return self.train.mapped or (self.valid is not None and self.valid.mapped)

    @property
    def _window(self) -> int | None:
        """Rows among which an epoch of rows in files is shuffled; None: among all of them."""
        if not self.train.mapped or self.train.edges is not None:
            return None
        row = self.train.batch(torch.zeros(1, dtype=torch.int64))
        return window_rows(sum(leaf.numel() * leaf.element_size() for _, leaf in leaves(row)))

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """That rows are drawn where no key reaches."""
        return (*self.train.unkeyed, *(self.valid.unkeyed if self.valid else ()))

    @property
    def words(self) -> tuple[str, ...]:
        """What the plan says of how the rows were given and parted."""
        given = [*self.train.words, *(self.valid.words if self.valid else ())]
        window = self._window
        if window is not None and window < self.count:
            given.append(f"an epoch of train is shuffled in windows of {window:,} rows")
        return (*given, *self._parted())

    def _parted(self) -> list[str]:
        train, valid = self.parting.parts[0]
        if self.parting.folds:
            return [f"{len(self.parting.parts)} folds of {self.count:,} rows: every row is judged by models without it"]
        return [] if self.valid else [f"{len(valid):,} rows were held out of train, {len(train):,} train"]

    @property
    def pair(self) -> tuple[Tensor, Tensor] | None:
        """X and y, where all rows are in memory and are nothing but these two tensors."""
        table = self.table
        if isinstance(table, tuple | list) and len(table) == PAIR and all(isinstance(own, Tensor) for own in table):
            return table[0], table[1]
        return None

    def first(self, count: int) -> Tree:
        """The batch of the first ``count`` rows that train, at most as many as there are."""
        return self.batch(self.parting.parts[0][0][:count])

    def batch(self, rows: Tensor, key: int = 0) -> Tree:
        """The batch of ``rows [B]``, all of train or all of valid."""
        if self.table is not None:
            return take(self.table, rows)
        before = self.train.rows
        if self.valid is None or int(rows[0]) < before:
            return self.train.batch(rows, key)
        return self.valid.batch(rows - before, key)

    def targets(self, rows: Tensor) -> Tree:
        """Those of ``rows [B]``, all of train or all of valid; rows that are loaded as they are needed are read once.

        Raises ``UsageError`` where batches have none.
        """
        together = len(rows) if self.table is not None else READ_TOGETHER
        return joined([inputs_and_targets(self.batch(some), otherwise=BY_STEP)[1] for some in rows.split(together)])

    def reader(self, dtype: torch.dtype, device: torch.device = CPU) -> Reader:
        """What makes batches of row numbers on ``device``, floats in ``dtype``: a table is brought there once."""
        if self.table is None:
            return lambda rows, key: _on(device, floats_as(dtype, self.batch(rows.cpu(), key)))
        table = _on(device, self.table if self._mapped else floats_as(dtype, self.table))
        return lambda rows, key: floats_as(dtype, take(table, rows))

    def data(
        self,
        dtype: torch.dtype,
        *,
        whole: bool,
        refit: bool = False,
        device: torch.device = CPU,
        kind: TaskKind = "regression",
    ) -> TrainingData:
        """What lanes read: the rows themselves, or with ``whole`` their numbers; with ``refit`` all rows train.

        ``kind`` says what lanes are judged by, probabilities of classes or a number per row.
        """
        if whole or self.pair is None:
            X, y = torch.arange(self.count), torch.zeros(self.count)
        else:
            X, y = self.pair if self._mapped else floats_as(dtype, self.pair)
        codes = torch.zeros(self.count, 0, dtype=torch.int64)
        everything = torch.arange(self.train.rows)
        parts = {ALL_ROWS: (everything, everything[:1])} if refit else dict(enumerate(self.parting.parts))
        folds = {
            fold: FoldData(dense=X, codes=codes, target=y, train=train, valid=valid, reads=dtype)
            for fold, (train, valid) in parts.items()
        }
        task = Task(target="y", kind=kind, metric="loss")
        data = TrainingData(
            task=task,
            width=Width(dense=0, levels=(), outputs=0),
            folds=folds,
            rows=self.count,
            window=self._window,
            edges=self.train.edges,
        )
        return Moving(device)(data)


def _on(device: torch.device, batch: Tree) -> Tree:
    return mapped(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, batch)


def _order(source: Source) -> Tensor:
    """The rows in an order drawn by a key of its own; those of a class side by side, so that it is parted evenly."""
    order = torch.randperm(source.rows, generator=generator(0, "parts"))
    classes = _classes(source)
    return order if classes is None else order[classes[order].argsort(stable=True)]


def _classes(source: Source) -> Tensor | None:
    """The targets ``[N]``, where they are in memory and look like classes: whole numbers, most of them repeated."""
    try:
        _, targets = inputs_and_targets(source.table)
    except UsageError:
        return None
    if not isinstance(targets, Tensor) or targets.dim() != 1 or targets.is_floating_point():
        return None
    return targets if len(targets.unique()) <= len(targets) / 2 else None


def _parting(order: Tensor, valid: int, *, share: float | None, folds: int | None) -> Parting:
    """Raises ``UsageError``: none or several of validation rows, a share and folds, or one that is out of range."""
    train = len(order)
    if folds is not None and (valid or share is not None):
        message = (
            "give either folds, which are made of train, or valid; keep rows aside yourself for a score of the winner"
        )
        raise UsageError(message)
    if valid:
        return Parting(parts=((torch.arange(train), torch.arange(train, train + valid)),), folds=False)
    if folds is not None:
        if not FEWEST_FOLDS <= folds <= train:
            message = f"folds must be from {FEWEST_FOLDS} to the {train:,} rows of train, got {folds}"
            raise UsageError(message)
        return Parting(parts=tuple(_apart(order, order[fold::folds]) for fold in range(folds)), folds=True)
    if share is None:
        message = (
            "there is nothing to judge by: give validation rows as valid, valid=0.2 to hold that share of train out, "
            "or folds=5 to judge every row by models that were trained without it"
        )
        raise UsageError(message)
    held = round(share * train)
    if not 0 < share < 1 or not 0 < held < train:
        message = (
            f"valid is a share of the {train:,} rows of train between 0 and 1 that leaves rows on both sides, "
            f"got {share!r}"
        )
        raise UsageError(message)
    return Parting(parts=(_apart(order, order[torch.arange(held) * train // held]),), folds=False)


def _apart(order: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that are not ``held``, and those that are, both by number."""
    out = torch.zeros(len(order), dtype=torch.bool)
    out[held] = True
    return (~out).nonzero()[:, 0], out.nonzero()[:, 0]
