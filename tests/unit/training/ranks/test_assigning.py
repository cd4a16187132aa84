"""Who trains what: even, the same everywhere, and moved only where that pays."""

from hypothesis import given
from hypothesis import strategies as st

from lanewise.training.ranks.assigning import WORTH_A_MOVE, assigned

COSTS = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20)


def loads(costs: list[float], ranks: list[int], size: int) -> list[float]:
    return [sum(cost for cost, own in zip(costs, ranks, strict=True) if own == rank) for rank in range(size)]


@given(costs=COSTS, size=st.integers(1, 6))
def test_no_rank_has_more_than_the_mean_and_one_team(costs: list[float], size: int) -> None:
    ranks = assigned(costs, [None] * len(costs), [True] * len(costs), size)
    assert set(ranks) <= set(range(size))
    # Graham's bound: whoever ends last got its last team while it had no more than the mean.
    assert max(loads(costs, ranks, size)) <= sum(costs) / size + max(costs) + 1e-9


@given(data=st.data(), costs=COSTS, size=st.integers(1, 6))
def test_teams_stay_unless_a_move_pays(data: st.DataObject, costs: list[float], size: int) -> None:
    homes = data.draw(st.lists(st.integers(0, size - 1), min_size=len(costs), max_size=len(costs)))
    movable = data.draw(st.lists(st.booleans(), min_size=len(costs), max_size=len(costs)))
    ranks = assigned(costs, homes, movable, size)
    for rank, home, may in zip(ranks, homes, movable, strict=True):
        assert may or rank == home
    if ranks != homes:
        assert max(loads(costs, ranks, size)) < WORTH_A_MOVE * max(loads(costs, homes, size)) + 1e-9


def test_a_rank_whose_lanes_were_dropped_takes_over_some() -> None:
    assert assigned([1.0] * 4, [0, 0, 0, 0], [True] * 4, 2).count(1) == 2


def test_costs_that_round_differently_in_another_order_come_to_an_end() -> None:
    costs = [0.1, 0.2, 0.3, 0.7, 0.1, 0.2, 0.3, 0.7, 0.1]
    for rank in range(3):
        assert max(assigned(costs, [rank] * 9, [True] * 9, 3)) == 2
