"""Small sets of combinations in which every pair of choices still meets."""

import random
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]


def pairwise_design(factors: Mapping[str, Sequence[Any]], *, seed: int = 0, tries: int = 40) -> list[Row]:
    """Rows such that every two choices of two factors occur together in one of them.

    Greedy: each new row starts from a pair that is still missing and is the best of ``tries`` draws.
    """
    draw = random.Random(seed)
    missing = {
        ((one, a), (other, b))
        for one, other in combinations(factors, 2)
        for a, b in product(range(len(factors[one])), range(len(factors[other])))
    }
    design: list[dict[str, int]] = []
    while missing:
        pair = dict(min(missing))
        candidates = [
            {name: draw.randrange(len(values)) for name, values in factors.items()} | pair for _ in range(tries)
        ]
        best = max(candidates, key=lambda row: len(_pairs(row) & missing))
        missing -= _pairs(best)
        design.append(best)
    return [{name: factors[name][at] for name, at in row.items()} for row in design]


def _pairs(row: Mapping[str, int]) -> set[tuple[tuple[str, int], tuple[str, int]]]:
    return set(combinations(row.items(), 2))
