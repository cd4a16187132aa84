"""How much memory a race will take at its peak, told before it starts."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.registry import STACKED, build
from lanewise.models.trees import forest_bytes
from lanewise.optim.blocks import state_elements
from lanewise.optim.registry import RULES
from lanewise.training.data import TrainingData
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.tree_rows import row_bytes
from lanewise.training.teams import TeamBuilder
from lanewise.training.workers.nurseries import CAN_FORK

BUFFERS = 6
"""Copies of a lane's parameters that a stack holds: values, gradients, average, and the snapshot of all but
the gradients; the low-precision shadow and one temporary count as the sixth."""

LEAST_STATE = 2
"""State of the solver, in copies of the parameters, and of a rule beside others: a snapshot has a place for all."""

TREES_LOADED_BYTES, TREE_WORKER_BYTES = 140 * 2**20, 60 * 2**20
"""LightGBM and scikit-learn, which trees' workers share where they are forked, and what each has before any row."""

STACKS_LOADED_BYTES, TEAM_WORKER_BYTES = 270 * 2**20, 60 * 2**20
"""The same with torch of the workers for stacks, before they map any row."""

TABLE_COPIES = 3
"""The raw table in a worker: mapped, binned, and binned again by the boosters that are alive."""


LATER_BYTES = 250 * 2**20
"""What this process takes of a race yet to begin beside its workers: stacks, evidence, the intervals of scores."""

FOREST_COPIES = 4
"""A refitted forest: in the worker that grew it, as text there and here, and read from that."""


def resident_bytes() -> int:
    """Memory that this process has now; its peak where the system tells no more."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:  # not a POSIX system
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def predicted_bytes(plan: Plan, builder: TeamBuilder) -> int:
    """Peak memory of a race about to start: what is there, the stacks of a phase, evidence, the rows of the refit."""
    screened = [candidate for candidate in plan.candidates if plan.rungs]
    confirmed = _most_confirmed(plan)
    runs = plan.folds * len(plan.seeds)
    stacks = max(_stack_bytes(screened, builder), _stack_bytes(confirmed, builder) * runs)
    data = builder.data
    outputs = max(data.width.outputs, 2) if data.task.is_classification else 1
    evidence = len(confirmed) * len(plan.grid) * len(plan.seeds) * data.rows * outputs * 8
    fold = next(iter(data.folds.values()))
    refit = data.rows * fold.dense.shape[1] * fold.dense.element_size()
    if data.windows is not None:
        # Those that are in use, and of each the one that is made ready; the sample is mapped.
        refit = data.windows.window_bytes * len(data.folds) * (builder.workers_here + 1)
    workers = 0
    if builder.pool is not None:
        workers = _started_bytes(builder.workers, TREES_LOADED_BYTES, TREE_WORKER_BYTES)
        workers += builder.workers * TABLE_COPIES * builder.pool.table_bytes
        if plan.tree_rows:
            boosted = [candidate for candidate in confirmed if candidate.model == "lightgbm"]
            workers += builder.workers * plan.tree_rows * row_bytes(builder, boosted)
        # In a race they keep no trees.
        workers += FOREST_COPIES * len(plan.seeds) * sum(_forest_bytes(one, data) for one in confirmed)
    if builder.seats is not None:
        seated = max((_team_bytes(candidate, builder) for candidate in confirmed), default=0)
        workers += _started_bytes(builder.workers, STACKS_LOADED_BYTES, TEAM_WORKER_BYTES)
        workers += builder.workers * (_data_bytes(data) + seated)
    return resident_bytes() + stacks + evidence + refit + workers


def _started_bytes(workers: int, loaded: int, own: int) -> int:
    """What so many workers take before they hold any row: what was loaded is there once where they were forked."""
    return loaded + workers * own if CAN_FORK else workers * (loaded + own)


def workers_with_room(
    wanted: int, *, free: float, cells: int, trees: bool, stacks: bool, processes: int = 1, later: int = LATER_BYTES
) -> int:
    """So many of the ``wanted`` workers as have room in the ``free`` bytes of this host; one at the least.

    Each is a process for ``trees`` and one for ``stacks``, if there are any, and holds a table of ``cells`` cells for
    the trees. So many ``processes`` of the host share what is free, and need ``later`` bytes of their own.

    >>> workers_with_room(4, free=2e9, cells=0, trees=True, stacks=False)
    4
    """

    def needed(workers: int) -> int:
        of_trees = _started_bytes(workers, TREES_LOADED_BYTES, TREE_WORKER_BYTES) + workers * 8 * TABLE_COPIES * cells
        return of_trees * trees + _started_bytes(workers, STACKS_LOADED_BYTES, TEAM_WORKER_BYTES) * stacks

    room = max(free / processes - later, 0)
    return next((workers for workers in range(wanted, 1, -1) if needed(workers) <= room), 1)


def one_worker_bytes() -> int:
    """What one worker for trees takes before it holds any row: so much any fit with trees needs beside its table."""
    return _started_bytes(1, TREES_LOADED_BYTES, TREE_WORKER_BYTES)


def _most_confirmed(plan: Plan) -> list[Candidate]:
    taken: dict[str, int] = {}
    result = []
    for candidate in plan.candidates:
        if taken.get(candidate.model, 0) < plan.confirm.get(candidate.model, 0) or candidate.is_default:
            taken[candidate.model] = taken.get(candidate.model, 0) + 1
            result.append(candidate)
    return result


def _stack_bytes(candidates: Sequence[Candidate], builder: TeamBuilder) -> int:
    elements = 0
    for candidate in candidates:
        if candidate.model in STACKED and not builder.on_gpu(candidate):
            layout = build([candidate], builder.data.width).layout
            method = RULES.get(candidate.optimizer)
            state = max(state_elements(method, layout) if method else 0, LEAST_STATE * layout.width)
            elements += BUFFERS * layout.width + 2 * state  # and the snapshot's
    return elements * builder.dtype.itemsize


def _team_bytes(candidate: Candidate, builder: TeamBuilder) -> int:
    """The widest stack that a candidate may train in."""
    if candidate.model not in STACKED:
        return 0
    return _stack_bytes([candidate], builder) * builder.width(Lane(candidate=candidate, fold=0, seed=0))


def _forest_bytes(candidate: Candidate, data: TrainingData) -> int:
    """The arrays of a forest that is grown on all rows; none of other candidates."""
    if candidate.model != "forest":
        return 0
    outputs = max(len(data.task.classes), 1)
    return int(forest_bytes(candidate.number("trees"), task_kind=data.task.kind, rows=data.rows, outputs=outputs))


def _data_bytes(data: TrainingData) -> int:
    """The prepared rows of all folds; what folds share counts once."""
    tensors = [getattr(fold, part) for fold in data.folds.values() for part in ("dense", "codes", "target")]
    return sum({tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors}.values())
