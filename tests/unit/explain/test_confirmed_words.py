"""How many a race has confirmed, where its rungs have told another number."""

from dataclasses import replace

import pytest

from lanewise.explain.confirmed_words import confirmed_words
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.race import Result


def plan(make, **more) -> Plan:
    fixed = {"rungs": (1.0,), "confirm": {"mlp": 1, "linear": 1}, "folds": 2, "seeds": (0,)}
    entered = (make.candidate("a"),)
    return Plan(candidates=entered, lengths=Lengths(rows_seen=1), workers=1, costs={}, **{**fixed, **more})


@pytest.fixture
def raced(make) -> Result:
    """Three candidates that began a confirmation."""
    candidates = [make.candidate(name) for name in "abc"]
    traces = [make.trace(one, [0.5], phase="confirm") for one in candidates]
    return make.result([make.confirmed(one) for one in candidates], traces)


def test_of_several_families_the_number_that_is_confirmed_is_told(make, raced) -> None:
    assert confirmed_words(raced, plan(make)) == ("3 candidates confirmed: the best of each family, and the default",)
    assert confirmed_words(raced, plan(make, confirm={"mlp": 2})) == (), "as many as went on"
    assert confirmed_words(raced, plan(make, rungs=())) == (), "everybody"
    told = plan(make, amended=("with the time left 3 candidates are confirmed, where the plan was for 2",))
    assert confirmed_words(raced, told) == ()


def test_who_diverged_in_the_confirmation_is_counted(make, raced) -> None:
    (words,) = confirmed_words(replace(raced, confirmed=raced.confirmed[:2]), plan(make, confirm={"mlp": 2}, rungs=()))
    assert words == "1 of 3 candidates diverged when trained in full: 2 confirmed"
