import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lanewise.statistics import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20)


@given(POINTS)
def test_the_front_is_what_a_loop_over_all_pairs_says(points) -> None:
    def dominated(one: tuple[int, int]) -> bool:
        return any(a <= one[0] and b <= one[1] and (a < one[0] or b < one[1]) for a, b in points)

    losses, costs = zip(*points, strict=True)
    assert pareto_front(losses, costs).tolist() == [not dominated(one) for one in points]


def test_what_is_not_finite_is_on_no_front_and_pushes_nobody_off() -> None:
    assert pareto_front([np.nan, 1.0, 2.0], [0.0, 1.0, np.inf]).tolist() == [False, True, False]
