"""Worker processes for lanes of a user's own module: forked, so that they know it whatever it is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn

import torch

from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Plan
from lanewise.training.workers.forked_child import ForkedChild, can_fork
from lanewise.training.workers.freed_memory import keep_freed_memory
from lanewise.training.workers.loop import serve
from lanewise.training.workers.team_pool import TeamPool
from lanewise.training.workers.team_worker import Worker

WORTH_PROCESSES = 4000
"""Steps of lanes in a race from which it is shared out among processes: to fork one takes some ten milliseconds."""


def may_fork(teams: ModuleTeams) -> bool:
    """Whether stacks can have processes of their own: several workers, a dtype of NumPy, and this system can fork."""
    return teams.workers_here > 1 and teams.blueprint.dtype in (torch.float32, torch.float64) and can_fork()


def in_processes(teams: ModuleTeams, plan: Plan) -> bool:
    """Whether the stacks of a race train in processes: :func:`may_fork`, and there is enough to do.

    No clock is read: the same plan always gives the same stacks.
    """
    lane_steps = len(plan.candidates) * min(plan.lengths.steps(batch) for batch in teams.ways)
    return lane_steps >= WORTH_PROCESSES and may_fork(teams)


@contextmanager
def seated(teams: ModuleTeams) -> Iterator[ModuleTeams]:
    """The teams of a race with processes that end with the block; without any where there cannot be :func:`may_fork`.

    Ranks that share batches need none: each trains one stack at a time.
    """
    if not may_fork(teams) or teams.axis is not None:
        yield teams
        return

    def launch(folder: Path) -> ForkedChild:
        return ForkedChild(partial(_serve, teams, folder))

    with TeamPool(workers=teams.workers_here, launch=launch, tell=teams.notes.append) as pool:
        yield replace(teams, seats=pool)


def _serve(teams: ModuleTeams, folder: Path, requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    torch.set_num_threads(1)
    keep_freed_memory()
    worker = Worker(folder, data=teams.data, build=teams.at_home, notes=teams.notes)
    serve(worker.answer, folder, streams=(requests, answers))
