"""How many a race has confirmed, where its rungs have told another number."""

from dataclasses import replace

import pytest

from lanewise.explain.confirmed_words import confirmed_words
from lanewise.lanes.candidate import Event
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.race import Result

SET_BACK = Event(fraction=0.3, restored=0.2, rate_factor=0.1, cause="diverged by step 7")


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
    amended = {"confirmed": ("a", "b", "c"), "amended": ("in whatever words",)}
    assert confirmed_words(raced, plan(make, **amended, thought_of=2)) == (), "amended words tell it"
    assert confirmed_words(raced, plan(make, **amended, thought_of=3)) != (), "as many, on other folds"


@pytest.mark.parametrize(
    ("left", "cause", "why"),
    [
        (2, {"events": [SET_BACK]}, "mlp, adamw: diverged by step 7"),
        (2, {"lost": "no room for a tree"}, "mlp, adamw: no room for a tree"),
        (2, {}, "predictions were not finite at the look that was chosen"),
        (1, {"lost": "no room for a tree"}, "first mlp, adamw: no room for a tree"),
    ],
)
def test_who_failed_in_the_confirmation_is_counted_and_why_is_told(make, raced, left, cause, why) -> None:
    failed = make.trace(make.candidate("c"), [0.5], phase="confirm", **cause)
    found = replace(raced, confirmed=raced.confirmed[:left], traces=(*raced.traces[:2], failed))
    (words,) = confirmed_words(found, plan(make, confirm={"mlp": 2}, rungs=()))
    assert words == f"{3 - left} of 3 candidates failed when trained in full ({why}): {left} confirmed"
