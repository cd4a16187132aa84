"""Racing keeps the best in all but ``alpha`` of races, and drops who is clearly worse."""

from collections.abc import Callable
from math import comb

import numpy as np
import pytest

from lanewise.search.policy import Policy
from lanewise.search.racing import Racing

RACES, UNITS = 200, 80
ALPHA = 0.05
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

SHAPES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape),
    "right or wrong": lambda rng, shape: (rng.random(shape) < 0.3).astype(float),
}


def raced(policy: Policy, stand, rng: np.random.Generator, draw: Draw, *, worse: np.ndarray, looks: int) -> set[int]:
    """Who is left of a race; ``worse [M]`` is what each loses on average above the best, at every look.

    Rows have a difficulty that all share, and what a candidate makes of a row changes little from look to look.
    """
    count = len(worse)
    difficulty, own = draw(rng, (UNITS,)), draw(rng, (count, UNITS))
    left = np.arange(count)
    for rung in range(looks):
        losses = difficulty + own + 0.3 * draw(rng, (count, UNITS)) + worse[:, None]
        seen = stand(losses[left].mean(1), losses=losses[left], rung=rung, numbers=left, entrants=count)
        left = left[list(policy.decide(seen).keep)]
    return set(left.tolist())


def improbable(dropped: int) -> bool:
    """Whether so many of the races or more had a chance below 1 in 1,000 if each drops with probability ``ALPHA``."""
    return sum(comb(RACES, k) * ALPHA**k * (1 - ALPHA) ** (RACES - k) for k in range(dropped, RACES + 1)) < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 16])
def test_of_equal_candidates_the_best_is_dropped_in_at_most_alpha_of_the_races(stand, shape: str, count: int) -> None:
    policy, rng = Racing(alpha=ALPHA), np.random.default_rng(count)
    looks = len(policy.rungs(count))
    # Equal ones are all the best; one of them is watched.
    dropped = sum(
        0 not in raced(policy, stand, rng, SHAPES[shape], worse=np.zeros(count), looks=looks) for _ in range(RACES)
    )
    assert dropped <= ALPHA * RACES


def test_the_same_test_without_the_bound_would_drop_the_best_too_often(stand) -> None:
    # Each comparison alone at the level: what the bound is for.
    count, rng = 16, np.random.default_rng(0)
    looks = len(Racing().rungs(count))
    naive = Racing(alpha=ALPHA * looks * (count - 1))
    dropped = sum(
        0 not in raced(naive, stand, rng, SHAPES["normal"], worse=np.zeros(count), looks=looks) for _ in range(RACES)
    )
    assert improbable(dropped)


@pytest.mark.parametrize("shape", SHAPES)
def test_clearly_worse_candidates_go_and_of_the_best_some_stay(stand, shape: str) -> None:
    policy, rng = Racing(), np.random.default_rng(1)
    worse = np.repeat([0.0, 2.0], 8)
    for _ in range(20):
        left = raced(policy, stand, rng, SHAPES[shape], worse=worse, looks=1)
        assert left
        assert left <= set(range(8))


def test_pairs_see_what_means_alone_do_not(stand) -> None:
    rng = np.random.default_rng(2)
    rows = 10 * rng.normal(size=UNITS)  # far more than the candidates differ by
    losses = np.stack([rows, rows + 0.1 + 0.02 * rng.normal(size=UNITS)])
    assert Racing().decide(stand(losses.mean(1), losses=losses)).keep == (0,)


def test_few_rows_or_none_drop_nobody_but_who_has_no_score(stand) -> None:
    losses = np.repeat([[0.0], [9.0], [np.nan]], 29, axis=1)
    assert Racing().decide(stand([0.0, 9.0, np.nan], losses=losses)).keep == (0, 1)
    assert Racing().decide(stand([0.0, 9.0, np.nan])).keep == (0, 1)


def test_a_constant_difference_decides_and_one_of_arithmetic_does_not(stand) -> None:
    rows = np.random.default_rng(3).random(UNITS)
    losses = np.stack([rows, rows + 1.0, rows * (1 + 1e-15)])
    assert Racing().decide(stand(losses.mean(1), losses=losses)).keep == (0, 2)


def test_who_scored_best_earlier_stays_though_it_is_behind_now(stand) -> None:
    losses = np.repeat([[0.2], [1.0]], UNITS, axis=1)
    assert Racing().decide(stand([0.2, 0.1], losses=losses)).keep == (1, 0)
