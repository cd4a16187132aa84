"""The schedules as torch schedulers: what a training loop, a checkpoint and ``SequentialLR`` ask of one."""

import io
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, SequentialLR

from lanewise import optim
from lanewise.errors import UsageError
from lanewise.optim import schedules
from lanewise.optim.schedules import Schedule, curves

Make = Callable[[torch.optim.Optimizer], Schedule]
EVERY: dict[str, Make] = {
    "constant": lambda o: schedules.ConstantSchedule(o, warmup=3),
    "linear": lambda o: schedules.LinearSchedule(o, total_steps=20, warmup=3, final=0.1),
    "cosine": lambda o: schedules.CosineSchedule(o, total_steps=20, warmup=3),
    "polynomial": lambda o: schedules.PolynomialSchedule(o, total_steps=20, power=1.5),
    "exponential": lambda o: schedules.ExponentialSchedule(o, gamma=0.9, warmup=2),
    "step": lambda o: schedules.StepSchedule(o, every=4, gamma=0.5),
    "inverse_square_root": lambda o: schedules.InverseSquareRootSchedule(o, warmup=4),
    "one_cycle": lambda o: schedules.OneCycleSchedule(o, total_steps=20),
    "warm_restarts": lambda o: schedules.WarmRestartsSchedule(o, first=4, growth=2, warmup=2),
    "stable_decay": lambda o: schedules.WarmupStableDecaySchedule(o, total_steps=20, warmup=3, cooldown=5),
    "joined": lambda o: schedules.JoinedSchedule(
        o, pieces=[(curves.constant, 5), (partial(curves.linear, length=9), 9)], warmup=2
    ),
    "plateau": lambda o: schedules.PlateauSchedule(o, gamma=0.5, warmup=2),
}


def adam(lr: float | torch.Tensor = 0.2) -> torch.optim.Optimizer:
    weight = torch.nn.Parameter(torch.ones(2))
    return optim.Adam([weight], lr=lr)


def train(optimizer: torch.optim.Optimizer, scheduler: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        assert [float(rate) for rate in scheduler.get_last_lr()] == [rates[-1]]
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", EVERY)
def test_it_goes_on_from_its_state_dict(name: str) -> None:
    whole, cut = adam(), adam()
    expected = train(whole, EVERY[name](whole), 18)
    first = EVERY[name](cut)
    begun = train(cut, first, 7)
    file = io.BytesIO()
    torch.save({"optimizer": cut.state_dict(), "schedule": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = adam()
    second = EVERY[name](fresh)  # first: constructing one sets the rate
    fresh.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["schedule"])
    assert second.last_epoch == 7
    assert begun + train(fresh, second, 11) == expected


@pytest.mark.parametrize("name", EVERY)
def test_it_goes_on_from_last_epoch(name: str) -> None:
    whole = adam()
    expected = train(whole, EVERY[name](whole), 10)
    resumed = adam()
    resumed.param_groups[0]["initial_lr"] = 0.2
    made = EVERY[name](resumed)
    again = type(made).__new__(type(made))
    again.__dict__.update({key: value for key, value in made.__dict__.items() if key != "optimizer"})
    Schedule.__init__(again, resumed, warmup=made.warmup, last_epoch=5)
    assert again.get_last_lr() == [expected[6]]


@pytest.mark.parametrize("name", EVERY)
def test_a_tensor_for_a_rate_is_changed_in_place_and_its_peak_is_not(name: str) -> None:
    plain, rate = adam(), torch.tensor(0.2, dtype=torch.float64)
    optimizer = adam(rate)
    expected = train(plain, EVERY[name](plain), 12)
    assert train(optimizer, EVERY[name](optimizer), 12) == pytest.approx(expected, rel=1e-12)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(optimizer.param_groups[0]["initial_lr"]) == 0.2


def test_each_group_has_its_own_peak() -> None:
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = optim.SGD([{"params": weights[0], "lr": 1.0}, {"params": weights[1]}], lr=0.1)
    scheduler = schedules.LinearSchedule(optimizer, total_steps=4)
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.75, pytest.approx(0.075)]


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # SequentialLR's own call
def test_torch_runs_them_in_sequence() -> None:
    optimizer = adam(1.0)
    pair = [schedules.ConstantSchedule(optimizer, warmup=4), schedules.LinearSchedule(optimizer, total_steps=4)]
    found = train(optimizer, SequentialLR(optimizer, pair, milestones=[4]), 9)
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_plateau_is_that_of_torch() -> None:
    losses = [5.0, 4.0, 4.0, 4.1, 4.0, 3.0, 3.0, 3.0, float("nan"), 3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    ours, theirs = adam(), adam()
    scheduler = schedules.PlateauSchedule(ours, gamma=0.3, patience=2, cooldown=1, least=0.02)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=0.3, patience=2, cooldown=1, min_lr=0.2 * 0.02, eps=0.0
    )
    rates = set()
    for loss in losses * 2:
        for optimizer, one in ((ours, scheduler), (theirs, other)):
            optimizer.step()
            one.step(loss)
        rates.add(theirs.param_groups[0]["lr"])
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
    assert len(rates) == 5
    assert min(rates) == 0.004


def test_a_state_dict_holds_no_function() -> None:
    assert "pieces" not in EVERY["joined"](adam()).state_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda o: schedules.LinearSchedule(o, total_steps=0),
            "total_steps must be a whole number of steps, 1 or more, got 0",
        ),
        (
            lambda o: schedules.CosineSchedule(o, total_steps=5, warmup=5),
            "warmup must be less than total_steps, 5, got 5",
        ),
        (
            lambda o: schedules.ConstantSchedule(o, warmup=-1),
            "warmup must be a whole number of steps, 0 or more, got -1",
        ),
        (
            lambda o: schedules.CosineSchedule(o, total_steps=20, warmup=0.1),
            "whole number .*, got 0.1",
        ),
        (lambda o: schedules.LinearSchedule(o, total_steps=20, final=-1.0), "final must be at least 0, got -1.0"),
        (lambda o: schedules.StepSchedule(o, every=0), "every must be a whole number of steps, 1 or more, got 0"),
        (lambda o: schedules.InverseSquareRootSchedule(o, warmup=0), "timescale must be at least 1, got 0"),
        (lambda o: schedules.WarmRestartsSchedule(o, first=2, growth=0.5), "growth must be at least 1, got 0.5"),
        (lambda o: schedules.JoinedSchedule(o, pieces=[]), "at least one pair"),
        (
            lambda o: schedules.WarmupStableDecaySchedule(o, total_steps=9, cooldown=2, shape="cosine"),
            "shape must be one of sqrt, linear, got 'cosine'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(adam())
