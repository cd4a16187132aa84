import numpy as np
import pytest

from lanewise.search.sampling import Sampling, unit_points


@pytest.mark.parametrize("sampling", ["sobol", "random", "grid"])
@pytest.mark.parametrize(("count", "dims"), [(0, 3), (1, 1), (5, 2), (33, 7), (4, 0)])
def test_points_lie_in_the_open_cube(sampling: Sampling, count: int, dims: int) -> None:
    points = unit_points(count, dims, sampling=sampling, seed=1)
    assert points.shape == (count, dims)
    assert bool(((points > 0) & (points < 1)).all())


@pytest.mark.parametrize("sampling", ["sobol", "random"])
def test_points_repeat_with_their_seed(sampling: Sampling) -> None:
    one, two, other = (unit_points(16, 3, sampling=sampling, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_sobol_points_are_spread_more_evenly_than_random_ones() -> None:
    def unevenness(points: np.ndarray) -> float:
        counts, _ = np.histogramdd(points, bins=4, range=[(0, 1)] * 2)
        return float(counts.std())

    assert unevenness(unit_points(256, 2, sampling="sobol", seed=0)) < 0.2 * unevenness(
        unit_points(256, 2, sampling="random", seed=0)
    )
