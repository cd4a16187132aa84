import numpy as np
import pytest

from lanewise.errors import UsageError
from lanewise.search.policy import Copy, Decision, Policy, Standing, decision_of
from lanewise.search.population import PopulationBased


def test_the_worst_give_way_to_the_best_at_another_rate(stand) -> None:
    decision = PopulationBased(share=0.3).decide(stand(np.arange(10.0)))
    assert {copy.target for copy in decision.copies} == {7, 8, 9}
    assert {copy.source for copy in decision.copies} <= {0, 1, 2}
    assert {copy.factor for copy in decision.copies} <= {0.8, 1.2}
    assert decision.keep == tuple(range(7))


def test_draws_vary_with_the_look_the_place_and_the_seed(stand) -> None:
    def drawn(rung: int, seed: int) -> list[tuple[int, float]]:
        decision = PopulationBased(share=0.5, seed=seed).decide(stand(np.arange(40.0), rung=rung))
        return [(copy.source, copy.factor) for copy in decision.copies]

    one = drawn(0, 0)
    assert len({source for source, _ in one}) > 5
    assert {factor for _, factor in one} == {0.8, 1.2}
    assert one == drawn(0, 0)
    assert one != drawn(1, 0)
    assert one != drawn(0, 1)


def test_nobody_copies_from_another_kind_or_over_the_protected(stand) -> None:
    kinds = [0] * 5 + [1] * 5 + [2]
    decision = PopulationBased(share=0.2).decide(stand(np.arange(11.0), (4,), kinds=kinds))
    assert [(copy.source, copy.target) for copy in decision.copies] == [(5, 9)]
    assert set(decision.keep) == set(range(11)) - {9}


def test_small_kinds_copy_one_or_say_that_they_cannot(stand) -> None:
    one = PopulationBased().decide(stand([1.0, 2.0, 3.0]))
    assert [(copy.source, copy.target) for copy in one.copies] == [(0, 2)]
    none = PopulationBased().decide(stand([1.0, 2.0, 3.0, 4.0], kinds=[0, 0, 1, 1]))
    assert none.keep == (0, 1, 2, 3)
    assert none.words == "nobody was copied: no optimizer and batch size has 3 candidates of its own"


def test_who_has_no_score_gives_way_first_or_leaves(stand) -> None:
    scores = [0.0, np.nan, 2.0, 3.0, 4.0, np.nan]
    decision = PopulationBased(share=0.2).decide(stand(scores, kinds=[0, 0, 0, 0, 0, 1]))
    assert [copy.target for copy in decision.copies] == [1]
    assert set(decision.keep) == {0, 2, 3, 4}


def test_at_the_end_the_best_are_left(stand) -> None:
    policy = PopulationBased(survivors=2)
    decision = policy.decide(stand([3.0, 1.0, 2.0, 4.0], (3,), rung=4))
    assert decision.keep == (1, 2, 3)
    assert decision.words == "3 of 4 entered the confirmation: the best 2 and the default"
    assert not decision.copies
    assert policy.rungs(9) == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert policy.remaining(9) == (9, 9, 9, 9, 2)


@pytest.mark.parametrize("share", [0.0, 0.51])
def test_the_best_and_the_worst_must_be_different_ones(share: float) -> None:
    with pytest.raises(UsageError, match=r"share must be above 0 and at most 0\.5"):
        PopulationBased(share=share)


class Copies(Policy):
    copies = True

    def __init__(self, *copies: Copy) -> None:
        self.wanted = copies

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.5,)

    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=(0, 1), words="copies", copies=self.wanted)


class Undeclared(Copies):
    copies = False


def test_a_copy_must_be_one_that_can_be_made(stand) -> None:
    standing = stand([1.0, 2.0, 3.0, 4.0], kinds=[0, 0, 0, 1])
    good = Copy(source=0, target=2, factor=0.5)
    assert decision_of(Copies(good), standing).copies == (good,)
    for wrong, words in (
        (Copy(source=2, target=3, factor=1.0), "copy one that it keeps to one that it does not"),
        (Copy(source=0, target=1, factor=1.0), "copy one that it keeps to one that it does not"),
        (Copy(source=0, target=4, factor=1.0), "copy one that it keeps to one that it does not"),
        (Copy(source=0, target=2, factor=0.0), "at a factor above 0"),
        (Copy(source=0, target=3, factor=1.0), "among candidates of equal standing.kinds"),
    ):
        with pytest.raises(UsageError, match=words):
            decision_of(Copies(wrong), standing)
    with pytest.raises(UsageError, match="copy over a candidate once"):
        decision_of(Copies(good, good), standing)
    with pytest.raises(UsageError, match="say so in the class with copies = True"):
        decision_of(Undeclared(good), standing)
