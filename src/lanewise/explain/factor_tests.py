"""Whether the groups of a factor differ by more than chance, and by more than what went along with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lanewise.explain.factors import OPTIMIZER, Factor
from lanewise.statistics import fisher_tail, keyed_generator

PERMUTATIONS = 1999
SIGNIFICANT = 0.05
SPARE = 4
"""Degrees of freedom that an adjusted test must leave for the noise; with fewer it says nothing."""

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """A factor with the losses of its members, what their optimizers differ in on the whole taken off.

    ``p`` is not corrected for the number of factors; ``freedom`` are the degrees of freedom within groups.
    """

    factor: Factor
    losses: Array
    freedom: int
    p: float


def tested(factors: Sequence[Factor], losses: Array, optimizers: Places, *, seed: int) -> list[Tested]:
    """Each factor tested: alone by permutation, and beside every one and every two of the others.

    The points of a search of some forty candidates are far from orthogonal, so a setting may look decisive
    only because it went along with another. ``p`` is therefore the largest of the permutation test's and of
    the F tests that allow for up to two other factors.

    Args:
        factors: of M candidates.
        losses: ``[M]``.
        optimizers: number of the optimizer of each, ``[M]``.
        seed: key of the permutations.
    """
    found = []
    for factor in factors:
        own = losses[factor.members]
        block = optimizers[factor.members] if OPTIMIZER not in factor.names else np.zeros(len(own), dtype=np.intp)
        block = np.unique(block, return_inverse=True)[1]
        counts = np.bincount(block)
        centred = own - (np.bincount(block, weights=own) / counts)[block]
        p = _permutation_p(centred, factor, block, seed)
        if p < SIGNIFICANT:
            p = max(p, *(_adjusted_p(own, factor, beside) for beside in _beside(factor, factors, block)), 0.0)
        freedom = max(1, len(own) - len(factor.labels) - (len(counts) - 1))
        found.append(Tested(factor=factor, losses=centred + own.mean(), freedom=freedom, p=p))
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number: ``max over smaller ones of (m - rank) p``, at most 1.

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda place: p[place])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected


def _permutation_p(centred: Array, factor: Factor, block: Places, seed: int) -> float:
    """How often a shuffle within the blocks spreads the means of the groups as far as they are."""
    generator = keyed_generator(seed, "effects", *factor.names)
    # Sorting by block first and by a random number second shuffles within blocks; the places are then put back.
    draws = generator.random((PERMUTATIONS, len(block))) + block
    home = np.argsort(block, kind="stable")
    shuffled = np.empty_like(draws)
    shuffled[:, home] = centred[np.argsort(draws, axis=1)]
    inside = _indicators(factor.group)
    spread = ((np.vstack([centred, shuffled]) @ inside) ** 2 / inside.sum(axis=0)).sum(axis=1)
    return float(np.count_nonzero(spread >= spread[0] * (1 - 1e-9)) / len(spread))


def _beside(factor: Factor, factors: Sequence[Factor], block: Places) -> Iterator[Array]:
    """Indicators of the blocks with one or two other factors; those that the factor itself determines are no rivals."""
    others = [other for other in factors if other is not factor and not factor.determines(other)]
    columns = []
    for other in others:
        _, here, there = np.intersect1d(factor.members, other.members, return_indices=True)
        inside = _indicators(other.group)[there]
        column = np.zeros((len(factor.members), inside.shape[1]))
        # Centred, so that who has the setting at all is not held against the factor: that is the optimizer's doing.
        column[here] = inside - inside.mean(axis=0)
        columns.append(column)
    blocks = _indicators(block)
    for count in (1, 2):
        for chosen in combinations(columns, count):
            yield np.hstack([blocks, *chosen])


def _adjusted_p(losses: Array, factor: Factor, beside: Array) -> float:
    """F test of the factor's groups in an additive model with ``beside [n, Q]``; 0 where it leaves too few rows."""
    without, rank = _left(losses, beside)
    with_it, full = _left(losses, np.hstack([beside, _indicators(factor.group)]))
    if full == rank:
        return 1.0
    if len(losses) - full < SPARE:
        return 0.0
    noise = with_it / (len(losses) - full)
    ratio = (without - with_it) / (full - rank) / noise if noise > 0 else np.inf
    return fisher_tail(full - rank, len(losses) - full, max(ratio, 0.0))


def _left(losses: Array, design: Array) -> tuple[float, int]:
    """What least squares leave of the losses, squared and summed, and the rank of the design."""
    fitted, _, rank, _ = np.linalg.lstsq(design, losses, rcond=1e-10)
    return float(((losses - design @ fitted) ** 2).sum()), int(rank)


def _indicators(group: Places) -> Array:
    return (group[:, None] == np.arange(group.max() + 1)).astype(np.float64)
