"""Methods without derivatives: variables, genetic algorithm, grids and draws, SciPy's, and CMA-ES."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from lanewise import Equality, Inequality, UsageError, minimize
from lanewise.solvers.genetic import Genetic
from lanewise.solvers.sampling import Sampling
from lanewise.solvers.solver import Status
from lanewise.solvers.variables import Categorical, Integer, Real, Space

HAS_CMAES = find_spec("cmaes") is not None
needs_cmaes = pytest.mark.skipif(not HAS_CMAES, reason="the optional package cmaes is not installed")


def rastrigin(x):
    return 10 * len(x) + sum(float(v) ** 2 - 10 * math.cos(2 * math.pi * float(v)) for v in x)


MIXED = {"size": Real(-1, 2), "count": Integer(0, 30), "kind": Categorical(["a", "b", "c", "d"])}


def mixed(v) -> float:
    penalty = {"a": 3.0, "b": 1.0, "c": 0.0, "d": 2.0}[v["kind"]]
    return (v["size"] - 0.25) ** 2 + (v["count"] - 17) ** 2 / 10 + penalty


def test_genetic_over_mixed_variables() -> None:
    found = minimize(mixed, variables=MIXED)
    assert found.method == "genetic"
    assert found.x["count"] == 17
    assert isinstance(found.x["count"], int)
    assert found.x["kind"] == "c"
    assert found.x["size"] == pytest.approx(0.25, abs=1e-3)
    assert found.status in (Status.SETTLED, Status.EVALUATIONS)
    assert math.isnan(found.gradient_norm)


def test_few_combinations_are_all_tried() -> None:
    seen = []

    def fun(v):
        seen.append(tuple(v))
        return v[0] * (1 if v[1] == "down" else -1)

    found = minimize(fun, variables=[Integer(-2, 3), Categorical(["up", "down"])])
    assert found.method == "grid"
    assert "12 combinations" in found.reason
    assert len(set(seen)) == 12
    assert found.x == [3, "up"]
    assert found.status is Status.EXHAUSTED
    assert found.success


def test_integers_under_a_constraint() -> None:
    """A knapsack: the best of 2^6 by brute force."""
    worth, weight = [7, 9, 4, 12, 5, 6], [3, 5, 2, 7, 3, 4]
    room = Inequality(lambda v: 12 - sum(w * x for w, x in zip(weight, v, strict=True)))
    found = minimize(
        lambda v: sum(w * x for w, x in zip(worth, v, strict=True)),
        variables=[Integer(0, 1)] * 6,
        constraints=room,
        maximize=True,
        method="genetic",
    )
    best = max(
        sum(w for k, w in enumerate(worth) if n >> k & 1)
        for n in range(64)
        if sum(w for k, w in enumerate(weight) if n >> k & 1) <= 12
    )
    assert found.value == best
    assert found.violation == 0


@pytest.mark.parametrize("method", ["genetic", "differential-evolution", "dual-annealing"])
def test_global_minimum_among_many(method: str) -> None:
    found = minimize(rastrigin, [3.3, -2.1, 1.7], bounds=(-5.12, 5.12), method=method, max_evaluations=4_000)
    assert found.value < 1e-2
    assert found.counts.gradients == 0


@needs_cmaes
def test_cmaes_evolves_every_start() -> None:
    def ellipse(x):
        return float(np.sum(10.0 ** np.arange(4) * (np.asarray(x) - 1) ** 2))

    found = minimize(ellipse, np.zeros(4), method="cmaes", starts=3)
    assert found.value < 1e-10
    assert sum(found.statuses.values()) == 3
    within = minimize(ellipse, np.zeros(4), method="cmaes", bounds=(-1, 0.5))
    assert within.x.max() <= 0.5
    assert within.value < 1.05 * ellipse(np.full(4, 0.5))  # its best corner
    roomy = minimize(ellipse, np.zeros(4), method="cmaes", bounds=(-1, 3))
    np.testing.assert_allclose(roomy.x, 1, atol=1e-4)
    with pytest.raises(UsageError, match="at least two variables"):
        minimize(lambda x: float(x) ** 2, 1.0, method="cmaes")


def test_cmaes_that_is_missing_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("lanewise.solvers.cmaes_method.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'lanewise\[cmaes\]'"):
        minimize(rastrigin, [1.0, 1.0], method="cmaes")


@pytest.mark.parametrize("method", ["random", "quasi-random"])
def test_draws_fill_the_box_and_repeat(method: str) -> None:
    seen = []

    def fun(x):
        seen.append(np.array(x, dtype=np.float64))
        return float(np.sum(np.asarray(x, dtype=np.float64) ** 2))

    found = minimize(fun, [2.0, 2.0], bounds=(-1, 3), method=method, options={"points": 300})
    points = np.array(seen)[-300:]
    assert points.min() >= -1
    assert points.max() <= 3
    assert len(np.unique(points, axis=0)) == 300
    np.testing.assert_allclose(points.mean(axis=0), 1, atol=0.15)
    assert found.value < 0.1
    again = minimize(fun, [2.0, 2.0], bounds=(-1, 3), method=method, options={"points": 300})
    assert again.value == found.value


def test_grid_over_reals() -> None:
    found = minimize(lambda x: (x[0] - 0.45) ** 2 + (x[1] + 1) ** 2, [0.0, 0.0], bounds=(-1, 1), method="grid")
    np.testing.assert_allclose(found.x, [0.4, -1.0])
    finer = minimize(
        lambda x: (x[0] - 0.5) ** 2 + (x[1] + 1) ** 2, [0.0, 0.0], bounds=(-1, 1), method="grid", options={"levels": 5}
    )
    np.testing.assert_allclose(finer.x, [0.5, -1.0])


@pytest.mark.parametrize("method", ["slsqp", "trust-constr"])
def test_scipy_under_constraints(method: str) -> None:
    found = minimize(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        torch.tensor([1.0, 5.0, 5.0, 1.0]),
        bounds=(1, 5),
        constraints=[Inequality(lambda x: x.prod() - 25), Equality(lambda x: (x**2).sum() - 40)],
        method=method,
        max_evaluations=2000,
    )
    assert found.value == pytest.approx(17.0140173, abs=1e-5)
    assert found.violation <= 1e-6


def test_scipy_keeps_the_limit_and_the_callback() -> None:
    few = minimize(rastrigin, [3.3, 1.0], bounds=(-5, 5), method="differential-evolution", max_evaluations=100)
    assert few.status is Status.EVALUATIONS
    assert few.evaluations <= 250
    stopped = minimize(rastrigin, [3.3, 1.0], bounds=(-5, 5), method="dual-annealing", callback=lambda step: True)
    assert stopped.status is Status.STOPPED


def test_populations_are_lanes_with_draws_of_their_own() -> None:
    low, high = torch.full((3,), -5.0).double(), torch.full((3,), 5.0).double()

    class Counting:
        def values(self, points):
            return (points**2 - 10 * (2 * math.pi * points).cos()).sum(1)

        def violations(self, points):
            return torch.zeros(len(points), dtype=points.dtype)

    def run(starts):
        solver = Genetic(low=low, high=high, patience=15)
        state = solver.init(starts, Counting())
        while not solver.progress(state).finished:
            solver.step(state, Counting())
        return solver.progress(state)

    starts = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together, alone = run(starts), run(starts[:1])
    assert torch.equal(together.points[0], alone.points[0])
    assert len({tuple(point) for point in together.points.tolist()}) == 4


@pytest.mark.parametrize(("limit", "members"), [(100, 20), (4_000, 38), (10_000, 60), (50_000, 60)])
def test_the_population_follows_the_limit(limit: int, members: int) -> None:
    def evaluations(**options: int) -> int:
        found = minimize(
            rastrigin,
            [3.3, 1.0],
            bounds=(-5, 5),
            method="genetic",
            max_evaluations=limit,
            callback=lambda step: True,
            options=options,
        )
        return found.evaluations

    assert evaluations() == evaluations(population=members)
    assert evaluations(population=members + 2) == evaluations() + 2


def test_values_alone_are_asked_for() -> None:
    """No look at the smoothness of a function before a method that does not need it: that takes 3 gradients."""
    calls = []

    def fun(x):
        calls.append(1)
        return float(np.sum(x**2))

    minimize(fun, np.full(20, 0.5), bounds=(-1, 1), method="random", options={"points": 1})
    assert len(calls) < 20


@pytest.mark.parametrize("whole", [None, torch.tensor([True, False, True])])
def test_children_stay_within_the_box(whole) -> None:
    low, high = torch.tensor([0.0, -1.0, 2.0]).double(), torch.tensor([3.0, -1.0, 9.0]).double()
    solver = Genetic(low=low, high=high, whole=whole, mutation=1.0, patience=5)
    seen = []

    class Recording:
        def values(self, points):
            seen.append(points.clone())
            return points.sum(1)

        def violations(self, points):
            return torch.zeros(len(points), dtype=points.dtype)

    state = solver.init(torch.tensor([[1.0, -1.0, 3.0]]).double(), Recording())
    for _ in range(20):
        solver.step(state, Recording())
    points = torch.cat(seen)
    assert ((points >= low) & (points <= high)).all()
    if whole is not None:
        assert (points[:, [0, 2]] == points[:, [0, 2]].round()).all()
    assert state.values[0, 0] == 1.0 if whole is not None else state.values[0, 0] < 1.05


def test_a_space_by_name_and_by_place() -> None:
    space = Space.of(MIXED)
    assert space.shown(space.row({"size": 0.5, "count": 3, "kind": "d"})) == {"size": 0.5, "count": 3, "kind": "d"}
    assert Space.of([Integer(0, 3)]).shown(torch.tensor([2.0])) == [2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variables": {"a": 3}}, "variables must be Real, Integer or Categorical"),
        ({"variables": []}, "variables must be Real, Integer or Categorical"),
        ({"variables": MIXED, "x0": [1, 2, 3]}, "x0 must be a dict by name of the 3 variables"),
        ({"variables": MIXED, "x0": {"size": 5, "count": 1, "kind": "a"}}, "x0 must lie within Real"),
        ({"variables": MIXED, "x0": {"size": 0, "count": 1.5, "kind": "a"}}, "x0 must lie within Integer"),
        ({"variables": MIXED, "x0": {"size": 0, "count": 1, "kind": "z"}}, "x0 must be one of 'a', 'b', 'c', 'd'"),
        ({"variables": MIXED, "bounds": (0, 1)}, "variables go without bounds"),
        ({"variables": MIXED, "method": "bfgs"}, "takes one real vector"),
        ({"variables": MIXED, "method": "grid", "options": {"levels": 500}}, "the grid has 62,000 points"),
        ({"variables": MIXED, "method": "genetic", "options": {"population": 5}}, "population must be an even number"),
        ({"variables": MIXED, "method": "genetic", "options": {"crossover": 2}}, "crossover is a probability"),
        ({"x0": None}, "give x0, the point to start from, or variables"),
        ({"x0": [1.0, 2.0], "method": "grid"}, "grid search needs finite bounds"),
        ({"x0": [1.0, 2.0], "method": "dual-annealing"}, "needs finite bounds for every variable"),
        ({"x0": [1.0, 2.0], "method": "random", "options": {"points": 0}}, "points must be a whole number"),
    ],
)
def test_bad_input(arguments, words: str) -> None:
    fun = mixed if arguments.get("variables") is MIXED else lambda x: float(np.sum(np.square(x)))
    with pytest.raises(UsageError, match=words):
        minimize(fun, **arguments)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Real(1, 0), "Real needs finite bounds with low <= high, got 1 and 0"),
        (lambda: Real(0, math.inf), "Real needs finite bounds"),
        (lambda: Integer(0.5, 2), "Integer needs whole numbers"),
        (lambda: Categorical([]), "at least one choice"),
        (lambda: Sampling(kind="grid", low=torch.zeros(1), high=torch.ones(1), levels=1), "levels must be at least 2"),
    ],
)
def test_bad_settings(build, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build()


def test_auto_without_slopes() -> None:
    steps = lambda x: float(np.abs(np.floor(np.asarray(x) * 3 + 0.4)).sum())  # noqa: E731  # a formula
    boxed = minimize(steps, [1.5, 1.3], bounds=(-5, 5))
    assert boxed.method == ("cmaes" if HAS_CMAES else "differential-evolution")
    assert boxed.value == 0
    free = minimize(steps, [1.5, 1.3])
    assert free.method == ("cmaes" if HAS_CMAES else "genetic")
    assert "in steps" in free.reason
    limited = minimize(steps, [1.5, 1.3], bounds=(-5, 5), constraints=Inequality(lambda x: x[0] - 1))
    assert limited.method == "genetic"
    assert limited.x[0] >= 1
