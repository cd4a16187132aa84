"""Whether a column of numbers has tails too heavy for a mean and a standard deviation."""

import numpy as np

_FEWEST_DISTINCT = 10
_PROBABILITIES = (0.025, 0.25, 0.5, 0.75, 0.975)
# Crow-Siddiqui kurtosis: 2.9 for normal, 3.3 for exponential, 4.3 for Laplace, 4.8 for log-normal values (sigma = 1).
_HEAVIEST_KURTOSIS = 4.5
# The largest of ten million exponential values lies about 14 interquartile ranges from the median.
_FARTHEST_RANGES = 15.0


def are_heavy_tailed(columns: np.ndarray) -> np.ndarray:
    """What `is_heavy_tailed` says of each row of finite ``columns [C, N]``: ``[C]`` bool.

    >>> draws = np.random.default_rng(0).normal(size=1000)
    >>> are_heavy_tailed(np.stack([draws, np.exp(2 * draws), np.zeros(1000)])).tolist()
    [False, True, False]
    """
    largest = np.abs(columns).max(axis=1, initial=0.0)
    values = np.sort(columns / np.where(largest == 0, 1.0, largest)[:, None], axis=1)
    low, quarter, middle, three_quarters, high = np.quantile(values, _PROBABILITIES, axis=1)
    spread = three_quarters - quarter
    varied = (np.diff(values, axis=1) != 0).sum(axis=1) + 1 >= _FEWEST_DISTINCT
    farthest = np.maximum(values[:, -1] - middle, middle - values[:, 0])
    found = varied & ((high - low > _HEAVIEST_KURTOSIS * spread) | (farthest > _FARTHEST_RANGES * spread))
    for place in np.flatnonzero(varied & (spread == 0)):  # mostly one value: the others are judged
        found[place] = is_heavy_tailed(columns[place])
    return found


def is_heavy_tailed(values: np.ndarray) -> bool:
    """Whether quantiles describe ``values [N]`` better than moments do; never looks at a target.

    True where the quantile-based kurtosis ``(q97.5 - q2.5) / (q75 - q25)`` exceeds 4.5, or where some value
    lies more than 15 interquartile ranges from the median. If over half of the values are the same one (amounts
    that are mostly zero), the others are judged. Fewer than 10 distinct values are never called heavy-tailed.

    >>> draws = np.random.default_rng(0).normal(size=1000)
    >>> is_heavy_tailed(draws), is_heavy_tailed(np.exp(2 * draws))
    (False, True)

    Source: Crow and Siddiqui (1967), Robust estimation of location; Kim and White (2004), On more robust
    estimation of skewness and kurtosis.
    """
    values = values[np.isfinite(values)]
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return False
    values = values / largest
    low, quarter, middle, three_quarters, high = np.quantile(values, _PROBABILITIES)
    mostly_one = three_quarters == quarter
    moving = values[values != middle] if mostly_one else values
    if np.unique(moving).size < _FEWEST_DISTINCT:
        return False
    if mostly_one:
        low, quarter, middle, three_quarters, high = np.quantile(moving, _PROBABILITIES)
    spread = three_quarters - quarter
    farthest = max(moving.max() - middle, middle - moving.min())
    return bool(high - low > _HEAVIEST_KURTOSIS * spread or farthest > _FARTHEST_RANGES * spread)
