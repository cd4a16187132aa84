import numpy as np
import pytest

from lanewise.search.halving import Halving
from lanewise.search.hyperband import Hyperband


def test_brackets_are_those_of_the_paper() -> None:
    # Algorithm 1 of Li et al. (2018) with R = 81 and eta = 3 starts 81, 34, 15, 8 and 5 configurations.
    policy = Hyperband(eta=3, shortest=1 / 81)
    assert np.bincount(policy.brackets(81 + 34 + 15 + 8 + 5)).tolist() == [81, 34, 15, 8, 5]


def test_any_number_of_candidates_is_dealt_out_in_proportion_and_mixed() -> None:
    dealt = Hyperband().brackets(170)
    assert np.bincount(dealt).tolist() == [90, 50, 30]
    for start in range(0, 170, 17):
        assert np.bincount(dealt[start : start + 17]).tolist() == [9, 5, 3]


def test_a_bracket_drops_nobody_before_its_rung(stand) -> None:
    policy = Hyperband(survivors=1)
    bracket = policy.brackets(17)
    scores = np.arange(17.0)
    first = policy.decide(stand(scores, rung=0))
    assert sorted(np.flatnonzero(bracket > 0)) == [place for place in sorted(first.keep) if bracket[place] > 0]
    own = np.flatnonzero(bracket == 0)
    assert [place for place in first.keep if bracket[place] == 0] == own[:3].tolist()

    left = np.array(first.keep)
    second = policy.decide(stand(scores[left], rung=1, numbers=left, entrants=17))
    kept = left[list(second.keep)]
    assert np.bincount(bracket[kept]).tolist() == [1, 2, 3]
    assert policy.remaining(17) == (11, 6, 1)


def test_at_the_full_length_all_brackets_meet(stand) -> None:
    decision = Hyperband(survivors=2).decide(stand([6, 5, 4, 3, 2, 1], rung=2, numbers=range(6), entrants=17))
    assert decision.keep == (5, 4)


def test_who_has_no_score_leaves_from_any_bracket(stand) -> None:
    policy = Hyperband(survivors=1)
    scores = np.arange(17.0)
    spared = int(np.flatnonzero(policy.brackets(17) == 2)[0])
    scores[spared] = np.nan
    assert spared not in policy.decide(stand(scores)).keep


def test_a_slow_start_that_halving_drops_is_kept_by_some_bracket(stand) -> None:
    scores = np.arange(17.0)[::-1].copy()  # who was drawn first is last at the first rung
    late = [place for place in range(6) if Hyperband().brackets(17)[place] > 0]
    assert late
    assert not set(late) & set(Halving().decide(stand(scores)).keep)
    assert set(late) <= set(Hyperband().decide(stand(scores)).keep)


def test_a_small_field_is_not_screened() -> None:
    assert Hyperband(survivors=4).rungs(4) == ()
    assert Hyperband().rungs(9) == pytest.approx((1 / 9, 1 / 3, 1.0))
