"""How late the order of a race still moved."""

import pytest

from lanewise.explain.flips import rank_flips, short_race
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.watching.trace import Fate, Trace
from lanewise.tuning.checking import judge_of

GRID = [0.25, 0.5, 0.75, 1.0]
LOSS = judge_of(None).metric
ACCURACY = judge_of("accuracy").metric


def trace(name: str, scores: list[float], *, seed: int = 0, phase: str = "confirm", fate: Fate = "confirmed") -> Trace:
    candidate = Candidate(id=name, model="net", optimizer=name, settings={"lr": 0.1})
    lane = Lane(candidate=candidate, fold=0, seed=seed)
    return Trace(lane=lane, phase=phase, fractions=GRID[: len(scores)], scores=scores, fate=fate)


STEADY = [trace("a", [4, 3, 2, 1]), trace("b", [5, 4, 3, 2]), trace("c", [6, 5, 4, 3])]
TURNED = [trace("a", [4, 3, 3, 3]), trace("b", [5, 4, 3, 2]), trace("c", [6, 5, 3, 1])]


def test_an_order_that_stands_and_one_that_turns() -> None:
    steady, turned = rank_flips(STEADY, LOSS), rank_flips(TURNED, LOSS)
    assert steady is not None
    assert turned is not None
    assert (steady.correlation, steady.kept, steady.early) == (pytest.approx(1.0), True, 0.5)
    assert (turned.correlation, turned.kept) == (pytest.approx(-1.0), False)
    assert turned.words == (
        "From 50% of the length to its end the order of 3 candidates kept a rank correlation of -1.00; the leader "
        "then, net, a, lr 0.1, does not lead at the end"
    )


def test_the_direction_of_the_metric_says_who_leads() -> None:
    found = rank_flips(STEADY, ACCURACY)
    assert found is not None
    assert found.leader == "net, c, lr 0.1"


def test_seeds_are_averaged_and_the_screen_is_left_out() -> None:
    again = [trace("a", [4, 9, 2, 1], seed=1), trace("b", [5, 4, 3, 2], seed=1), trace("c", [6, 5, 4, 3], seed=1)]
    found = rank_flips([*STEADY, *again, trace("d", [1.0], phase="screen")], LOSS)
    assert found is not None
    assert found.candidates == 3
    assert found.leader == "net, b, lr 0.1"
    assert found.correlation < 1


@pytest.mark.parametrize(
    "traces",
    [
        STEADY[:2],
        [*STEADY[:2], trace("c", [6, 5, 4, 3], fate="diverged")],
        [*STEADY[:2], trace("c", [6, 5, 4])],
        [*STEADY[:2], trace("c", [6, float("nan"), 4, 3])],
        [trace(name, [1, 1, 1, 1]) for name in "abc"],
        [trace(name, [1.0]) for name in "abc"],
    ],
)
def test_nothing_is_said_where_there_is_no_order_to_compare(traces) -> None:
    assert rank_flips(traces, LOSS) is None


def test_only_a_far_shorter_race_is_warned_of() -> None:
    assert short_race(100, 200, None) == ""
    words = short_race(100, 1000, rank_flips(TURNED, LOSS))
    assert words.startswith(
        "The race trained for 100 steps, 10% of the 1,000 that you train for, and rankings flip late"
    )
    assert words.endswith("does not lead at the end.")
