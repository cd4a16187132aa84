"""The worker processes that a fit will want, told from its settings alone: they load while it reads its table.

It loads nothing of weight: a command calls it before it loads torch itself.
"""

from lanewise.distributed.mesh import AUTO
from lanewise.distributed.place import place_of
from lanewise.settings.budget import parse_budget
from lanewise.settings.fit import FitSettings
from lanewise.training.workers.cores import idle_cores
from lanewise.training.workers.kinds import TEAM_WORKER, WorkerKind, tree_worker
from lanewise.training.workers.nurseries import is_prepared, prepare, settle

WORTH_TREES_SECONDS = 6.0
"""What is left of a budget from which trees race beside other families: their workers take two seconds to start."""

WORTH_TEAMS_SECONDS, WORTH_TEAMS_STEPS = 16.0, 500
"""What is left of a budget from which stacks train in processes of their own: three seconds are for loading torch."""

WORTH_FORKS_SECONDS = 3.0
"""The same where it is loaded already, and processes are only forked."""

PATIENCE = 1 / 8
"""Share of what is left of a budget that a fit may wait for torch to be loaded beside it."""

TREES_PATIENCE = 1 / 3
"""The same for the libraries of trees: what `WORTH_TREES_SECONDS` leaves for them on a machine that is free."""

GONE_SECONDS = 4.0
"""What may be gone of a budget before it is known what is left: loading torch, and the table."""

TREES, SINGLE_TREES, STACKS = {"lightgbm", "forest", "tree"}, {"forest", "tree"}, {"mlp", "linear"}


def prepare_workers(settings: FitSettings, *, loads: bool = False) -> None:
    """Have what a fit's workers will be forked from load, on cores that nobody uses until they start.

    ``loads``: it has torch to load itself until then, so that theirs takes no time.
    """
    kinds = wanted(settings, loads=loads)
    left = idle_cores() // place_of().local_size - 1 if kinds else 0
    if left > 0:
        prepare(kinds, at_once=left)


def settle_workers(settings: FitSettings, *, left: float) -> bool:
    """Wait until the processes that were prepared load no more, for they make the machine busy.

    Those that a race can do without are given up where that takes too much of the seconds ``left``: whether it may
    still have trees.
    """
    patience = TREES_PATIENCE * max(left, 0.0) if races_without_trees(settings) else None
    there = settle(tree_worker(threads=1, single_trees=False), within=patience)
    settle_stacks(left=left)
    return there


def settle_stacks(*, left: float) -> None:
    """The same for those of stacks alone, which a race can always do without."""
    settle(TEAM_WORKER, within=PATIENCE * max(left, 0.0))


def load_trees(settings: FitSettings, *, left: float, pace: float) -> bool:
    """Load the libraries of trees, unless they are there, if that is worth it in the seconds that are ``left``.

    Whether trees race beside other families: not where loading takes over its share after all. A machine of which a run
    has the share ``pace`` needs as many times longer.
    """
    if is_prepared(tree_worker(threads=1, single_trees=False)):
        return left >= WORTH_FORKS_SECONDS
    if pace * left < WORTH_TREES_SECONDS:
        return False
    prepare([tree_worker(threads=1, single_trees=not SINGLE_TREES.isdisjoint(settings.models))], at_once=1)
    return settle(tree_worker(threads=1, single_trees=False), within=TREES_PATIENCE * left)


def races_without_trees(settings: FitSettings) -> bool:
    """Whether trees are not all that was asked for."""
    return not STACKS.isdisjoint(settings.models)


def teams_are_worth(left: float) -> bool:
    """Whether stacks train in processes of their own in the seconds that are ``left``, at the pace of the machine."""
    return left >= (WORTH_FORKS_SECONDS if is_prepared(TEAM_WORKER) else WORTH_TEAMS_SECONDS)


def wanted(settings: FitSettings, *, loads: bool) -> list[WorkerKind]:
    """The kinds of workers that a fit will start as far as its settings say, those first that it cannot do without.

    >>> [kind.what for kind in wanted(FitSettings(target="y", models="mlp,tree", budget="20s"), loads=True)]
    ["the trees' worker", "the lanes' worker"]
    >>> [kind.what for kind in wanted(FitSettings(target="y", models="mlp,tree", budget="5s"), loads=True)]
    []
    """
    seconds, steps = parse_budget(settings.budget) if settings.budget else (None, None)
    left = None if seconds is None else seconds - GONE_SECONDS
    models = set(settings.models)
    kinds: list[WorkerKind] = []
    long = left is None or left >= (2 * WORTH_FORKS_SECONDS if loads else WORTH_TEAMS_SECONDS)
    alone = settings.workers == 1 or settings.mesh not in (None, AUTO) or settings.stream == "always"
    if models & TREES and (left is None or left >= WORTH_TREES_SECONDS or not models & STACKS):
        kinds.append(tree_worker(threads=1, single_trees=not SINGLE_TREES.isdisjoint(models)))
    if models & STACKS and not alone and (long if steps is None else steps >= WORTH_TEAMS_STEPS):
        kinds.append(TEAM_WORKER)
    return kinds
