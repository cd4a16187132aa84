"""Points of the unit cube for a search: a grid, random, or quasi-random."""

import itertools
import math
from typing import Literal, get_args

import numpy as np

Sampling = Literal["sobol", "random", "grid"]
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)


def unit_points(count: int, dims: int, *, sampling: Sampling, seed: int) -> np.ndarray:
    """``count`` points ``[count, dims]`` of the open unit cube.

    ``sobol`` covers the cube evenly with scrambled quasi-random points (Owen 1998), ``random`` draws
    independently, ``grid`` is the coarsest full grid with at least ``count`` points, cut to ``count``.

    >>> unit_points(4, 2, sampling="grid", seed=0).tolist()
    [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]]
    """
    if dims == 0 or count == 0:
        return np.zeros((count, dims))
    if sampling == "random":
        return np.random.default_rng(seed).random((count, dims))
    if sampling == "grid":
        side = math.ceil(count ** (1 / dims) - 1e-9)
        ticks = [(i + 0.5) / side for i in range(side)]
        return np.array(list(itertools.islice(itertools.product(ticks, repeat=dims), count)))
    from torch.quasirandom import SobolEngine

    points = SobolEngine(dims, scramble=True, seed=seed).draw(count).double().numpy()
    return np.clip(points, 1e-9, 1 - 1e-9)
