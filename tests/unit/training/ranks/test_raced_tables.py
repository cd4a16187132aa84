"""What is known of a race over a table where its mesh is to be chosen."""

from dataclasses import replace
from types import ModuleType

from lanewise.search.halving import Halving
from lanewise.training.ranks.choosing import TIMED_STEPS, Steps
from lanewise.training.ranks.raced_tables import raced_tables


def test_lanes_of_a_few_rows_a_step_can_share_and_are_timed_with_the_rows_that_are_asked_for(small: ModuleType) -> None:
    everyone = [*small.company(), small.candidate("tree", "tree")]
    builder = replace(small.builder(), workers=4)
    own = raced_tables(small.plan(everyone), builder, Halving(), number_bytes=2.0, seconds=None)
    assert sorted(own.shared) == ["adam", "line", "momentum", "sgd"]  # no solver, no rule on all rows, no tree
    assert own.shared["line"] == Steps(weights=(small.COLUMNS + 1) * 3, batch=small.BATCH)
    team = own.team(everyone[0], 3)
    assert (team.length, len(team.lanes)) == (TIMED_STEPS, 1)
    team.advance(2 / team.length)
    assert team.lanes[0].candidate.number("batch_size") == 3
    assert own.again(10) == 5
    assert own.again(1) == 2
    assert len(own.left) == 2
