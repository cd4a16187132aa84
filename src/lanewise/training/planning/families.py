"""The model families of a race: what each is worth, which are left where time is short, whose default it is."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import GRID
from lanewise.training.planning.proposals import MODELS
from lanewise.training.planning.shortening import length_of, shortest_of

FAMILY_SHARES = {"lightgbm": 0.45, "mlp": 0.4, "forest": 0.15, "linear": 0.1, "tree": 0.05}
"""How the processor time is split between the families before anything is known of this table."""


def share_of(models: Iterable[str]) -> float:
    """The shares of families together, rounded once: a set is gone through in another order in every process.

    >>> share_of(["mlp", "forest", "tree"]) == share_of(["tree", "forest", "mlp"]) == 0.6
    True
    """
    return math.fsum(FAMILY_SHARES[model] for model in models)


def sets_of(families: Iterable[str]) -> list[tuple[str, ...]]:
    """All sets of families, first the larger ones, of equal ones those that are worth more time.

    Forests are the first to go: they rarely gain what leaving another family out, or shortening it, would lose.
    """
    known = list(families)
    sets = [own for count in range(len(known), 0, -1) for own in itertools.combinations(known, count)]
    return sorted(sets, key=lambda own: (-len(own), "forest" in own, -share_of(own)))


def affordable_families(
    pools: Mapping[str, list[Candidate]], measured: Measured, available: float, *, boosted: bool = True
) -> dict[str, list[Candidate]]:
    """The families of which one candidate at least can be confirmed at the shortest length, the default marked.

    ``available`` are processor seconds per fold, of which one candidate may take half. The default is of the first
    family, in the documented order, of which it fits; a boosted default is no shorter than it is, so it may take all of
    them. Where it does not fit, or is not to be ``boosted``, shorter ones of its family race as others. The cheapest
    family stays, whatever the budget.
    """

    shortest = {model: shortest_seconds(model, pools, measured) for model in pools}

    def fits_as_default(model: str) -> bool:
        first = pools[model][0]
        if length_of(first) is None:
            return 2.0 * shortest[model] < available
        whole = measured.costs[model][first.id] + len(GRID) * measured.looks[first.id]
        return whole + measured.once.get(model, 0.0) < available

    kept = [model for model in pools if 2.0 * shortest[model] < available] or [min(pools, key=shortest.__getitem__)]
    among = [model for model in MODELS if model in kept and (boosted or model != "lightgbm")]
    default = next((model for model in among if fits_as_default(model)), None)
    return with_default({model: pools[model] for model in kept}, default)


def shortest_seconds(model: str, pools: Mapping[str, list[Candidate]], measured: Measured) -> float:
    """Processor seconds of the first candidate of a family on one fold, at the shortest length."""
    first = pools[model][0]
    training = shortest_of(first) * measured.costs[model][first.id] + len(GRID) * measured.looks[first.id]
    return training + measured.once.get(model, 0.0)


def with_default(pools: Mapping[str, list[Candidate]], family: str | None = None) -> dict[str, list[Candidate]]:
    """Mark the default of the race: the first candidate of ``family``, if None of the first in the documented order."""
    family = family or next(model for model in MODELS if model in pools)
    default = pools[family][0].id
    return {model: [replace(one, is_default=one.id == default) for one in pool] for model, pool in pools.items()}
