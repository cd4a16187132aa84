"""On how many rows of a streamed table boosters are confirmed: as many as fit into the memory, and into the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanewise.data.memory import free_bytes
from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.teams import TeamBuilder

MEMORY_SHARE = 0.6
"""Of the free memory: the binned rows are not all that a race takes."""

ROW_BYTES, OUTPUT_BYTES = 28, 12
"""Memory of a row beside its bins: label, weight, places in leaves; and for each output score and gradients."""

COPIES = 2
"""Of the bins: by columns, and by rows, which is how trees read them."""

WIDE_BINS = 256
"""Bins of a column, or levels, beyond which one takes two bytes."""

TIME_SHARE = 0.3
"""Of a budget in seconds that confirmed boosters may take more on more rows, in all folds and the refit."""


@dataclass(frozen=True, kw_only=True)
class TreeRows:
    """The first ``windows`` of a streamed table, ``rows`` in all, ``ratio`` times those in memory; 0: those alone."""

    windows: int = 0
    rows: int = 0
    ratio: float = 1.0


def row_bytes(builder: TeamBuilder, boosted: Sequence[Candidate]) -> int:
    """Memory of a row while one of ``boosted`` grows on it."""
    width = builder.data.width
    bins = max([*width.levels, *(int(one.number("max_bin", 255)) for one in boosted)], default=0)
    assert builder.pool is not None
    return (
        COPIES * builder.pool.columns * (2 if bins > WIDE_BINS else 1)
        + ROW_BYTES
        + OUTPUT_BYTES * max(width.outputs, 1)
    )


def tree_rows(
    problem: Problem, builder: TeamBuilder, boosted: Sequence[Candidate], *, most_ratio: float = np.inf
) -> TreeRows:
    """The most rows on which ``boosted`` can be trained, one for each worker at a time; ``most_ratio`` limits them.

    Windows are filled at random, so that the first of them are a fair sample too.
    """
    stored = None if builder.pool is None else builder.pool.stored
    if stored is None or not boosted:
        return TreeRows()
    fitting = MEMORY_SHARE * free_bytes() / builder.workers / row_bytes(builder, boosted)
    most = min(fitting, most_ratio * len(problem.train))
    held = np.cumsum(stored.sizes.sum(axis=1))
    windows = int(np.searchsorted(held, most, side="right"))
    rows = int(held[windows - 1]) if windows else 0
    ratio = rows / max(1, len(problem.train))
    return TreeRows(windows=windows, rows=rows, ratio=ratio) if ratio > 1.0 else TreeRows()


def with_tree_rows(plan: Plan, rows: TreeRows) -> Plan:
    """The plan with boosters on ``rows``."""
    return replace(plan, tree_windows=rows.windows, tree_rows=rows.rows, tree_ratio=rows.ratio)
