"""Changing over from an optimizer of torch in mid-training."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import lanewise.optim as ours
from lanewise.errors import UsageError

Settings = dict[str, Any]
SAVED: list[tuple[str, Settings]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "fused": True}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.7), "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.1, "foreach": True}),
    ("AdamW", {"lr": torch.tensor(0.05, dtype=torch.float64)}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"lr": 0.5}),
    ("Rprop", {"lr": 0.05}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "t0": 3.0}),
    ("Adafactor", {"lr": 0.05, "beta2_decay": -0.7, "eps": (1e-4, 1e-2), "d": 1.5, "weight_decay": 0.1}),
    ("Adafactor", {}),
]


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).to(dtype)


def learn(model: nn.Module, optimizer: Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        rows = torch.randn(8, 4, generator=draw).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        made = model(rows)
        (made.square().sum() / 10 + made.sum()).backward()
        optimizer.step()


def saved(optimizer: Optimizer) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def apart(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.fixture
def wide_numbers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch keeps what follows from the step, NAdam's product for instance, in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("wide_numbers")
@pytest.mark.parametrize(("name", "settings"), SAVED, ids=[f"{name} {at}" for at, (name, _) in enumerate(SAVED)])
def test_training_goes_on_as_it_would_have_in_torch(name: str, settings: Settings) -> None:
    model = network()
    theirs = getattr(torch.optim, name)(model.parameters(), **settings)
    learn(model, theirs, 5)
    other = copy.deepcopy(model)
    optimizer = getattr(ours, name)(other.parameters())
    optimizer.load_state_dict(saved(theirs))
    steps = {int(state["step"]) for state in theirs.state.values() if "step" in state}
    assert not steps or {int(state["step"]) for state in optimizer.state.values()} == steps == {5}
    assert "foreach" not in optimizer.param_groups[0]
    learn(model, theirs, 7, first=5)
    learn(other, optimizer, 7, first=5)
    assert apart(model, other) <= 1e-10
    back = copy.deepcopy(other)
    torchs_again = getattr(torch.optim, name)(back.parameters())
    torchs_again.load_state_dict(optimizer.torch_state_dict())
    learn(back, torchs_again, 4, first=12)
    learn(model, theirs, 4, first=12)
    assert apart(model, back) <= 1e-10
    again = getattr(ours, name)(other.parameters())
    again.load_state_dict(saved(optimizer))  # what was taken over is saved as our own
    assert str(again.state_dict()) == str(optimizer.state_dict())


def test_muon_goes_on_where_there_is_the_same_arithmetic() -> None:
    model = network()[0]
    theirs = torch.optim.Muon([model.weight], lr=0.02, adjust_lr_fn="match_rms_adamw")
    learn(model, theirs, 5)
    other = copy.deepcopy(model)
    optimizer = ours.Muon([other.weight])
    optimizer.load_state_dict(saved(theirs))
    momentum = optimizer.state[other.weight]["momentum"]
    assert torch.equal(momentum, theirs.state[model.weight]["momentum_buffer"])
    assert optimizer.param_groups[0]["lr"] == 0.02
    assert optimizer.param_groups[0]["eps"] == 1e-8  # that of AdamW for vectors, which torch's does not have
    learn(model, theirs, 3, first=5)
    learn(other, optimizer, 3, first=5)
    assert apart(model, other) < 2e-3  # torch's iterates in bfloat16; three steps of 0.02 are 0.06 long
    back = torch.optim.Muon([other.weight])
    back.load_state_dict(optimizer.torch_state_dict())
    learn(other, back, 1, first=8)
    assert back.param_groups[0]["adjust_lr_fn"] == "match_rms_adamw"
    plain = torch.optim.Muon([model.weight])
    learn(model, plain, 1)
    with pytest.raises(UsageError, match="only with adjust_lr_fn='match_rms_adamw', and this one has None"):
        optimizer.load_state_dict(saved(plain))


def test_groups_keep_what_is_theirs_and_complex_and_short_weights_go_on() -> None:
    def weights() -> list[nn.Parameter]:
        draw = torch.Generator().manual_seed(0)
        whole = torch.randn(3, dtype=torch.complex128, generator=draw)
        return [nn.Parameter(whole), nn.Parameter(torch.randn(3, 2, generator=draw).bfloat16())]

    def steps(optimizer: Optimizer, params: list[nn.Parameter], count: int) -> None:
        for _ in range(count):
            for param in params:
                param.grad = param.detach() * 3
            optimizer.step()

    model = weights()
    theirs = torch.optim.AdamW([{"params": model[:1], "lr": 0.1, "name": "first"}, {"params": model[1:], "lr": 0.3}])
    schedule = torch.optim.lr_scheduler.StepLR(theirs, 2)
    steps(theirs, model, 4)
    schedule.step()
    other = [nn.Parameter(param.detach().clone()) for param in model]
    optimizer = ours.AdamW([{"params": other[:1]}, {"params": other[1:]}])
    optimizer.load_state_dict(saved(theirs))
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.3]
    assert optimizer.param_groups[0]["name"] == "first"
    assert optimizer.state[other[1]]["mean"].dtype == torch.float32
    steps(theirs, model, 3)
    steps(optimizer, other, 3)
    assert float((model[0] - other[0]).detach().abs().max()) <= 1e-10
    theirs.load_state_dict(optimizer.torch_state_dict())
    assert theirs.state[model[0]]["exp_avg"].is_complex()
    assert theirs.param_groups[0]["name"] == "first"
    assert float((model[1] - other[1]).detach().float().abs().max()) < 0.03  # torch rounds its moments, too


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("Lion", {}, "torch.optim has no Lion"),
        ("Rprop", {"weight_decay": 0.1}, "torch.optim.Rprop has no weight_decay, and here it is 0.1"),
        ("Muon", {"maximize": True}, "torch.optim.Muon has no maximize, and here it is True"),
    ],
)
def test_what_torch_does_not_have_is_refused_on_the_way_back(name: str, settings: Settings, words: str) -> None:
    optimizer = getattr(ours, name)(network().parameters(), **settings)
    with pytest.raises(UsageError, match=words):
        optimizer.torch_state_dict()


def test_averaged_weights_are_changed_back_before_torch_goes_on() -> None:
    optimizer = ours.ASGD(network().parameters())
    optimizer.eval()
    with pytest.raises(UsageError, match=r"torch.optim.ASGD has no evaluating, and here it is True"):
        optimizer.torch_state_dict()


def test_sharpness_aware_minimization_goes_on_from_the_state_of_its_base() -> None:
    model = network()
    theirs = torch.optim.AdamW(model.parameters(), lr=0.05)
    learn(model, theirs, 3)
    optimizer = ours.SAM(model.parameters(), lr=0.1, base=ours.AdamW)
    optimizer.load_state_dict(saved(theirs))
    assert {state["step"] for state in optimizer.state.values()} == {3}
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert optimizer.param_groups[0]["rho"] == 0.05


@pytest.mark.parametrize(
    ("theirs", "settings", "name", "words"),
    [
        ("AdamW", {}, "Lion", r"not that of Lion but of torch.optim.Adam or torch.optim.AdamW: load it into lanewise"),
        ("AdamW", {}, "RAdam", "not that of RAdam but of torch.optim.Adam or torch.optim.AdamW: load it"),
        ("RAdam", {}, "Adam", "not that of Adam but of torch.optim.Adamax or torch.optim.RAdam: load it"),
        ("RAdam", {}, "Adamax", "it has exp_avg, exp_avg_sq for a parameter, where Adamax keeps mean, largest"),
        ("SGD", {"momentum": 0.9}, "Momentum", "of torch.optim.SGD: load it into lanewise.optim.SGD, or begin"),
        ("AdamW", {"weight_decay": 0.1}, "Adam", "the weight decay of torch's AdamW, which Adam does not have: load"),
        ("Adam", {"weight_decay": 0.1}, "AdamW", "the weight decay of torch's Adam, which AdamW does not have: load"),
        ("NAdam", {}, "Adagrad", "not that of Adagrad but of torch.optim.NAdam"),
    ],
)
def test_another_state_of_torchs_is_refused_when_it_is_loaded(
    theirs: str, settings: Settings, name: str, words: str
) -> None:
    model = network()
    saver = getattr(torch.optim, theirs)(model.parameters(), **settings)
    learn(model, saver, 1)
    optimizer = getattr(ours, name)(model.parameters())
    learn(model, optimizer, 1)
    before = str(optimizer.state_dict())
    with pytest.raises(UsageError, match=words):
        optimizer.load_state_dict(saved(saver))
    assert str(optimizer.state_dict()) == before


def test_adam_and_adamw_are_one_without_weight_decay() -> None:
    model = network()
    saver = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.0)
    learn(model, saver, 2)
    other = copy.deepcopy(model)
    optimizer = ours.Adam(other.parameters())
    optimizer.load_state_dict(saved(saver))
    learn(model, saver, 2, first=2)
    learn(other, optimizer, 2, first=2)
    assert apart(model, other) <= 1e-10


def test_an_empty_state_of_an_older_version_of_ours_is_taken() -> None:
    for name in ("Lion", "Adafactor", "GradientDescent", "AdamW"):
        optimizer = getattr(ours, name)(network().parameters(), lr=0.3)
        old = optimizer.state_dict()
        del old["rules"]
        other = getattr(ours, name)(network().parameters())
        other.load_state_dict(old)
        assert other.param_groups[0]["lr"] == 0.3
