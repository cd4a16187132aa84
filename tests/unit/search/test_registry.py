"""Policies by name, and what a policy that breaks its contract is told."""

import re

import pytest

from lanewise.errors import UsageError
from lanewise.search.never import NeverPrune
from lanewise.search.policy import Decision, Policy, Standing, decision_of, remaining_of, rungs_of
from lanewise.search.registry import POLICIES, policy_name, policy_of


class Fixed(Policy):
    """Answers with what it was made of."""

    def __init__(
        self, *, keep: tuple[int, ...] = (0,), rungs: tuple[float, ...] = (0.5,), left: tuple[int, ...] = (1,)
    ):
        self.keep, self.own_rungs, self.left = keep, rungs, left

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return self.own_rungs

    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=self.keep, words="fixed")

    def remaining(self, candidates: int) -> tuple[int, ...]:
        return self.left


def test_a_name_and_an_instance_are_policies() -> None:
    own = Fixed()
    assert policy_of(own) is own
    assert policy_name(own) == "Fixed"
    for name, policy in POLICIES.items():
        assert policy_of(name) is policy
        assert policy_name(policy) == name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "halve",
            "policy must be one of halving, hyperband, racing, population, genetic, never, or an instance of a Policy",
        ),
        (NeverPrune, r"give NeverPrune\(\) rather than the class"),
        (None, "got None"),
    ],
)
def test_anything_else_is_refused(given: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        policy_of(given)


@pytest.mark.parametrize("keep", [(), (0, 0), (3,), (-1,), (0, 7)])
def test_a_decision_must_name_positions(stand, keep: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=re.escape(f"from 0 to 2, each once and one at least, got {keep}")):
        decision_of(Fixed(keep=keep), stand([1, 2, 3]))


def test_a_decision_must_keep_the_protected(stand) -> None:
    assert decision_of(Fixed(keep=(0, 2)), stand([1, 2, 3], (2,))).keep == (0, 2)
    with pytest.raises(UsageError, match="dropped position 2, which is protected"):
        decision_of(Fixed(), stand([1, 2, 3], (2,)))


@pytest.mark.parametrize("rungs", [(0.0, 1.0), (0.5, 0.5), (0.5, 0.2), (0.5, 1.5)])
def test_rungs_must_rise_to_one_at_most(rungs: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"Fixed\.rungs must give rising fractions above 0 and up to 1"):
        rungs_of(Fixed(rungs=rungs), 9)


@pytest.mark.parametrize("left", [(), (1, 1), (0,), (10,)])
def test_remaining_must_count_for_each_rung(left: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"Fixed\.remaining must give a count from 1 to 9 for each of 1 rungs"):
        remaining_of(Fixed(left=left), 9)
