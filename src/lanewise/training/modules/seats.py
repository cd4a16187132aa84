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
from lanewise.training.workers.loop import serve
from lanewise.training.workers.team_pool import TeamPool
from lanewise.training.workers.team_worker import Worker

WORTH_PROCESSES = 4000
"""Steps of lanes in a race from which it is shared out among processes: to fork one takes some ten milliseconds."""


def may_fork(teams: ModuleTeams) -> bool:
    """Whether stacks can have processes of their own: several workers, a dtype of NumPy, and this system can fork."""
    return teams.workers > 1 and teams.blueprint.dtype in (torch.float32, torch.float64) and can_fork()


def in_processes(teams: ModuleTeams, plan: Plan) -> bool:
    """Whether the stacks of a race train in processes: :func:`may_fork`, and there is enough to do.

    No clock is read: the same plan always gives the same stacks.
    """
    lane_steps = len(plan.candidates) * min(teams.lengths.steps(batch) for batch in teams.ways)
    return lane_steps >= WORTH_PROCESSES and may_fork(teams)


@contextmanager
def seated(teams: ModuleTeams, plan: Plan) -> Iterator[ModuleTeams]:
    """The teams of a race by ``plan``; where :func:`in_processes`, with processes that end with the block."""
    if not in_processes(teams, plan):
        yield teams
        return
    shared = replace(teams, processes=True)

    def launch(folder: Path) -> ForkedChild:
        return ForkedChild(partial(_serve, shared, folder))

    with TeamPool(workers=teams.workers, launch=launch) as pool:
        yield replace(shared, seats=pool)


def _serve(teams: ModuleTeams, folder: Path, requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    torch.set_num_threads(1)
    worker = Worker(folder, data=teams.data, build=teams.at_home)
    serve(worker.answer, folder, streams=(requests, answers))
