import numpy as np
import pytest

from lanewise.search.halving import Halving
from lanewise.search.policy import ranked


def test_rungs_grow_by_eta_up_to_the_full_length() -> None:
    assert Halving(eta=3, shortest=1 / 9).rungs(50) == pytest.approx((1 / 9, 1 / 3, 1.0))
    assert Halving(eta=2, shortest=1 / 8).rungs(50) == pytest.approx((0.125, 0.25, 0.5, 1.0))


def test_a_small_field_is_not_screened() -> None:
    assert Halving(survivors=4).rungs(4) == ()
    assert Halving(survivors=4).remaining(4) == ()


def test_the_plan_reckons_with_a_third_at_each_rung_and_the_survivors_at_the_end() -> None:
    assert Halving(survivors=4).remaining(81) == (27, 9, 4)
    assert Halving(survivors=4).remaining(10) == (4, 4, 4)


def test_the_best_third_goes_on(stand) -> None:
    decision = Halving(survivors=1).decide(stand([5, 1, 4, 2, 6, 3, 9, 8, 7]))
    assert decision.keep == (1, 3, 5)


def test_every_family_keeps_its_best_and_the_protected_stay(stand) -> None:
    decision = Halving(survivors=1).decide(stand([1, 2, 3, 9, 8, 10], (5,), families=[0, 0, 0, 1, 1, 0]))
    assert decision.keep == (0, 1, 4, 5)
    assert decision.words == "4 of 6 went on: the best 2, the default and the best of other families"
    decision = Halving(survivors=1).decide(stand([1, 2, 3, 4, 5, 6], (5,)))
    assert decision.words == "3 of 6 went on: the best 2 and the default"
    assert Halving(survivors=1).decide(stand([1, 2, 3, 4, 5, 6])).words == "the best 2 of 6 went on"
    assert Halving(survivors=6).decide(stand([1, 2, 3, 4, 5, 6])).words == "all 6 went on"


def test_after_the_full_length_the_best_enter_the_confirmation(stand) -> None:
    policy = Halving(survivors=1)
    assert policy.decide(stand([1, 2, 3, 4, 5, 6], rung=2)).words == "the best 2 of 6 entered the confirmation"
    assert policy.decide(stand([1, 2, 3, 4, 5, 6], rung=1)).words == "the best 2 of 6 went on"


def test_a_family_without_a_score_keeps_nobody(stand) -> None:
    decision = Halving(survivors=1).decide(stand([1, 2, 3, np.nan, np.nan, 4], families=[0, 0, 0, 1, 1, 0]))
    assert decision.keep == (0, 1)


def test_candidates_without_a_score_come_last() -> None:
    assert ranked(np.array([np.nan, 2.0, np.nan, 1.0])) == [3, 1, 0, 2]
