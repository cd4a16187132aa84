"""The kinds of worker processes. Nothing of weight is loaded here: a fit prepares for them before all else."""

from collections.abc import Mapping
from dataclasses import dataclass

from lanewise.training.workers import freed_memory

LIGHTGBM, SINGLE_TREES = "lightgbm", "sklearn.tree"
"""Parts that the trees' workers load beside their module."""


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    """Workers of a ``module``, which errors call ``what``, in the singular.

    ``environment`` is added to that of this process before they load anything. They load ``parts`` beside the module.
    """

    module: str
    what: str
    environment: Mapping[str, str]
    parts: tuple[str, ...] = ()


TEAM_WORKER = WorkerKind(
    module="lanewise.training.workers.team_worker",
    what="the lanes' worker",
    environment={"OMP_NUM_THREADS": "1", **freed_memory.ENVIRONMENT},
)


def tree_worker(*, threads: int, single_trees: bool) -> WorkerKind:
    """Workers for trees; ``single_trees``, forests among them, are those of scikit-learn."""
    return WorkerKind(
        module="lanewise.training.trees.worker",
        what="the trees' worker",
        environment={"OMP_NUM_THREADS": str(threads)},
        parts=(LIGHTGBM, SINGLE_TREES) if single_trees else (LIGHTGBM,),
    )
