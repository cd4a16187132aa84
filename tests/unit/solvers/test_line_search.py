"""The batched line search, on functions of one variable."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lanewise.solvers.line_search import Bracket, LineSearch, Trial

Curve = Callable[[Tensor], tuple[Tensor, Tensor]]


def search(curve: Curve, lanes: int, *, method: LineSearch | None = None) -> tuple[Tensor, Tensor]:
    """Accepted steps ``[R]`` (nan if none was) and evaluations ``[R]`` of searches from 0."""
    method = method or LineSearch()
    base, slope = curve(torch.zeros(lanes, dtype=torch.float64))
    bracket = Bracket.start(base, slope)
    steps = torch.full_like(base, torch.nan)
    evaluations = torch.zeros(lanes)
    open_rows = torch.ones(lanes, dtype=torch.bool)
    while open_rows.any():
        value, slope = curve(bracket.step)
        value = torch.where(value.isfinite(), value, torch.inf)
        slope = torch.where(value.isfinite(), slope, torch.nan)
        trial = Trial(base=base, promise=bracket.step * bracket.slope, value=value, slope=slope)
        evaluations += open_rows
        taken = method.accepts(bracket, trial) & open_rows
        steps = torch.where(taken, bracket.step, steps)
        narrowed = method.narrow(bracket, trial)
        bracket = Bracket.of(torch.where(taken[:, None], bracket.pack(), narrowed.pack()).unbind(1))
        open_rows &= ~taken & ~method.exhausted(bracket)
    return steps, evaluations


def strong_wolfe(curve: Curve, steps: Tensor, method: LineSearch) -> Tensor:
    base, start = curve(torch.zeros_like(steps))
    value, slope = curve(steps)
    slack = 1e-14 * base.abs()
    return (value <= base + method.decrease * steps * start + slack) & (slope.abs() <= method.curvature * start.abs())


@settings(deadline=None, max_examples=50)
@given(
    centre=st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=8),
    power=st.sampled_from([2, 4, 6]),
    curvature=st.sampled_from([0.9, 0.1]),
    offset=st.sampled_from([0.0, 10.0]),
)
def test_steps_satisfy_the_strong_wolfe_conditions(
    centre: list[float], power: int, curvature: float, offset: float
) -> None:
    goal = torch.tensor(centre, dtype=torch.float64)

    def curve(step: Tensor) -> tuple[Tensor, Tensor]:
        return offset + (step / goal - 1) ** power, power * (step / goal - 1) ** (power - 1) / goal

    method = LineSearch(curvature=curvature)
    steps, _ = search(curve, len(goal), method=method)
    assert strong_wolfe(curve, steps, method).all()


def test_wavy_curves() -> None:
    frequency = torch.linspace(0.5, 40, 60, dtype=torch.float64)

    def curve(step: Tensor) -> tuple[Tensor, Tensor]:
        return -step / (1 + step) - 0.1 * (frequency * step).sin(), -((1 + step) ** -2) - 0.1 * frequency * (
            frequency * step
        ).cos()

    for curvature in (0.9, 0.1):
        method = LineSearch(curvature=curvature)
        steps, _ = search(curve, 60, method=method)
        assert strong_wolfe(curve, steps, method).all()


def test_a_parabola_takes_one_refinement() -> None:
    goal = torch.tensor([0.15, 0.45, 3.0, 90.0], dtype=torch.float64)
    steps, evaluations = search(lambda t: ((t - goal) ** 2, 2 * (t - goal)), 4, method=LineSearch(curvature=0.1))
    assert evaluations.tolist() == [2, 2, 2, 2]
    torch.testing.assert_close(steps, goal)


def test_where_values_are_rounded_the_slope_decides() -> None:
    goal = torch.tensor([0.2, 0.4, 7.0], dtype=torch.float64)
    steps, evaluations = search(lambda t: (torch.ones_like(t), 1e-12 * (t - goal)), 3, method=LineSearch(curvature=0.1))
    torch.testing.assert_close(steps, goal)
    assert evaluations.max() == 2


def test_a_wall_is_approached_from_inside() -> None:
    wall = torch.logspace(-8, 8, 17, dtype=torch.float64)

    def curve(step: Tensor) -> tuple[Tensor, Tensor]:
        inside = step < wall
        return torch.where(inside, -step / wall - 0.1 * (1 - step / wall).log(), torch.nan), (
            -1 + 0.1 / (1 - step / wall)
        ) / wall

    method = LineSearch()
    steps, _ = search(curve, 17, method=method)
    assert strong_wolfe(curve, steps, method).all()


def test_a_bent_path_asks_for_decrease_only() -> None:
    method = LineSearch()
    one = torch.ones(3, dtype=torch.float64)
    bracket = Bracket.start(one, -one)
    values = torch.tensor([0.9999, 0.99995, 3.0], dtype=torch.float64)
    trial = Trial(base=one, promise=-one, value=values, slope=one * torch.nan)
    assert method.accepts(bracket, trial).tolist() == [True, False, False]
    narrowed = method.narrow(bracket, trial)
    assert torch.equal(narrowed.high[1:], one[1:])
    assert (narrowed.step[1:] < 1).all()


def test_the_last_trial_returns_to_a_lower_point() -> None:
    # Down to a kink at 1/3, up after it: sufficient decrease exists, a small slope does not.
    def curve(step: Tensor) -> tuple[Tensor, Tensor]:
        return (step - 1 / 3).abs(), (step - 1 / 3).sign()

    steps, evaluations = search(curve, 1, method=LineSearch(trials=12))
    assert evaluations.tolist() == [12]
    assert curve(steps)[0].item() < 0.01


@pytest.mark.parametrize("slope", [-1.0, -1e-9])
def test_an_endless_descent_exhausts_the_trials_without_an_upper_bound(slope: float) -> None:
    method = LineSearch()
    steps, evaluations = search(lambda t: (slope * t, torch.full_like(t, slope)), 2, method=method)
    assert steps.isnan().all()
    assert evaluations.tolist() == [method.trials] * 2


def test_a_bracket_survives_packing() -> None:
    bracket = Bracket.start(torch.tensor([1.0, 2.0]), torch.tensor([-3.0, -4.0]))
    bracket = replace(bracket, high=torch.tensor([5.0, 6.0]))
    again = Bracket.of(bracket.pack().unbind(1))
    for name in ("step", "slope", "low_value", "high", "high_slope", "trials"):
        assert torch.equal(getattr(again, name), getattr(bracket, name)), name
