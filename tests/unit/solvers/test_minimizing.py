"""``minimize`` as a user meets it: forms, methods, many starts, bad input, the solution."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from lanewise import Equality, Inequality, Solution, UsageError, minimize
from lanewise.solvers.solver import Status
from lanewise.solvers.variables import Integer, Real

SMOOTH = ["bfgs", "lbfgs", "cg", "newton", "newton-cg"]


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def himmelblau(x):
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


@pytest.mark.parametrize("method", SMOOTH)
def test_a_smooth_function_by_every_method(method: str) -> None:
    found = minimize(rosenbrock, torch.tensor([-1.2, 1.0, 1.0]), method=method)
    assert found.status is Status.CONVERGED
    assert found.method == method
    assert found.reason == "as asked"
    assert found.gradient_norm <= 1e-8
    torch.testing.assert_close(found.x, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-7)


def test_numpy_in_is_numpy_out_in_float64() -> None:
    for fun in (lambda x: ((x - 3) ** 2).sum(), lambda x: float(np.sum(np.square(np.asarray(x) - 3)))):
        found = minimize(fun, np.zeros(2, dtype=np.float32))
        assert isinstance(found.x, np.ndarray)
        assert found.x.dtype == np.float64
        np.testing.assert_allclose(found.x, 3, atol=1e-5)


def test_a_number_and_a_tree() -> None:
    assert minimize(lambda x: (x - 3) ** 2, 0).x == pytest.approx(3)
    found = minimize(
        lambda p: (p["w"].sum() - 3) ** 2 + (p["w"] ** 2).sum() + (p["b"] - 1) ** 2,
        {"w": torch.zeros(2, 1), "b": torch.tensor(0.0)},
    )
    assert found.x["w"].shape == (2, 1)
    torch.testing.assert_close(found.x["w"], torch.ones(2, 1, dtype=torch.float64))
    assert found.x["b"].item() == pytest.approx(1)


def test_starts_find_all_minima() -> None:
    found = minimize(himmelblau, [0.0, 0.0], bounds=(-5, 5), starts=200)
    known = {(3.0, 2.0), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)}
    assert {tuple(round(float(v), 6) for v in one.x) for one in found.optima} == known
    reached = sum(one.starts for one in found.optima)
    assert reached == found.statuses[Status.CONVERGED]
    assert reached >= 195
    assert found.value == min(one.value for one in found.optima)


def test_starts_are_those_of_the_seed_and_the_first_is_x0() -> None:
    first, again, other = (minimize(himmelblau, [1.0, 1.0], starts=20, seed=seed) for seed in (1, 1, 2))
    assert first.value == again.value
    assert [one.starts for one in first.optima] == [one.starts for one in again.optima]
    assert first.counts != other.counts
    alone = minimize(himmelblau, [1.0, 1.0])
    assert any(np.allclose(one.x, alone.x, atol=1e-6) for one in first.optima)


def test_maximize() -> None:
    found = minimize(lambda x: -((x[0] - 1) ** 2) - x[1] ** 2 + 5, [0.0, 3.0], maximize=True)
    assert found.value == pytest.approx(5)
    assert found.direction == "maximized"
    assert found.history.values[0] < found.history.values[-1]
    assert "maximized" in repr(found)


def test_a_given_jac_and_hess_are_used() -> None:
    asked = {"jac": 0, "hess": 0}

    def jac(x):
        asked["jac"] += 1
        return np.array([4 * x[0] ** 3, 2 * x[1]])

    def hess(x):
        asked["hess"] += 1
        return np.diag([12 * x[0] ** 2, 2.0])

    found = minimize(lambda x: math.pow(x[0], 4) + x[1] ** 2, [1.0, 2.0], jac=jac, hess=hess, method="newton")
    assert found.value < 1e-10
    assert asked["jac"] > 3
    assert asked["hess"] > 3
    with pytest.raises(UsageError, match=r"hess must return \[2, 2\], got the shape \[3\]"):
        minimize(lambda x: x[0] ** 2 + x[1] ** 2, [1.0, 2.0], hess=lambda x: np.zeros(3), method="newton")


@pytest.mark.parametrize("method", ["auto", "gauss-newton", "levenberg-marquardt", "bfgs"])
def test_least_squares(method: str) -> None:
    inputs = np.linspace(0, 3, 20)
    targets = 2.5 * np.exp(-1.3 * inputs)
    found = minimize(lambda b: b[0] * np.exp(-b[1] * inputs) - targets, [1.0, 1.0], residuals=True, method=method)
    np.testing.assert_allclose(found.x, [2.5, 1.3], atol=1e-5)
    assert found.value == pytest.approx(0, abs=1e-10)


def test_least_squares_within_bounds() -> None:
    inputs = torch.linspace(0, 3, 20, dtype=torch.float64)
    targets = 2.5 * torch.exp(-1.3 * inputs)

    def residuals(b: Tensor) -> Tensor:
        return b[0] * torch.exp(-b[1] * inputs) - targets

    box = ([0.0, 0.0], [2.0, 5.0])
    by_residuals = minimize(residuals, torch.ones(2), residuals=True, bounds=box)
    assert by_residuals.method == "levenberg-marquardt"
    by_value = minimize(lambda b: residuals(b).square().sum(), torch.ones(2), bounds=box)
    assert by_residuals.x[0] == 2.0
    torch.testing.assert_close(by_residuals.x, by_value.x, rtol=1e-6, atol=1e-7)
    assert by_residuals.success


def test_constraints_with_multipliers() -> None:
    """The nearest point to (2, 1) with x0 = 2 x1 - 1 and the ellipse x0^2 / 4 + x1^2 <= 1 (HS14)."""
    constraints = [Inequality(lambda x: 1 - x[0] ** 2 / 4 - x[1] ** 2), Equality(lambda x: x[0] - 2 * x[1] + 1)]
    found = minimize(lambda x: (x[0] - 2) ** 2 + (x[1] - 1) ** 2, [2.0, 2.0], constraints=constraints)
    assert found.method == "augmented-lagrangian"
    assert found.value == pytest.approx(9 - 2.875 * math.sqrt(7), abs=1e-7)
    assert found.violation <= 1e-8
    assert found.multipliers is not None
    mu, equal = (float(one[0]) for one in found.multipliers)
    x = found.x
    stationary = [2 * (x[0] - 2) + mu * x[0] / 2 + equal, 2 * (x[1] - 1) + 2 * mu * x[1] - 2 * equal]
    np.testing.assert_allclose(stationary, 0, atol=1e-6)
    assert mu > 0


def test_the_callback_sees_every_round_and_may_stop() -> None:
    steps = []
    found = minimize(rosenbrock, torch.full((4,), -1.0), callback=steps.append)
    assert [step.round for step in steps] == list(range(len(found.history.values)))
    assert steps[-1].value == found.value
    assert steps[0].points.shape == (1, 4)
    stopped = minimize(rosenbrock, torch.full((4,), -1.0), callback=lambda step: step.round == 3)
    assert stopped.status is Status.STOPPED
    assert len(stopped.history.values) == 4
    assert not stopped.success


def test_of_starts_with_the_same_value_the_one_with_the_smallest_gradient_is_told() -> None:
    lattice = minimize(
        lambda x: (x**2 - 10 * torch.cos(2 * np.pi * x) + 10).sum(),
        torch.full((2,), 2.5),
        bounds=(-5.12, 5.12),
        starts=1000,
    )
    assert lattice.value == 0
    assert lattice.status is Status.CONVERGED  # of eight starts that reach it some stall in the rounding
    assert lattice.optima[0].x.tolist() == lattice.x.tolist()


def test_history_never_rises() -> None:
    found = minimize(rosenbrock, torch.full((4,), -1.0), starts=7)
    assert found.history.values == sorted(found.history.values, reverse=True)
    assert found.history.evaluations == sorted(found.history.evaluations)
    assert found.history.evaluations[-1] == found.evaluations


BOWL = lambda x: (x**2).sum()  # noqa: E731  # a formula


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x0": [1.0, math.nan]}, "x0 must be finite, got nan in variable 1"),
        ({"x0": [math.inf, 1.0]}, "x0 must be finite, got inf in variable 0"),
        ({"x0": "three"}, "x0 must be numbers, an array, a tensor"),
        ({"bounds": (0, 0.5)}, "variable 0 is 1, the bounds are 0 and 0.5"),
        ({"bounds": ([0, 3], [2, 2])}, "variable 1 must be at least 3 and at most 2"),
        ({"bounds": ([0, 0, 0], None)}, r"bounds: low must have the shape of x0, \[2\]; got \[3\]"),
        ({"bounds": (math.nan, 1)}, "bounds must not be nan"),
        ({"bounds": 3}, r"bounds must be a pair \(low, high\)"),
        ({"method": "simplex"}, "no method 'simplex'.*did you mean .* All 5[0-9]: lanewise.*METHODS"),
        ({"method": "L-BFGS-B"}, "no method 'L-BFGS-B'; did you mean lbfgs\\?"),
        ({"fun": lambda x: ((x**2).sum(), 2 * x)}, r"got a pair; of one that returns its value and its derivatives"),
        ({"bounds": [(0, 1), (2, 3)]}, r"two ways.*variable, it is bounds=\(\[0, 2\], \[1, 3\]\)"),
        ({"x0": [1.0] * 3, "bounds": [(0, 1)] * 3}, r"a pair \(low, high\).*make tuple\(zip\(\*bounds\)\)"),
        ({"method": "levenberg-marquardt"}, "is for least squares: .* residuals=True"),
        ({"method": "bfgs", "constraints": Equality(lambda x: x[0])}, "takes no constraints"),
        ({"constraints": [lambda x: x[0]]}, r"constraints must be Equality\(g\) or Inequality\(h\)"),
        ({"constraints": "x > 0"}, "or a list of these; got 'x > 0'"),
        ({"constraints": {"type": "eq", "fun": BOWL}}, r"of SciPy's .* make Equality\(g\), of 'ineq' Inequality"),
        ({"constraints": Equality(BOWL, jac=True)}, "jac must be a function of the point"),
        ({"jac": True}, r"jac must be a function .*both\(x\)\[1\]; without jac .* differences; got True"),
        ({"hess": "2-point"}, "hess must be a function of the point that returns the matrix .* got '2-point'"),
        ({"callback": 3}, "callback must be a function of a Step, which stops .* got 3"),
        ({"options": 3}, "options must be a dict of the method's settings by name, got 3"),
        ({"method": BOWL}, "method must be the name of one, such as 'auto' or 'bfgs', got <function"),
        ({"bounds": {"a": (0, 1)}}, r"of a pair for each name make \(\{name: low"),
        ({"bounds": scipy.optimize.Bounds(0, 1)}, r"of SciPy's Bounds make \(bounds.lb, bounds.ub\)"),
        ({"constraints": Equality(lambda x: x[0] * math.nan)}, "constraint 0 is nan at x0"),
        ({"starts": 0}, "starts must be a whole number of at least 1, got 0"),
        ({"max_evaluations": 0}, "max_evaluations must be a whole number"),
        ({"tolerance": -1.0}, "tolerance must be zero or more, got -1.0"),
        ({"options": {"step": 1}}, "method 'bfgs' has no option 'step'; it has none"),
        ({"fun": lambda x: x[0] * math.nan}, "fun is nan at x0; give a start where it is finite"),
        ({"fun": lambda x: x}, r"fun must return one number, got the shape \[2\]"),
        ({"fun": 7}, "fun must be a function, got 7"),
        ({"residuals": True, "maximize": True}, "maximize=True has no meaning with residuals=True"),
        ({"fun": lambda x: np.floor(np.asarray(x)).sum(), "method": "bfgs"}, "a kink or a jump at x0"),
        ({"fun": lambda x: np.floor(np.asarray(x) + 0.4).sum(), "method": "cg"}, "without slopes, in steps"),
        ({"fun": lambda x: torch.round(torch.as_tensor(x)).sum(), "method": "newton"}, "needs a smooth function"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, words: str) -> None:
    settings = {"fun": BOWL, "x0": [1.0, 1.0]} | arguments
    with pytest.raises(UsageError, match=words) as caught:
        minimize(settings.pop("fun"), settings.pop("x0"), **settings)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_at_once() -> None:
    wrong: dict = {"starts": 0, "tolerance": -1.0, "method": "bfsg", "bounds": (3, 1), "jac": True, "tol": 1}
    with pytest.raises(UsageError) as caught:
        minimize(BOWL, [math.nan, 1.0], constraints=[{"type": "eq"}], **wrong)
    heading, *lines = str(caught.value).splitlines()
    assert heading == "8 arguments are off:"
    words = (
        "minimize has no argument 'tol'; use tolerance",
        "starts must be",
        "tolerance must be",
        "jac must be a function",
        "there is no method 'bfsg'; did you mean bfgs or lbfgs?",
        "bounds contradict each other",
        "x0 must be finite, got nan in variable 0",
        "constraints must be Equality",
    )
    assert [line.strip()[: len(part)] for line, part in zip(lines, words, strict=True)] == list(words)
    with pytest.raises(UsageError, match=r"2 arguments are off:\n  .* no option 'step'.*\n  .* no option 'speed'"):
        minimize(BOWL, [1.0, 1.0], method="bfgs", options={"step": 1, "speed": 2})


def test_a_function_in_steps_is_told_from_a_start_on_its_bounds_too() -> None:
    """The probes lie within the bounds; a curve that is steep at its bound is no step."""
    found = minimize(lambda x: float(np.floor(np.abs(x) * 4).sum()), [3.0, 2.0], bounds=(-3, 3), seed=1)
    assert (found.method, found.value) != ("bfgs", 18)
    assert found.value == 0
    for steep in (lambda x: -math.sqrt(x[0]) + x[0], lambda x: x[0] ** 1.5 - x[0], lambda x: math.cosh(x[0] - 1)):
        assert minimize(steep, [0.0], bounds=(0, 3)).reason.startswith("a smooth function")
        assert minimize(steep, [0.0], bounds=(0, 1e-4)).reason.startswith("a smooth function")


def test_none_is_no_bound_in_a_list_of_numbers() -> None:
    found = minimize(lambda x: ((x - 5) ** 2).sum(), [0.0, 0.0], bounds=([None, -1], (2, None)))
    assert found.x.tolist() == pytest.approx([2, 5])


def test_bounds_of_a_tree_go_by_its_keys() -> None:
    def bowl(x):
        return ((x["a"] - 5) ** 2).sum() + (x["b"] - 5) ** 2

    x0 = {"a": torch.zeros(2), "b": torch.tensor(0.0)}
    found = minimize(bowl, x0, bounds=(None, {"b": 2, "a": [1.0, 9.0]}))
    assert found.x["a"].tolist() == pytest.approx([1, 5])
    assert found.x["b"].item() == 2
    free = minimize(bowl, x0, bounds=(-1, {"a": None, "b": 3}))
    assert free.x["a"].tolist() == pytest.approx([5, 5])
    assert free.x["b"].item() == 3
    for high, words in (
        ({"a": 1, "c": 1}, r"bounds: high has 'c', which x0 has not; .*there are a, b"),
        ({"a": 1}, "bounds: high lacks 'b', which x0 has; give None where it is free"),
        ({"a": [1, 2, 3], "b": 1}, r"bounds: high\['a'\] must have the shape of x0, \[2\]; got \[3\]"),
        ({"a": [1], "b": 1}, r"must have the shape of x0, \[2\]; got \[1\]; write a number without a list for all"),
        ({"a": 1, "b": -1}, r"x0\['b'\] is 0, the bounds are -inf and -1"),
        ({"a": [1, -1], "b": 1}, r"x0\['a'\]\[1\] is 0, the bounds are -inf and -1"),
    ):
        with pytest.raises(UsageError, match=words):
            minimize(bowl, x0, bounds=(None, high))
    with pytest.raises(UsageError, match="bounds: low has 'y', which x0 has not"):  # as many numbers, another name
        minimize(lambda x: x["x"] ** 2, {"x": 1.0}, bounds=({"y": 0.0}, None))


def test_a_jac_of_a_tree_goes_by_its_keys() -> None:
    found = minimize(
        lambda x: float((x["a"] - 1) ** 2 + 10 * (x["b"] - 2) ** 2),
        {"a": 0.0, "b": 0.0},
        jac=lambda x: {"b": 20 * (x["b"] - 2), "a": 2 * (x["a"] - 1)},
    )
    assert (found.x["a"], found.x["b"]) == (pytest.approx(1), pytest.approx(2))


def test_a_fit_that_ends_at_a_right_angle_says_so_with_its_figure() -> None:
    """Targets of size 1e9: the gradient stays far above the tolerance, and no step lowers the squares."""
    inputs = torch.linspace(0, 1, 20, dtype=torch.float64)
    targets = 1e9 * torch.exp(-2 * inputs) + 1e6 * torch.sin(40 * inputs)
    found = minimize(lambda b: b[0] * torch.exp(-b[1] * inputs) - targets, torch.tensor([8e8, 1.0]), residuals=True)
    assert found.gradient_norm > found.tolerance
    assert found.status is Status.RIGHT_ANGLE
    assert found.success
    for text in (repr(found), found._repr_html_()):
        assert "right angle: the residuals stand at right angles to their derivatives" in text
        assert f"(cosine {found.cosine:.1e}; the gradient is above the tolerance of 1e-08)" in text


def test_a_grid_of_all_combinations_proves_its_optimum() -> None:
    found = minimize(lambda p: (p["n"] - 3) ** 2, variables={"n": Integer(0, 9), "fixed": Real(2.0, 2.0)})
    assert (found.method, found.status, found.success) == ("grid", Status.EXHAUSTED, True)
    assert "none has a lower value" in repr(found)
    highest = minimize(lambda p: -((p["n"] - 3) ** 2), variables={"n": Integer(0, 9)}, maximize=True)
    assert "none has a higher value" in repr(highest)
    part = minimize(lambda x: (x[0] - 3) ** 2, [0.0], bounds=(0, 9), method="grid")
    assert part.status is Status.SEARCHED
    never = minimize(lambda p: p["n"], variables={"n": Integer(0, 9)}, constraints=Inequality(lambda p: -1.0 - p["n"]))
    assert never.status is Status.INFEASIBLE
    assert "No point was found that meets the constraints" in str(never.plot())


def test_a_function_that_is_nan_beyond_a_wall() -> None:
    found = minimize(lambda x: (x - torch.log(x)).sum(), torch.full((2,), 5.0))
    torch.testing.assert_close(found.x, torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0)
    partly = minimize(lambda x: (x - torch.log(x)).sum(), torch.full((2,), 0.1), starts=30)
    assert partly.statuses[Status.NOT_FINITE] > 0  # starts drawn beyond the wall
    assert partly.status is Status.CONVERGED


def test_arithmetic_of_python_that_fails_counts_as_nan() -> None:
    found = minimize(lambda x: math.exp(float(x[0])) - 5 * float(x[0]) + 1 / (float(x[0]) + 3), [700.0])
    assert found.x[0] == pytest.approx(math.log(5), abs=0.05)
    wall = minimize(lambda x: float(x[0]) - math.log(float(x[0])), [0.01], method="bfgs")
    assert wall.x[0] == pytest.approx(1, abs=1e-4)

    def failing(x):
        if float(x[0]) > 2:
            message = "mine"
            raise ValueError(message)
        return (float(x[0]) - 3) ** 2

    with pytest.raises(ValueError, match="mine"):
        minimize(failing, [1.0])


@pytest.mark.parametrize("method", ["bfgs", "cg", "adam", "genetic", "slsqp", "differential-evolution", "cmaes"])
def test_what_a_function_raises_in_the_middle_of_a_search_arrives_as_it_was_raised(method: str) -> None:
    class Mine(Exception):
        pass

    calls = []

    def fun(x):
        calls.append(x)
        if len(calls) > 60:
            raise Mine
        return float(x[0] ** 4 + x[1] ** 4 + x[0] * x[1])

    with pytest.raises(Mine):
        minimize(fun, [0.9, -1.0], bounds=(-2, 2), method=method, seed=0)


def test_unbounded_below_ends_with_that_status() -> None:
    found = minimize(lambda x: x[0] ** 3 + x[1] ** 2, [-1.0, 1.0])
    assert found.status is Status.UNBOUNDED
    assert not found.success
    assert "falls without end" in repr(found)
    assert found.value < -1e6  # the lowest that was seen, not the start
    upwards = minimize(lambda x: (x**2).sum(), [1.0, 1.0], maximize=True)
    assert upwards.value > 1e6
    assert "rises without end" in repr(upwards)


def test_functions_that_mix_tensors_and_arrays() -> None:
    matrix, aim = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    held = minimize(lambda x: ((matrix @ x - aim) ** 2).sum(), [0.0, 0.0])  # a warning of NumPy is an error here
    assert held.x == pytest.approx([1 / 3, 1 / 3])
    turned = minimize(lambda x: float(np.sum((np.asarray(x) - 2) ** 2)), torch.ones(2))
    assert turned.x.tolist() == pytest.approx([2.0, 2.0], abs=1e-5)
    assert "central differences" in turned.reason


def test_a_kink_is_told_from_rounding() -> None:
    found = minimize(lambda x: x.abs().sum(), torch.tensor([3.0, -1.7]), method="bfgs")
    assert found.value < 1e-6
    assert found.status is Status.KINK
    assert "a kink, a gradient that is wrong" in repr(found)
    assert not found.success


def test_a_rule_without_a_learning_rate_says_which_it_took() -> None:
    found = minimize(himmelblau, [0.5, 0.5], method="momentum")
    assert "at its usual learning rate of" in found.reason
    assert minimize(himmelblau, [0.5, 0.5], method="gd", options={"lr": 0.01}).reason == "as asked"


def test_gradient_descent_without_a_learning_rate_searches_along_the_gradient() -> None:
    free = minimize(himmelblau, [0.5, 0.5], method="gd")
    assert free.success
    assert free.evaluations < 50
    assert "as long as a line search finds" in free.reason
    held = minimize(himmelblau, [0.5, 0.5], method="gd", bounds=([-1, -1], [2, 4]))
    assert held.success
    assert held.x == pytest.approx([2.0, (1 + 15**0.5) / 2], abs=1e-6)
    assert minimize(lambda x: -x[0], [0.5, 0.5], method="gd").status is Status.UNBOUNDED


def test_constraints_that_cannot_be_met() -> None:
    constraints = [Inequality(lambda x: x[0] - 2), Inequality(lambda x: 1 - x[0])]
    found = minimize(lambda x: x[0] ** 2 + x[1] ** 2, [0.0, 0.0], constraints=constraints)
    assert found.status is Status.INFEASIBLE
    assert found.violation == pytest.approx(0.5, abs=1e-3)


def test_a_limit_on_evaluations_is_kept() -> None:
    found = minimize(rosenbrock, torch.full((6,), -1.0), max_evaluations=12, starts=3)
    assert set(found.statuses) == {Status.EVALUATIONS}
    assert found.counts.gradients <= 3 * 12 + 10


def test_auto_says_why() -> None:
    many = minimize(lambda x: ((x - 1) ** 2).sum(), torch.zeros(200))
    assert many.method == "lbfgs"
    assert many.reason == "a smooth function of 200 variables, too many for a dense matrix; derivatives by autograd"


def test_the_solution_is_shown() -> None:
    found = minimize(himmelblau, [0.0, 0.0], starts=30, bounds=(-5, 5))
    assert isinstance(found, Solution)
    text = repr(found)
    for word in (
        "minimized:",
        "status:",
        "converged: the gradient is within the tolerance of 1e-08",
        "starts:",
        "optima:",
        "bfgs: a smooth",
    ):
        assert word in text
    html = found._repr_html_()
    ElementTree.fromstring(re.sub("&[a-z]+;", "", f"<div>{html}</div>"))
    svg = ElementTree.fromstring(str(found.plot()))
    assert svg.tag.endswith("svg")
    assert f"0 from {found.optima[0].starts} starts, x = (" in text or f"{found.value:.10g} from" in text
    figures = [float(one.text.replace(",", "")) for one in svg if one.get("text-anchor") == "end"]
    assert all(f"{math.log10(one):.6f}".endswith("000000") for one in figures)  # powers of ten
    assert "best value, log scale" in str(found.plot())
    assert "http" not in str(found.plot()).replace("http://www.w3.org/2000/svg", "")


def test_newton_is_not_spoilt_by_a_variable_that_enters_linearly() -> None:
    def bowl(x: Tensor) -> Tensor:
        return 1e4 * (x[0] - 1) ** 2 + (x[0] - x[2]) ** 4 + x[1] + 3 * (x[2] + 2) ** 2

    start = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    found = minimize(bowl, start, method="newton", bounds=([-9.0, 0.0, -9.0], [9.0, 9.0, 9.0]))
    assert found.status is Status.CONVERGED
    assert found.evaluations < 50
    assert float(found.x[1]) == 0.0
    endless = minimize(lambda x: (x[0] - 1) ** 2 - x[1], start[:2], method="newton")
    assert endless.status is Status.UNBOUNDED


def test_newton_does_not_depend_on_the_units_of_the_variables() -> None:
    units = torch.tensor([1e-4, 1e4], dtype=torch.float64)
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    plain = minimize(rosenbrock, start, method="newton")
    scaled = minimize(lambda x: rosenbrock(x / units), start * units, method="newton")
    torch.testing.assert_close(scaled.x / units, plain.x, atol=1e-8, rtol=0)
    assert scaled.evaluations <= plain.evaluations + 5


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tol", "use tolerance"), ("bound", "did you mean bounds?"), ("maximise", "did you mean maximize?"), ("q", "all")],
)
def test_an_unknown_argument_is_told_with_the_nearest(name: str, hint: str) -> None:
    unknown: dict = {name: 1e-6}
    with pytest.raises(UsageError) as caught:
        minimize(himmelblau, [0.0, 0.0], **unknown)
    assert str(caught.value).startswith(f"minimize has no argument {name!r}; {hint}")


def test_a_start_that_is_within_the_tolerance_is_told() -> None:
    found = minimize(lambda x: 1e-9 * (x[0] ** 2 + 3 * x[1] ** 2), [1.0, 2.0], tolerance=1e-6)
    assert found.success
    assert "at the start already; if that is no optimum, lower the tolerance" in repr(found)
    assert "already" not in repr(minimize(lambda x: ((x - 1) ** 2).sum(), [1.0, 1.0]))
