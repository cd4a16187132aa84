"""Rows with equal features: numbered, counted, and kept on one side of a split where that is fair.

A row that trains and also judges makes a score too good. So duplicates stay together, as a group of
``lanewise.data.splits``, unless repetition is in the nature of the table: it has fewer than 5,000 distinct rows, and
they are fewer than half of all rows. There, new cases will repeat old ones as well, and rows are drawn one by one. So
are, in any table, the rows that fill more than 5% of it with the same features, for no fold could hold them.
"""

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding

ENOUGH_DISTINCT_ROWS = 5_000
LARGEST_SHARE = 0.05
FIRST_COLUMNS = 64
"""Columns that are looked at first: of a table of thousands they nearly always tell all rows apart."""


def duplicate_groups(dataset: Dataset, features: tuple[str, ...]) -> np.ndarray:
    """Number of each row's distinct feature values as int64 ``[N]``: rows with equal features share it.

    The numbers follow the sorted feature values, so they do not depend on the order of the rows.

    >>> frame = pl.DataFrame({"a": [2.0, 1.0, 2.0, None]})
    >>> duplicate_groups(Dataset(frame=frame, kinds={"a": "number"}, source="example"), ("a",)).tolist()
    [1, 0, 1, 2]
    """
    # Where the first columns tell all rows apart, the others neither order them otherwise nor join any.
    first = _numbered(dataset, features[:FIRST_COLUMNS])
    if len(features) <= FIRST_COLUMNS or len(np.unique(first)) == dataset.rows:
        return first
    return _numbered(dataset, features)


def _numbered(dataset: Dataset, features: tuple[str, ...]) -> np.ndarray:
    names = [f"f{position}" for position in range(len(features))]
    renamed = dataset.frame.select(pl.col(feature).alias(name) for feature, name in zip(features, names, strict=True))
    ordered = renamed.with_row_index("row").sort(names, nulls_last=True)
    starts = ordered.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in names))
    new = starts.to_series().to_numpy().copy()
    new[:1] = False
    groups = np.empty(dataset.rows, dtype=np.int64)
    groups[ordered["row"].to_numpy()] = np.cumsum(new)
    return groups


def kept_together(groups: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """Groups ``[N]`` that keep the duplicates among ``rows`` on one side of a split; ``None`` if none should be.

    ``groups [N]`` come from ``duplicate_groups``. The rules are at the top of this module: rows of a group that fills
    more than 5% of the table become groups of their own.
    """
    _, place, counts = np.unique(groups[rows], return_inverse=True, return_counts=True)
    repeats_by_nature = len(counts) < ENOUGH_DISTINCT_ROWS and 2 * len(counts) < len(rows)
    if len(counts) == len(rows) or repeats_by_nature:
        return None
    common = rows[counts[place] > max(2, LARGEST_SHARE * len(rows))]
    kept = groups.copy()
    kept[common] = groups.max() + 1 + np.arange(len(common))
    return kept


def common_rows(groups: np.ndarray) -> np.ndarray:
    """Whether each row has the features of more than 5% of the table: such rows are drawn one by one.

    ``groups [N]`` come from ``duplicate_groups``.
    """
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return counts[place] > max(2, LARGEST_SHARE * len(groups))


def duplicates_across_split(train: np.ndarray, test: np.ndarray, groups: np.ndarray) -> tuple[Finding, ...]:
    """Finding that counts the rows of ``test`` whose features also occur in ``train``; empty where there are none."""
    seen = int(np.isin(groups[test], groups[train]).sum())
    if not seen:
        return ()
    share = seen / len(test)
    message = (
        f"{seen} of {len(test)} test rows ({share:.1%}) have a twin with equal features among the training rows: "
        "scores hold for data that repeats like this, and are too good for new cases"
    )
    severity = "warning" if share > 0.01 else "info"
    return (Finding(code="duplicates_across_split", message=message, severity=severity, count=seen, figure=share),)


def training_rows_tested(train: np.ndarray, test: np.ndarray, groups: np.ndarray) -> tuple[Finding, ...]:
    """Finding that counts the rows of a stated test set that are rows of training too; empty where there are none.

    ``groups [N]`` are those of `duplicate_groups` over the features and the target. Where the rows of training
    repeat each other about as often, the same cases may have come up again: that is no warning, unless the two are the
    same rows, each as often.
    """
    seen = int(np.isin(groups[test], groups[train]).sum())
    if not seen:
        return ()
    share = seen / len(test)
    _, place, counts = np.unique(groups[train], return_inverse=True, return_counts=True)
    repeated = float((counts[place] > 1).mean())
    same = np.array_equal(np.sort(groups[train]), np.sort(groups[test]))
    if not same and share <= max(1.5 * repeated, 0.01) and repeated:
        message = (
            f"{seen} of {len(test)} test rows ({share:.1%}) equal training rows in the features and the target, as "
            f"{repeated:.1%} of the training rows equal another one: the score holds for data that repeats like this"
        )
        return (Finding(code="duplicates_across_split", message=message, count=seen, figure=share),)
    what = (
        "the test rows are the training rows"
        if same
        else (f"{seen} of {len(test)} test rows ({share:.1%}) are training rows too, features and target alike")
    )
    message = f"{what}: the test score is too good; leave them out of the test set or of training"
    return (Finding(code="trained_on_test", message=message, severity="warning", count=seen, figure=share),)
