"""The worker processes of a fit, where there is enough to train to be worth their start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lanewise.data.memory import free_bytes
from lanewise.data.streaming import size_words
from lanewise.data.wording import counted
from lanewise.distributed.ranks import Ranks
from lanewise.fitting.planned import budget_of
from lanewise.fitting.wanted_workers import SINGLE_TREES, STACKS, WORTH_TEAMS_STEPS, teams_are_worth
from lanewise.models.trees import TREE_KINDS
from lanewise.settings.fit import FitSettings
from lanewise.training.data import TrainingData
from lanewise.training.planning.memory import workers_with_room
from lanewise.training.problem import Problem, stored_for_trees, tree_data
from lanewise.training.ranks.planning import workers_here
from lanewise.training.streamed.row_store import RowStore
from lanewise.training.teams import Seats
from lanewise.training.trees.pool import TreePool
from lanewise.training.workers.process import nobody
from lanewise.training.workers.team_pool import TeamPool


def workers_for(problem: Problem, settings: FitSettings, ranks: Ranks, *, tell: Callable[[str], object]) -> int:
    """The workers of each rank: as stated or as suit the cores, but no more than memory has room for."""
    wanted = workers_here(settings.workers, ranks)
    free = free_bytes()
    room = workers_with_room(
        wanted,
        free=free,
        cells=len(problem.train) * len(problem.layout.columns),
        trees=bool(TREE_KINDS.keys() & set(settings.models)),
        stacks=_has_teams(problem, settings, wanted),
        processes=ranks.place.local_size,
    )
    room = min(int(own) for own in ranks.gather(str(room).encode()))
    if room < wanted:
        tell(f"{counted(room, 'worker')} at a time, not {wanted}: only {size_words(free)} of memory are free")
    return room


@contextmanager
def tree_pool(
    problem: Problem,
    settings: FitSettings,
    workers: int,
    folder: Path | None,
    *,
    at_once: bool,
    stored: RowStore | None = None,
    tell: Callable[[str], object] = nobody,
) -> Iterator[TreePool | None]:
    """Worker processes for trees, if trees take part; they start ``at_once``, or when a lane needs them.

    ``stored`` are the training rows of a table that is streamed. ``tell`` hears of one that died.
    """
    if not TREE_KINDS.keys() & set(settings.models):
        yield None
        return
    with TreePool(
        tree_data(problem),
        problem.task,
        workers=workers,
        threads_per_worker=1,
        folder=folder,
        single_trees=not SINGLE_TREES.isdisjoint(settings.models),
        waiting=not at_once,
        stored=stored_for_trees(problem, stored) if "lightgbm" in settings.models else None,
        tell=tell,
    ) as pool:
        yield pool


@contextmanager
def team_pool(
    problem: Problem,
    settings: FitSettings,
    workers: int,
    folder: Path | None,
    *,
    spent: float = 0.0,
    pace: float = 1.0,
    tell: Callable[[str], object] = nobody,
) -> Iterator[TeamPool | None]:
    """Worker processes for stacks and solvers, where there is enough to train to be worth their start.

    They change no bit: a team trains the same in this process and in another. ``spent`` are seconds of the budget that
    are gone; a machine of which a run has the share ``pace`` needs as many times longer to start them.
    """
    if not _has_teams(problem, settings, workers, spent=spent, pace=pace):
        yield None
        return
    with TeamPool(workers=workers, folder=folder, tell=tell) as pool:
        pool.ready()  # so that what the plan measures is not their start
        yield pool


def _has_teams(problem: Problem, settings: FitSettings, workers: int, *, spent: float = 0.0, pace: float = 1.0) -> bool:
    """Whether `team_pool` makes processes."""
    seconds, steps = budget_of(problem, settings)
    long = teams_are_worth(pace * (seconds - spent)) if steps is None else steps >= WORTH_TEAMS_STEPS
    streamed = problem.dataset.rest is not None  # rows that are mapped already, in this process
    return not streamed and workers >= 2 and long and not STACKS.isdisjoint(settings.models)


def seated(data: TrainingData, pool: TeamPool | None) -> tuple[TrainingData, Seats | None]:
    """The data where the pool's workers, if there are any, share their memory, and the way to them."""
    if pool is None:
        return data, None
    mapped, name = pool.share(data)
    return mapped, Seats(pool=pool, data=name)
