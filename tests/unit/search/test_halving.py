import numpy as np
import pytest

from lanewise.search.halving import Halving
from lanewise.search.policy import Standing, ranked


def standing(scores: list[float], protected: tuple[int, ...] = (), families: list[int] | None = None) -> Standing:
    mask = np.zeros(len(scores), dtype=bool)
    mask[list(protected)] = True
    return Standing(
        rung=0,
        scores=np.array(scores),
        losses=None,
        families=np.array(families or [0] * len(scores)),
        protected=mask,
    )


def test_rungs_grow_by_eta_up_to_the_full_length() -> None:
    assert Halving(eta=3, shortest=1 / 9).rungs(50) == pytest.approx((1 / 9, 1 / 3, 1.0))
    assert Halving(eta=2, shortest=1 / 8).rungs(50) == pytest.approx((0.125, 0.25, 0.5, 1.0))


def test_a_small_field_is_not_screened() -> None:
    assert Halving(survivors=4).rungs(4) == ()


def test_the_best_third_goes_on() -> None:
    decision = Halving(survivors=1).decide(standing([5, 1, 4, 2, 6, 3, 9, 8, 7]))
    assert decision.keep == (1, 3, 5)


def test_every_family_keeps_its_best_and_the_protected_stay() -> None:
    decision = Halving(survivors=1).decide(standing([1, 2, 3, 9, 8, 10], (5,), [0, 0, 0, 1, 1, 0]))
    assert decision.keep == (0, 1, 4, 5)


def test_candidates_without_a_score_come_last() -> None:
    assert ranked(np.array([np.nan, 2.0, np.nan, 1.0])) == [3, 1, 0, 2]
