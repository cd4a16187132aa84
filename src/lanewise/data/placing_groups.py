"""Which part of a split a group of rows goes into, all of it."""

import numpy as np

_ADDED_TOGETHER = 8
"""From so many terms on NumPy does not add one after the other."""


def place_groups(
    part_of_unit: np.ndarray,
    loads: np.ndarray,
    *,
    unit_of: np.ndarray,
    strata: np.ndarray,
    sizes: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Place the units of two rows or more, the largest first, where the squared lack of their strata shrinks most."""
    totals = np.bincount(strata).astype(np.float64)
    rows = np.flatnonzero(sizes[unit_of] > 1)
    cells, counts = np.unique(unit_of[rows] * len(totals) + strata[rows], return_counts=True)
    owners, kinds = np.divmod(cells, len(totals))
    bounds = np.append(np.flatnonzero(np.diff(owners, prepend=-1)), len(owners))
    shuffled = rng.permutation(len(bounds) - 1)
    by_size = shuffled[np.argsort(-sizes[owners[bounds[shuffled]]], kind="stable")]
    # Plain numbers: there may be a group for every few rows, and arrays of so few cells cost many times as much.
    starts, named, scale = bounds.tolist(), owners[bounds[:-1]].tolist(), len(strata) ** 2
    cells = list(zip(kinds.tolist(), counts.tolist(), (totals[kinds] ** 2).tolist(), strict=True))
    wanted, whole, had = (shares[:, None] * totals).tolist(), (shares * len(strata)).tolist(), loads.tolist()
    filled = [0.0] * len(whole)
    for place in by_size.tolist():
        mine = cells[starts[place] : starts[place + 1]]
        size = sum(added for _, added, _ in mine)
        worth = []
        for share, want, has, all_rows, some in zip(shares.tolist(), wanted, had, whole, filled, strict=True):
            changes = [(added**2 - 2 * added * (want[kind] - has[kind])) / squared for kind, added, squared in mine]
            change = _total(changes) + (size**2 - 2 * size * (all_rows - some)) / scale
            worth.append(change / share)
        chosen = worth.index(min(worth))
        part_of_unit[named[place]] = chosen
        for kind, added, _ in mine:
            had[chosen][kind] += added
        filled[chosen] += size
    loads[:] = had


def _total(terms: list[float]) -> float:
    """The sum as NumPy rounds it."""
    if len(terms) >= _ADDED_TOGETHER:
        return float(np.sum(terms))
    total = terms[0]
    for term in terms[1:]:
        total += term
    return total
