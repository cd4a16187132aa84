"""In which folds the rows of a streamed table train: as its sample was parted, whole groups and times together.

The sample is parted as any table in memory. What that says of a group or of a time then holds for all rows that are
streamed: a row whose group a fold judges does not train in that fold, nor does one that is as late as what a fold
judges; and whose group the test set has, or who is as late as the test rows, trains nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from lanewise.data.column_facts import ColumnFacts, facts_of
from lanewise.data.dataset import Dataset
from lanewise.data.splits import Fold, row_times
from lanewise.data.streaming import Rest
from lanewise.data.wording import counted
from lanewise.errors import DataError

NOWHERE = -1
"""The part of rows that do not train."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The training rows in ``P = F + 1`` parts, those of one part train in the same folds: ``trains [F, P]``.

    Part 0 trains in every fold; part ``k + 1`` are the rows that fold ``k`` judges and, of the ``rest``, which is
    beyond the sample, those of the same groups or times. ``own [n]`` is the part of each training row of the sample.
    Those of the rest are told by their ``column``: by ``groups``, a table of its values and their parts, or by ``cuts
    [F + 1]``, the times at which the next part begins and at last the test. Without a column they all are of part 0.
    """

    rest: Rest
    own: np.ndarray
    trains: np.ndarray
    column: str | None = None
    groups: pl.DataFrame | None = None
    cuts: np.ndarray | None = None

    @classmethod
    def made(
        cls,
        dataset: Dataset,
        *,
        train: np.ndarray,
        test: np.ndarray,
        folds: Sequence[Fold],
        group: str | None = None,
        time: str | None = None,
    ) -> Self:
        """The parts that rows of a sample ``dataset``, with a rest, were divided in: ``train``, ``test`` and ``folds``.

        ``group`` or ``time`` names the column that they were divided by; None: neither. Raises ``DataError`` where it
        is missing in rows beyond the sample.
        """
        rest, column = dataset.rest, group or time
        assert rest is not None
        if column is not None and (missing := rest.facts[column].missing):
            what = "group" if group else "time"
            message = (
                f"{what} must name a column without missing cells, and {column!r} is missing in "
                f"{counted(missing, 'row')} beyond the sample; fill it in or leave those rows out"
            )
            raise DataError(message)
        part = np.zeros(dataset.rows, dtype=np.int64)
        for place, fold in enumerate(folds):
            part[fold.valid] = place + 1
        parts = np.arange(len(folds) + 1)
        trains = np.stack([(parts == 0) | np.isin(parts, part[fold.train]) for fold in folds])
        tested = test[test < dataset.rows]  # others are those of a test set of the user's own
        groups, cuts = None, None
        if group is not None:
            part[tested] = NOWHERE
            rows = np.concatenate([train, tested])
            groups = pl.DataFrame([dataset.frame[group][rows], pl.Series("part of the row", part[rows])])
            groups = groups.unique(group, maintain_order=True)
        elif time is not None:
            times = row_times(dataset, time)
            begins = [float(times[fold.valid].min()) for fold in folds]
            cuts = np.array([*begins, times[tested].min(initial=np.inf)])
        return cls(rest=rest, own=part[train], trains=trains, column=column, groups=groups, cuts=cuts)

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.trains.shape[1]

    def of(self, batch: Dataset) -> np.ndarray:
        """The part ``[n]`` of each row beyond the sample, or ``NOWHERE``."""
        if self.column is None:
            return np.zeros(batch.rows, dtype=np.int64)
        if self.cuts is not None:
            found = np.searchsorted(self.cuts, row_times(batch, self.column), side="right")
            return np.where(found < len(self.cuts), found, NOWHERE)
        assert self.groups is not None
        values = batch.frame.select(pl.col(self.column).cast(self.groups.schema[self.column]))
        found = values.join(self.groups, on=self.column, how="left", maintain_order="left")
        return found[:, -1].fill_null(0).to_numpy()

    def facts(self, columns: Sequence[str]) -> Mapping[str, ColumnFacts]:
        """What the rows of the rest that train hold, by column; another pass over them where some train nowhere."""
        rest = self.rest
        held_out = (self.groups is not None and bool((self.groups[:, -1] == NOWHERE).any())) or (
            self.cuts is not None and bool(np.isfinite(self.cuts[-1]))
        )
        if self.column is None or not held_out:
            return rest.facts
        facts = dict.fromkeys(columns, ColumnFacts())
        for batch in rest.batches(tuple(dict.fromkeys((*columns, self.column)))):
            rows = batch.frame.filter(pl.Series(self.of(batch) != NOWHERE)).select(columns)
            facts = {name: facts[name].plus(own) for name, own in facts_of(rows, rest.kinds).items()}
        return facts
