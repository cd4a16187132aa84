"""Every gradient rule as a method of ``minimize``."""

import pytest
import torch

from lanewise import UsageError, minimize
from lanewise.optim.registry import RULES
from lanewise.solvers.solver import Status


def bowl(x):
    return (x[0] - 3) ** 2 + 2 * (x[1] + 1) ** 2


# RMSprop and Lion at a constant rate end up going to and fro over about the rate; the rates of DoG and Prodigy are
# factors of those they find; those of Adagrad and Adadelta begin large; AdEMAMix by default remembers the start for
# longer than this takes; SGLD comes to rest only without its noise; the others here are slow at smaller rates.
OTHERWISE = {
    "rmsprop": ({"lr": 5e-3}, 5e-2),
    "lion": ({"lr": 5e-3}, 5e-2),
    "adagrad": ({"lr": 1.0}, 1e-3),
    "adadelta": ({"lr": 30.0}, 1e-3),
    "dog": ({"lr": 1.0}, 1e-3),
    "prodigy": ({"lr": 1.0}, 1e-3),
    "ademamix": ({"lr": 0.3, "beta3": 0.99}, 1e-3),
    "sgld": ({"lr": 0.05, "temperature": 0.0}, 1e-3),
    **{name: ({"lr": 0.3}, 1e-3) for name in ("schedule_free_sgd", "schedule_free_adamw", "radam", "radamw", "adamax")},
}


FAR = ("adadelta", "adafactor", "shampoo", "soap")
"""Rules whose rate suits a longer way to the minimum."""


@pytest.mark.parametrize("name", RULES)
def test_every_rule_minimizes_a_bowl(name: str) -> None:
    options, tolerance = OTHERWISE.get(name, ({"lr": 0.05}, 1e-3))
    start = torch.zeros(2) if name in FAR else torch.tensor([2.5, -0.5])
    found = minimize(bowl, start, method=name, options=options, tolerance=tolerance, starts=3)
    assert found.method == name
    assert found.status is Status.CONVERGED
    assert found.value < tolerance**2
    assert found.history.values == sorted(found.history.values, reverse=True)


def test_gradient_descent_follows_the_formula() -> None:
    """(x - 3)^2 from 0 at the rate 0.1: x_t = 3 (1 - 0.8^t)."""
    steps = []
    minimize(lambda x: (x - 3) ** 2, 0.0, method="gd", options={"lr": 0.1}, max_evaluations=12, callback=steps.append)
    for count, step in enumerate(steps):
        assert step.points.item() == pytest.approx(3 * (1 - 0.8**count), rel=1e-12)


def test_a_rate_that_is_too_large_diverges() -> None:
    found = minimize(bowl, torch.zeros(2), method="gd", options={"lr": 2.0})
    assert found.status is Status.DIVERGED
    assert "learning rate is too large" in repr(found)
    assert not found.success


def test_bounds_are_kept() -> None:
    found = minimize(bowl, torch.zeros(2), method="gd", options={"lr": 0.1}, bounds=(-0.5, 2.0))
    torch.testing.assert_close(found.x, torch.tensor([2.0, -0.5]).double())
    assert found.status is Status.CONVERGED


def test_unknown_options() -> None:
    with pytest.raises(UsageError, match="method 'adam' has no option 'rate'; it has lr, beta1, beta2, eps"):
        minimize(bowl, torch.zeros(2), method="adam", options={"rate": 1})


@pytest.mark.parametrize("options", [{"lr": -3}, {"lr": float("nan")}, {"lr": "a"}, {"beta1": 2.0}])
def test_options_that_a_rule_cannot_work_with_are_refused(options: dict[str, object]) -> None:
    name = next(iter(options))
    with pytest.raises(UsageError, match=f"adam: {name} must be .*, got"):
        minimize(lambda x: (x**2).sum(), [1.0, 2.0], method="adam", options=options)
