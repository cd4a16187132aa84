"""A curve of loss against rate is read by its rules."""

import math

import numpy as np
import pytest

from lanewise.tuning.finders.rate_curve import RateCurve, read_curve

RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
START = np.full(50, 1.0)


def curve(means, *, noise=0.0, margin=2.0, start=START) -> RateCurve:
    """``noise`` differs by row and rate, and is zero on average."""
    rows = np.random.default_rng(0).normal(size=(len(means), len(start)))
    rows -= rows.mean(1, keepdims=True)
    return read_curve("sgd", RATES[: len(means)], np.array(means)[:, None] + noise * rows, start, margin=margin)


def test_the_least_loss_the_edge_and_the_suggestion() -> None:
    found = curve([0.99, 0.9, 0.5, 0.2, 0.8, math.nan])
    assert (found.best, found.edge, found.suggested) == (0.1, 1.0, 0.01)
    assert found.least == pytest.approx(0.2)
    assert found.tied == (0.1, 0.1)
    assert math.isnan(found.losses[-1])
    assert found.words == (
        "sgd: train with a rate of 0.01; the loss falls most at 0.1, from 1 to 0.2; training is not stable above 1"
    )


def test_what_ends_above_its_start_is_past_the_edge() -> None:
    assert curve([0.9, 0.5, 0.2, 1.5, 0.1, 0.3]).best == 1.0  # a rate beyond one that fails may still do best
    found = curve([0.9, 0.5, 0.2, 1.5, 0.3, 0.3])
    assert (found.best, found.edge) == (0.01, 0.01)


def test_a_loss_that_rose_on_the_way_is_past_the_edge() -> None:
    """A network that blew up and died ends a little below its start."""
    losses = np.array([0.9, 0.5, 0.2, 0.95])[:, None] + np.zeros((4, 50))
    found = read_curve("sgd", RATES[:4], losses, START, rises=[0.0, 0.0, 0.1, 800.0])
    assert (found.best, found.edge) == (0.01, 0.01)
    assert read_curve("sgd", RATES[:4], losses, START).edge is None
    assert read_curve("sgd", RATES[:4], losses, START, rises=[0.0, 0.0, 0.1, math.nan]).edge == 0.01


def test_a_little_above_the_start_is_noise() -> None:
    assert curve([0.2, 0.3, 1.01, 5.0], noise=0.1).edge == 0.01
    assert curve([0.2, 0.3, 1.01, 5.0], noise=0.0).edge == 0.001


def test_twice_the_start_is_never_noise() -> None:
    """One row that explodes makes the standard error as large as the mean."""
    losses = np.full((3, 50), 0.5)
    losses[2, 0] = 1000.0
    assert read_curve("sgd", RATES[:3], losses, START).edge == 1e-3


def test_rates_within_noise_of_the_best_are_as_good() -> None:
    found = curve([0.9, 0.21, 0.2, 0.205, 0.9], noise=0.3)
    assert found.best == 0.01
    assert found.tied == (0.001, 0.1)
    assert found.suggested == 0.01
    assert curve([0.9, 0.21, 0.2, 0.205, 0.9], noise=0.3, margin=1.0).suggested == 0.1


def test_no_edge_where_the_highest_rate_is_stable() -> None:
    found = curve([0.9, 0.8, 0.2])
    assert found.edge is None
    assert found.words.endswith("training is stable up to 0.01")


@pytest.mark.parametrize("means", [[1.0, 1.0, 1.0], [math.nan, math.nan, math.nan], [2.5, 3.0, math.nan]])
def test_nothing_is_suggested_where_nothing_was_learned(means) -> None:
    found = curve(means)
    assert (found.best, found.tied, found.edge, found.suggested) == (None, None, None, None)
    assert math.isnan(found.least)
    assert f"{sum(map(math.isnan, means))} of 3 diverged" in found.words


def test_the_lowest_rate_is_suggested_where_none_is_low_enough() -> None:
    assert curve([0.2, 0.9]).suggested == 1e-4
