"""Methods side by side: equal terms, true paths, known optima."""

import math

import pytest
import torch

from lanewise import UsageError, minimize
from lanewise.solvers.comparing import RATES, compare
from lanewise.solvers.landscapes import landscape
from lanewise.solvers.solver import Status


def test_paths_begin_at_the_start_and_end_at_the_optimum():
    found = compare("booth", methods=["gd", "newton", "bfgs"])
    for trace in found.traces:
        assert trace.points[0] == found.x0 == (-8.0, 6.0)
        assert math.dist(trace.points[-1], (1.0, 3.0)) < 1e-6
        assert trace.success
        assert len(trace.points) == len(trace.values) == len(trace.evaluations) == len(trace.seconds)
        assert trace.values == sorted(trace.values, reverse=True)
        assert trace.seconds == sorted(trace.seconds)
    assert found.traces[1].evaluations[-1] < 5


def test_the_path_of_a_rule_is_where_it_stands_not_its_best_point():
    """(x1^2 + 10 x2^2) / 2 at the rate 0.15: x2 is multiplied by 1 - 1.5 in every step."""
    (trace,) = compare("quadratic", [1.0, 1.0], methods=["gd"], lr=0.15, max_evaluations=12).traces
    for count, point in enumerate(trace.points):
        assert point == pytest.approx((0.85**count, (-0.5) ** count), rel=1e-12)
    (wild,) = compare("quadratic", [1.0, 1.0], methods=["gd"], lr=0.25, max_evaluations=12).traces
    assert abs(wild.points[-1][1]) > 50
    assert wild.value == 5.5  # its best is still the start


def test_a_rule_runs_at_the_best_of_the_rates():
    """Each rate apart, through minimize, gives the same verdict as all of them as lanes of one stack."""
    (trace,) = compare("booth", methods=["momentum"], max_evaluations=40).traces
    known = landscape("booth")
    alone = {
        rate: minimize(
            known.function,
            torch.tensor(known.x0),
            method="momentum",
            options={"lr": rate},
            tolerance=1e-8,
            max_evaluations=40,
        ).value
        for rate in RATES
    }
    assert trace.value == pytest.approx(min(alone.values()), rel=1e-9)
    assert alone[trace.rate] == min(alone.values())


def test_the_map_has_the_values_of_the_function():
    found = compare("beale", methods=["bfgs"])
    assert (found.low, found.high) == ((-4.5, -4.5), (4.5, 4.5))
    function, last = landscape("beale").function, len(found.heights) - 1
    for row, column in [(0, 0), (last, 0), (0, last), (last // 2, last // 3)]:
        x = -4.5 + 9 * column / last
        y = -4.5 + 9 * row / last
        expected = float(function(torch.tensor([x, y], dtype=torch.float64)))
        assert found.heights[row][column] == pytest.approx(expected, rel=1e-12)


def test_functions_of_ones_own():
    def bowl(x):
        return float((x[0] - 3) ** 2 + abs(x[1]) ** 1.5 + (x[2] - 1) ** 2)  # not of PyTorch

    found = compare(bowl, [0.0, 1.0, 0.5], methods=["gd", "cg", "genetic"], max_evaluations=140)
    assert (found.name, found.heights, found.least, found.optima, found.exact) == ("bowl", [], None, (), False)
    gd = found.traces[0]
    assert 100 < gd.evaluations[-1] <= 140  # seven for each gradient
    assert gd.distance is None
    flat = compare(lambda x: (x**2).sum(), [2.0, -7.0], methods=["bfgs"])
    assert flat.low[0] < 0
    assert flat.high[0] > 2
    assert flat.low[1] < -7


def test_more_variables_of_a_test_function():
    found = compare("rosenbrock", [0.0, 0.0, 0.0], methods=["bfgs", "random"], max_evaluations=100)
    assert found.optima == ((1.0, 1.0, 1.0),)
    assert found.traces[0].distance == pytest.approx(0.0, abs=1e-6)
    assert all(-2 <= entry <= 3 for entry in found.traces[1].x)


def test_a_grid_is_compared_within_the_evaluations():
    grid, drawn = compare("himmelblau", methods=["grid", "random"], max_evaluations=100).traces
    assert grid.status is Status.SEARCHED
    assert grid.evaluations[-1] == 101  # ten values of each variable, and the start
    assert 90 < drawn.evaluations[-1] <= 101
    (whole,) = compare("rastrigin", methods=["grid"], max_evaluations=5000).traces
    assert whole.evaluations[-1] == 122


def test_a_function_without_end_is_told_and_drawn_near_the_start():
    from lanewise.reporting.comparison import headline, page

    found = compare(lambda x: -(x**2).sum(), [1.0, 2.0], methods=["gd", "newton"], name="hill", max_evaluations=60)
    assert found.traces[1].endless
    assert headline(found).startswith("hill falls without end: newton")
    assert (found.low, found.high) == ((-9.0, -18.0), (11.0, 22.0))
    assert "falls without end" in page(found)


def test_a_rate_that_diverges_is_told():
    (trace,) = compare("rosenbrock", methods=["gd"], lr=1.0).traces
    assert trace.status is Status.DIVERGED
    assert not trace.success


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": ["gd", "gd"]}, "name each method to compare once"),
        ({"methods": []}, "name each method to compare once"),
        ({"methods": ["magic"]}, "there is no method 'magic'"),
        ({"methods": ["gauss-newton"]}, "residuals"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"x0": [1.0]}, "two or more variables"),
        ({"x0": [9.0, 0.0], "bounds": (-1.0, 1.0)}, "x0"),
    ],
)
def test_what_is_not_usable_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        compare("rosenbrock", **arguments)
    with pytest.raises(UsageError, match="give x0"):
        compare(lambda x: x.sum())
    with pytest.raises(UsageError, match="not finite at x0"):
        compare(lambda x: x.sum().log(), [-1.0, -1.0], methods=["bfgs"])


def test_several_mistakes_are_told_at_once() -> None:
    unknown: dict = {"maxiter": 3}
    with pytest.raises(UsageError) as caught:
        compare("booth", methods=["magic", "adan"], lr=-1.0, bounds=(1.0, 0.0), x0=[0.0, 0.0], seed=-1, **unknown)
    heading, *lines = str(caught.value).splitlines()
    assert heading == "6 arguments are off:"
    assert [line.split()[0] for line in lines] == ["compare", "seed", "there", "there", "lr", "bounds"]
    assert "all 53" in lines[2]
    assert lines[3].endswith("no method 'adan'; did you mean adam or adamw or radam? see above")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("method", "did you mean methods?"),
        ("maxiter", "use max_evaluations"),
        ("tol", "there are fun, x0, methods"),
        ("hessian", "there are fun, x0, methods"),
    ],
)
def test_an_unknown_argument_is_told_with_the_nearest(name: str, hint: str) -> None:
    unknown: dict = {name: 1}
    with pytest.raises(UsageError) as caught:
        compare("booth", **unknown)
    assert str(caught.value).startswith(f"compare has no argument {name!r}; {hint}")
