"""Groups of a split: each goes where it does most good, to the bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.placing_groups import place_groups


def where_groups_go(units: np.ndarray, strata: np.ndarray, shares: np.ndarray, order: np.ndarray) -> dict[int, int]:
    """The part of each group, as the formula says it in arrays."""
    totals, loads, filled = np.bincount(strata).astype(float), np.zeros((len(shares), strata.max() + 1)), 0.0 * shares
    found = {}
    for group in order:
        kind, added = np.unique(strata[units == group], return_counts=True)
        size = added.sum()
        lack = shares[:, None] * totals[kind] - loads[:, kind]
        change = ((added**2 - 2 * added * lack) / totals[kind] ** 2).sum(axis=1)
        change += (size**2 - 2 * size * (shares * len(strata) - filled)) / len(strata) ** 2
        chosen = int(np.argmin(change / shares))
        loads[chosen, kind] += added
        filled[chosen] += size
        found[int(group)] = chosen
    return found


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), st.sampled_from([1, 2, 7, 12]), st.sampled_from([2, 3, 5]))
def test_groups_go_to_the_bit_where_the_formula_in_arrays_sends_them(seed: int, kinds: int, parts: int) -> None:
    draw = np.random.default_rng(seed)
    units, strata = draw.integers(0, 12, 200), draw.integers(0, kinds, 200)
    shares, sizes = draw.dirichlet(np.ones(parts)), np.bincount(units, minlength=12)
    part_of_unit, loads = np.full(12, -1), np.zeros((parts, strata.max() + 1))
    place_groups(
        part_of_unit, loads, unit_of=units, strata=strata, sizes=sizes, shares=shares, rng=np.random.default_rng(seed)
    )
    several = np.flatnonzero(sizes > 1)
    shuffled = several[np.random.default_rng(seed).permutation(len(several))]
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    known = where_groups_go(units, strata, shares, order)
    assert {int(group): int(part_of_unit[group]) for group in several} == known
    for part in range(parts):
        mine = np.isin(units, [group for group, own in known.items() if own == part])
        np.testing.assert_array_equal(loads[part], np.bincount(strata[mine], minlength=loads.shape[1]))
