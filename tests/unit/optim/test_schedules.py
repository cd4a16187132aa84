"""The curves against torch's schedulers, float64, and what a lane makes of them."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.optim import schedules
from lanewise.optim.schedules import SCHEDULES, curves, factors, schedule_of

STEPS = 60
TEXT = ("schedule_shape",)
FALLING = sorted(set(SCHEDULES) - {"one_cycle", "warm_restarts"})
MAKERS: dict[str, tuple[Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], curves.Curve]] = {
    "step": (lambda o: lr_scheduler.StepLR(o, 7, 0.3), partial(curves.stairs, every=7, gamma=0.3)),
    "exponential": (lambda o: lr_scheduler.ExponentialLR(o, 0.9), partial(curves.exponential, gamma=0.9)),
    "cosine": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.02),
        partial(curves.cosine, length=STEPS, final=0.1),
    ),
    "polynomial": (
        lambda o: lr_scheduler.PolynomialLR(o, 40, power=1.5),
        partial(curves.polynomial, length=40, power=1.5),
    ),
    "one_cycle": (
        lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=STEPS, cycle_momentum=False),
        partial(curves.one_cycle, length=STEPS),
    ),
    "one_cycle, linear": (
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.2, total_steps=STEPS, pct_start=0.45, anneal_strategy="linear", cycle_momentum=False, div_factor=10
        ),
        partial(curves.one_cycle, length=STEPS, peak=0.45, start=0.1, final=1e-5, shape="linear"),
    ),
    "warm_restarts": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 9, eta_min=0.02),
        partial(curves.warm_restarts, first=9, final=0.1),
    ),
    "warm_restarts, growing": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, T_mult=3),
        partial(curves.warm_restarts, first=3, growth=3),
    ),
    "linear": (
        lambda o: lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=0.75, total_iters=20),
        partial(curves.linear, length=20, start=0.25, final=0.75),
    ),
    "warm-up": (
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / 8, total_iters=7),
        lambda step: curves.warmed(step, curves.constant, warmup=8),
    ),
    "joined": (
        lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0 if step < 10 else 0.8 ** (step - 10)),
        lambda step: curves.joined(step, [(curves.constant, 10), (partial(curves.exponential, gamma=0.8), 1)]),
    ),
}


def sgd(lr: float = 0.2) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates_of(optimizer: torch.optim.Optimizer, scheduler: lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """The rate of each step as the optimizer has it."""
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", MAKERS)
def test_a_curve_is_that_of_torch(name: str) -> None:
    make, curve = MAKERS[name]
    optimizer = sgd()
    expected = rates_of(optimizer, make(optimizer), STEPS)
    found = 0.2 * curve(torch.arange(STEPS))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(
    ("curve", "parameters"),
    [
        (curves.linear, {"length": [5.0, 9.0], "final": [0.0, 0.5]}),
        (curves.cosine, {"length": [5.0, 9.0], "final": [0.0, 0.5]}),
        (curves.exponential, {"gamma": [0.5, 0.9]}),
        (curves.stairs, {"every": [2.0, 3.0], "gamma": [0.1, 0.5]}),
        (curves.polynomial, {"length": [5.0, 9.0], "power": [1.0, 3.0]}),
        (curves.inverse_square_root, {"timescale": [1.0, 7.0]}),
        (curves.one_cycle, {"length": [12.0, 9.0], "peak": [0.3, 0.5], "start": [0.1, 0.2]}),
        (curves.warm_restarts, {"first": [2.0, 3.0], "growth": [1.0, 2.0]}),
        (curves.stable_decay, {"length": [9.0, 12.0], "cooldown": [3.0, 4.0]}),
    ],
    ids=lambda own: getattr(own, "__name__", ""),
)
def test_a_curve_of_vectors_is_a_column_for_each_lane(curve, parameters: dict[str, list[float]]) -> None:
    steps = torch.arange(15)
    whole = curve(steps[:, None], **{name: torch.tensor(own) for name, own in parameters.items()})
    assert whole.shape == (15, 2)
    for lane in (0, 1):
        alone = curve(steps, **{name: own[lane] for name, own in parameters.items()})
        assert whole[:, lane].tolist() == pytest.approx(alone.tolist(), rel=1e-6, abs=1e-12)


def test_warm_up_and_joints_differ_between_lanes() -> None:
    steps = torch.arange(6)[:, None]
    climb = curves.warmed(steps, curves.constant, warmup=torch.tensor([0, 2, 4]))
    assert climb.T.tolist() == [[1.0] * 6, [0.5] + [1.0] * 5, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]]
    pieces = [(curves.constant, torch.tensor([1, 3])), (partial(curves.exponential, gamma=0.5), 1)]
    joint = curves.joined(steps, pieces)
    assert joint.T.tolist() == [[1, 1, 0.5, 0.25, 0.125, 0.0625], [1, 1, 1, 1, 0.5, 0.25]]


def test_warm_restarts_begin_where_the_periods_say() -> None:
    """Also where the logarithm that finds the period rounds down: 3 (3^k - 1) / 2 for k up to 12."""
    begins = torch.tensor([3 * (3**k - 1) // 2 for k in range(12)])
    assert curves.warm_restarts(begins, first=3, growth=3).tolist() == [1.0] * 12
    before = curves.warm_restarts(begins[1:] - 1, first=3, growth=3)
    assert bool((before < 0.3).all())


def test_cooling_down_by_the_root_is_that_of_the_paper() -> None:
    found = curves.stable_decay(torch.arange(100), length=100, cooldown=25)
    expected = [1.0 if n < 75 else 1 - math.sqrt((n - 75) / 25) for n in range(100)]
    assert found.tolist() == pytest.approx(expected)
    straight = curves.stable_decay(torch.tensor([75, 85, 100]), length=100, cooldown=25, shape="linear")
    assert straight.tolist() == pytest.approx([1.0, 0.6, 0.0])


@pytest.mark.parametrize("name", FALLING)
def test_a_schedule_starts_at_its_peak_and_never_exceeds_it(name: str) -> None:
    found = factors(name, torch.arange(50), length=50, warmup=0.0)
    assert found[0] == 1
    assert bool((found <= 1).all())
    assert bool((found > 0).all())
    assert bool((found.diff() <= 0).all())


@pytest.mark.parametrize("length", [1, 2, 50])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_a_factor_at_any_length(name: str, length: int, warmup: float) -> None:
    found = factors(name, torch.arange(length), length=length, warmup=warmup)
    assert bool(((found >= 0) & (found <= 1)).all())


def test_lanes_reach_the_ends_that_they_name() -> None:
    steps = torch.arange(101)
    ends = {name: float(factors(name, steps, 100, 0.0)[-1]) for name in SCHEDULES}
    assert ends["exponential"] == pytest.approx(0.01)
    assert ends["step"] == pytest.approx(1e-3)
    assert ends["one_cycle"] == pytest.approx(4e-6)
    assert ends["inverse_square_root"] == pytest.approx(math.sqrt(10 / 110))
    assert [ends[name] for name in ("linear", "cosine", "polynomial", "stable_decay")] == [0.0] * 4
    restarts = factors("warm_restarts", steps[:100], 100, 0.0)
    assert (restarts == 1).nonzero().flatten().tolist() == [0, 25, 50, 75]
    assert factors("one_cycle", steps, 100, 0.0).argmax() == 29


def test_the_settings_of_a_candidate_are_read_by_name() -> None:
    settings = {"schedule": "polynomial", "schedule_power": 1.0}
    name, own = schedule_of(Candidate(id="a", model="linear", optimizer="sgd", settings=settings))
    found = factors(name, torch.arange(4), 4, 0.0, own)
    assert found.tolist() == [1.0, 0.75, 0.5, 0.25]


def test_an_unknown_schedule_is_refused_with_those_there_are() -> None:
    candidate = Candidate(id="a", model="linear", optimizer="sgd", settings={"schedule": "triangular"})
    with pytest.raises(UsageError, match=r"no schedule 'triangular'; there are constant, linear, .*plateau"):
        schedule_of(candidate)


def test_warm_up_climbs_to_the_peak_and_the_schedule_runs_over_the_rest() -> None:
    found = factors("linear", torch.arange(10), length=10, warmup=0.4)
    assert found.tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert float(factors("cosine", torch.tensor([5]), length=10, warmup=0.0)) == pytest.approx(0.5)
    assert float(factors("cosine", torch.tensor([1]), length=10, warmup=0.0)) == pytest.approx(
        (1 + math.cos(math.pi / 10)) / 2
    )


def test_every_schedule_and_setting_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "schedules.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, settings in SCHEDULES.items():
        (row,) = [row for row in rows if f"| `{name}`" in row.split("Schedule`", 1)[-1]]
        assert all(f"`{own}` {value:.4g}" in row for own, value in settings.items() if own not in TEXT), name
    for name in schedules.__all__:
        if name.endswith("Schedule") and name not in ("Schedule", "JoinedSchedule"):
            assert sum(f"| `{name}` |" in row for row in rows) == 1
