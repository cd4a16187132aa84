"""The Pareto front of two things to keep small."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(losses: ArrayLike, costs: ArrayLike) -> NDArray[np.bool_]:
    """Which of M points ``[M]`` nobody dominates: is at least as good in loss and in cost, and better in one.

    Args:
        losses: ``[M]``, smaller is better; one that is not finite is on no front.
        costs: ``[M]``, as well.

    >>> pareto_front([0.1, 0.2, 0.3, 0.2], [9.0, 5.0, 7.0, 5.0]).tolist()
    [True, True, False, True]
    """
    first, second = np.asarray(losses, dtype=float), np.asarray(costs, dtype=float)
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = np.where(finite, first, np.inf), np.where(finite, second, np.inf)
    no_worse = (first[:, None] <= first) & (second[:, None] <= second)
    better = (first[:, None] < first) | (second[:, None] < second)
    return finite & ~(no_worse & better).any(0)
