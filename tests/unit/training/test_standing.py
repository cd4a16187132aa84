"""What is expected of candidates whose rates are yet to fall."""

import numpy as np
import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.search.halving import Halving
from lanewise.training.standing import expected_places, share_of_rates, standing_of

HALF = 1 - 0.75**0.5
"""Where a quarter of the sum of falling rates is done: a rate stands there for half of itself at the end."""

EARLY = 1 - 0.99**0.5
"""Where a hundredth of it is done: for a tenth of itself."""


def candidate(lr, *, optimizer="sgd", **settings):
    return Candidate(
        id=f"{optimizer}-{lr}-{settings}", model="net", optimizer=optimizer, settings={"lr": lr, **settings}
    )


def test_the_sum_of_rates_is_that_of_the_schedule() -> None:
    steps, fraction, warmup = np.arange(20_000), 0.3, 0.1
    climb = warmup * len(steps)
    for name, curve in {"linear": lambda t: 1 - t, "cosine": lambda t: (1 + np.cos(np.pi * t)) / 2}.items():
        rates = np.where(steps < climb, (steps + 1) / climb, curve((steps - climb) / (len(steps) - climb)))
        share = rates[: round(fraction * len(steps))].sum() / rates.sum()
        assert share_of_rates(name, warmup, fraction) == pytest.approx(share, abs=2e-3)
    assert share_of_rates("constant", 0.0, 0.25) == pytest.approx(0.25)


def test_a_rate_is_judged_as_the_higher_one_that_stands_for_it() -> None:
    own = [candidate(0.001 * 10**place) for place in range(5)]  # too far apart to be near each other
    seen = np.array([5.0, 4.0, 2.0, 1.0, 3.0])
    assert expected_places(own, seen, EARLY) == pytest.approx([3.0, 1.0, 0.0, 2.0, 2.0], abs=0.05)
    assert expected_places(own, seen, 1.0) == pytest.approx([4.0, 3.0, 1.0, 0.0, 2.0], abs=1e-9)


def test_how_far_scores_are_apart_changes_nothing() -> None:
    own = [candidate(0.1 * 2**place) for place in range(5)]
    seen = np.array([5.0, 4.0, 2.0, 1.0, 3.0])
    assert expected_places(own, seen, 0.1).tolist() == expected_places(own, np.exp(9 * seen), 0.1).tolist()


def test_only_candidates_of_one_kind_stand_for_each_other() -> None:
    kinds = [{"optimizer": "sgd", "batch_size": 16}, {"optimizer": "sgd", "batch_size": 32}, {"optimizer": "adamw"}]
    mixed = [candidate(0.1 * 2**place, **kind) for place, kind in enumerate(kinds)]
    assert expected_places(mixed, np.array([1.0, 2.0, 3.0]), 0.1).tolist() == [0.0, 1.0, 2.0]


def test_of_equal_rates_each_keeps_its_lead() -> None:
    grid = [candidate(rate, weight_decay=decay) for rate in (0.1, 1.0) for decay in (0.0, 0.1)]
    found = expected_places(grid, np.array([5.0, 6.0, 1.0, 2.0]), EARLY)
    assert found == pytest.approx([0.0, 1.0, 0.0, 1.0], abs=0.05)


def test_who_has_no_score_or_no_rate_stands_for_nobody() -> None:
    own = [candidate(0.1), candidate(1.0), candidate(4.0), candidate(0.0)]
    found = expected_places(own, np.array([3.0, 1.0, np.nan, 2.0]), EARLY)
    assert np.isnan(found[2])
    assert found[[0, 1, 3]] == pytest.approx([0.0, 0.0, 1.0], abs=0.05)


@pytest.mark.parametrize(("forecasts", "kept"), [(False, [0.4, 0.8, 1.6]), (True, [0.2, 0.4, 0.8])])
def test_halving_keeps_what_is_to_be_best_and_what_is(forecasts, kept) -> None:
    own = [candidate(0.1 * 2**place) for place in range(9)]
    standing = standing_of(
        own,
        own,
        rung=0,
        fraction=HALF,
        scores=np.array([6.0, 4.0, 2.0, 1.0, 3.0, 5.0, 7.0, 8.0, 9.0]),
        losses=None,
        numbers={one.id: place for place, one in enumerate(own)},
        entrants=9,
        kinds=np.zeros(9, dtype=int),
        forecasts=forecasts,
    )
    going = Halving(survivors=1).decide(standing).keep
    assert sorted(own[place].number("lr") for place in going) == pytest.approx(kept)
