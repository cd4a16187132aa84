"""What every drop-in must be able to do as a ``torch.optim.Optimizer``."""

import copy
import inspect
import io
import pickle  # noqa: TID251  # torch's own optimizers can be pickled, and so must ours be
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import lanewise.optim as ours
from lanewise.errors import UsageError
from lanewise.optim.drop_in import DropIn
from lanewise.optim.registry import RULES

CLASSES = {name: own for name in ours.__all__ if isinstance(own := getattr(ours, name), type)}
NAMES = [name for name, own in CLASSES.items() if issubclass(own, torch.optim.Optimizer) and name != "SAM"]
REAL_ONLY = {"Adafactor", "Muon", "SOAP", "Shampoo"}
BY_OPTION: list[tuple[str, dict[str, Any], str]] = [
    ("AdamW", {"amsgrad": True}, "amsgradw"),
    ("Momentum", {"dampening": 0.5}, "dampened_momentum"),
    ("RAdam", {"decoupled_weight_decay": True}, "radamw"),
    ("RMSprop", {"momentum": 0.9}, "rmsprop_momentum"),
    ("RMSprop", {"centered": True}, "centred_rmsprop"),
    ("RMSprop", {"centered": True, "momentum": 0.9}, "centred_rmsprop_momentum"),
]


def make(name: str, params: Any, **settings: Any) -> Optimizer:
    return getattr(ours, name)(params, **{"lr": 0.05, **settings})


@cache
def drawn() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # formats the stack for every kind of device that is not there
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return copy.deepcopy(drawn()).to(dtype)


def learn(model: nn.Module, optimizer: Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        rows = torch.randn(8, 4, generator=draw).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        model(rows).square().sum().backward()
        optimizer.step()


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([param.detach().flatten() for param in model.parameters()])


def saved(optimizer: Optimizer) -> dict[str, Any]:
    """The state dict through a file, read as untrusted."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_every_rule_has_a_drop_in_of_its_own_name() -> None:
    offered = {getattr(ours, name).rule.name for name in NAMES}
    for name, options, rule in BY_OPTION:
        optimizer = make(name, network().parameters(), **options)
        assert isinstance(optimizer, DropIn)
        assert optimizer.rule_of(optimizer.param_groups[0]).name == rule
        offered.add(rule)
    assert offered == set(RULES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_training_goes_on_from_a_state_dict_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    through, model = network(dtype), network(dtype)
    whole = make(name, through.parameters())
    learn(through, whole, 6)
    before = make(name, model.parameters())
    learn(model, before, 3)
    after = make(name, model.parameters(), lr=0.7)
    kept = saved(before)
    after.load_state_dict(kept)
    learn(model, after, 3, first=3)
    assert torch.equal(flat(through), flat(model))
    for state in kept["state"].values():  # what was loaded is a copy
        assert state["step"] == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_state_of_short_floats_is_float32_after_loading_too(name: str, dtype: torch.dtype) -> None:
    model = network(dtype)
    optimizer = make(name, model.parameters())
    learn(model, optimizer, 2)
    optimizer.load_state_dict(saved(optimizer))
    learn(model, optimizer, 1)
    tensors = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    assert {tensor.dtype for tensor in tensors} <= {torch.float32}
    assert len(tensors) == 4 * len(getattr(ours, name).rule.slots)
    assert {param.dtype for param in model.parameters()} == {dtype}


@pytest.mark.parametrize("name", NAMES)
def test_short_floats_are_rounded_once_a_step(name: str) -> None:
    short, long = network(torch.bfloat16), network()
    long.load_state_dict({key: value.float() for key, value in short.state_dict().items()})
    for model in (short, long):
        optimizer = make(name, model.parameters(), weight_decay=0.1)
        for param in model.parameters():
            param.grad = torch.ones_like(param)
        optimizer.step()
    assert torch.equal(flat(short), flat(long).bfloat16())


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_without_newer_options_and_slots_is_taken(name: str) -> None:
    model = network()
    optimizer = make(name, model.parameters())
    learn(model, optimizer, 2)
    old = saved(optimizer)
    for group in old["param_groups"]:
        del group["maximize"], group["weight_decay"]
    slots = getattr(ours, name).rule.slots
    for state in old["state"].values():
        for slot in slots[-1:]:
            del state[slot.name]
    optimizer.load_state_dict(old)
    assert optimizer.param_groups[0]["maximize"] is False
    assert optimizer.param_groups[0]["weight_decay"] == optimizer.defaults["weight_decay"]
    learn(model, optimizer, 1)
    assert bool(flat(model).isfinite().all())
    assert all(slot.name in state for state in optimizer.state.values() for slot in slots)


@pytest.mark.parametrize("name", NAMES)
def test_named_parameters_train_as_unnamed_ones(name: str) -> None:
    named, unnamed = network(), network()
    learn(named, make(name, named.named_parameters()), 2)
    learn(unnamed, make(name, unnamed.parameters()), 2)
    assert torch.equal(flat(named), flat(unnamed))


def test_named_parameters_can_be_captured() -> None:
    named, unnamed = network(), network()
    learn(named, make("AdamW", named.named_parameters(), capturable=True), 2)
    learn(unnamed, make("AdamW", unnamed.parameters(), capturable=True), 2)
    assert torch.equal(flat(named), flat(unnamed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"])
def test_a_copy_goes_on_as_the_original_and_apart_from_it(name: str, way: Any) -> None:
    model = network()
    optimizer = make(name, model.parameters())
    learn(model, optimizer, 3)
    twin, other = way((model, optimizer))
    assert repr(other) == repr(optimizer)
    learn(model, optimizer, 2, first=3)
    assert not torch.equal(flat(twin), flat(model))
    learn(twin, other, 2, first=3)
    assert torch.equal(flat(twin), flat(model))


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_as_rate_is_read_at_each_step(name: str) -> None:
    tensor, number = network(), network()
    rate = torch.tensor(0.05, dtype=torch.float64)
    first, second = make(name, tensor.parameters(), lr=rate), make(name, number.parameters())
    for at in range(3):
        learn(tensor, first, 1, at)
        learn(number, second, 1, at)
        rate.mul_(0.5)
        second.param_groups[0]["lr"] *= 0.5
    assert torch.equal(flat(tensor), flat(number))
    with pytest.raises(UsageError, match="one element"):
        make(name, network().parameters(), lr=torch.ones(2))


@pytest.mark.parametrize("name", NAMES)
def test_ascending_is_descending_the_negative(name: str) -> None:
    up, down = network(torch.float64), network(torch.float64)
    one, other = make(name, up.parameters(), maximize=True), make(name, down.parameters())
    for step in range(1, 4):
        for param in up.parameters():
            param.grad = torch.full_like(param, -float(step))
        for param in down.parameters():
            param.grad = torch.full_like(param, float(step))
        one.step()
        other.step()
    assert float((flat(up) - flat(down)).abs().max()) < 1e-12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_gradients_are_left_as_they_are(name: str, decay: float) -> None:
    model = network()
    optimizer = make(name, model.parameters(), weight_decay=decay)
    for step in range(1, 4):
        drawn = [torch.sin(param.detach() * 7 + step) for param in model.parameters()]
        for param, grad in zip(model.parameters(), drawn, strict=True):
            param.grad = grad.clone()
        optimizer.step()
        assert all(
            torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), drawn, strict=True) if p.grad is not None
        )


@pytest.mark.parametrize("name", NAMES)
def test_hooks_and_closures_are_called(name: str) -> None:
    model, calls = network(), []
    optimizer = make(name, model.parameters())
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.register_state_dict_post_hook(lambda *_: calls.append("saved"))

    def closure() -> float:
        calls.append("closure")
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).sum()
        loss.backward()
        return float(loss.detach())

    before = float(model(torch.ones(2, 4)).sum().detach())
    assert optimizer.step(closure) == before
    optimizer.state_dict()
    assert calls == ["before", "closure", "after", "saved"]


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_scaler_is_obeyed(name: str) -> None:
    scaled, plain = network(), network()
    one, other = make(name, scaled.parameters()), make(name, plain.parameters())
    assert isinstance(one, DropIn)
    learn(scaled, one, 1)
    learn(plain, other, 1)
    for model in (scaled, plain):
        for param in model.parameters():
            param.grad = torch.ones_like(param) * (64.0 if model is scaled else 1.0)
    one.grad_scale, one.found_inf = torch.tensor(64.0), torch.tensor(0.0)
    one.step()
    other.step()
    assert torch.equal(flat(scaled), flat(plain))
    steps = [state["step"] for state in one.state.values()]
    one.found_inf = torch.tensor(1.0)
    one.step()
    assert torch.equal(flat(scaled), flat(plain))
    assert [state["step"] for state in one.state.values()] == steps


@pytest.mark.parametrize("name", NAMES)
def test_the_scaler_of_torch_skips_a_step_that_overflowed(name: str) -> None:
    model = network()
    optimizer = make(name, model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for overflows in (False, True):
        before = flat(model)
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).sum() * (float("inf") if overflows else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(before, flat(model)) is overflows


@pytest.mark.parametrize("name", NAMES)
def test_parameters_may_be_missing_numbers_or_none(name: str) -> None:
    number, frozen = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.ones(2))
    optimizer = make(name, [{"params": [number, frozen]}, {"params": []}])
    optimizer.step()
    assert not optimizer.state
    number.grad = torch.tensor(1.0)
    optimizer.step()
    assert float(number.detach()) < 1
    assert set(optimizer.state) == {number}


@pytest.mark.parametrize("name", sorted(set(NAMES) - REAL_ONLY))
def test_complex_parameters_are_pairs(name: str) -> None:
    pairs = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, -4.0]]))
    whole = nn.Parameter(torch.view_as_complex(pairs.detach().clone()))
    one, other = make(name, [pairs]), make(name, [whole])
    for step in range(3):
        pairs.grad = torch.full_like(pairs, step + 1.0)
        whole.grad = torch.view_as_complex(pairs.grad.clone())
        one.step()
        other.step()
    assert torch.allclose(torch.view_as_real(whole.detach()), pairs.detach(), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(REAL_ONLY))
def test_complex_parameters_are_refused_where_they_make_no_sense(name: str) -> None:
    weight = nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
    weight.grad = torch.ones_like(weight)
    with pytest.raises(UsageError, match="real parameters only"):
        make(name, [weight]).step()


@pytest.mark.parametrize("name", NAMES)
def test_sparse_gradients_equal_dense_ones_or_are_refused(name: str) -> None:
    table = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    sparse, dense = nn.Parameter(table.clone()), nn.Parameter(table.clone())
    one, other = make(name, [sparse]), make(name, [dense])
    rows = torch.tensor([[4, 1, 4]])
    taken = getattr(ours, name).rule.sparse is not None
    for step in range(3):
        values = torch.ones(3, 3) * (step + 1)
        sparse.grad = torch.sparse_coo_tensor(rows, values, (6, 3), check_invariants=True)
        dense.grad = sparse.grad.to_dense()
        if not taken:
            with pytest.raises(UsageError, match="does not take sparse gradients"):
                one.step()
            return
        one.step()
        other.step()
    assert torch.allclose(sparse, dense, rtol=1e-6)


def test_which_drop_ins_take_sparse_gradients() -> None:
    taking = {name for name in NAMES if getattr(ours, name).rule.sparse}
    assert taking == {"SGD", "GradientDescent", "Momentum", "Nesterov", "Adagrad"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("setting", [{"lr": -1.0}, {"lr": float("nan")}, {"weight_decay": -0.1}], ids=str)
def test_impossible_settings_are_refused(name: str, setting: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{name}: {next(iter(setting))} must be a finite number, at least 0, got"):
        make(name, [nn.Parameter(torch.ones(1))], **setting)
    with pytest.raises(UsageError, match="must be"):
        make(name, [{"params": [nn.Parameter(torch.ones(1))], **setting}])


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Lion"])
def test_a_beta_of_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="beta2 must be at least 0 and below 1, got 1"):
        make(name, [nn.Parameter(torch.ones(1))], betas=(0.9, 1.0))


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("Rprop", {"etas": (1.1, 1.2)}, "etas must be a factor between 0 and 1 and one above 1"),
        ("Rprop", {"step_sizes": (1.0, 0.1)}, "step_sizes must be the smallest and the largest"),
        ("Rprop", {"etas": (-0.5, 1.2)}, "eta1 must be a finite number, at least 0"),
        ("Adadelta", {"rho": 1.0}, "rho must be at least 0 and below 1"),
        ("RMSprop", {"alpha": 1.0}, "alpha must be at least 0 and below 1"),
        ("Momentum", {"dampening": 1.0}, "dampening must be at least 0 and below 1"),
        ("SGD", {"momentum": 0.9, "dampening": 0.5, "nesterov": True}, "nesterov needs a dampening of 0"),
    ],
)
def test_settings_of_one_rule_are_checked(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(name, [nn.Parameter(torch.ones(1))], **settings)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("AdamW", {"lr": "x"}, "AdamW: lr must be a number or a tensor of one element, got 'x'"),
        ("AdamW", {"lr": None}, "AdamW: lr must be a number or a tensor of one element, got None"),
        ("AdamW", {"betas": (0.9,)}, r"betas must be 2 numbers, as in betas=\(0.9, 0.999\), got \(0.9,\)"),
        ("AdamW", {"betas": 0.9}, "betas must be 2 numbers, .* got 0.9"),
        ("AdamW", {"betas": (0.9, "x")}, "betas must be 2 numbers"),
        ("AdEMAMix", {"betas": (0.9, 0.99)}, "AdEMAMix: betas must be 3 numbers, .* got"),
        ("Lion", {"weight_decay": "x"}, "Lion: weight_decay must be a number"),
        ("Rprop", {"etas": (0.5, 1.2, 2.0)}, "etas must be 2 numbers"),
        ("AdamW", {"amsgrad": "no"}, "AdamW: amsgrad must be True or False, got 'no'"),
        ("AdamW", {"maximize": "no"}, "AdamW: maximize must be True or False, got 'no'"),
        ("SOAP", {"every": 0}, "SOAP: every must be a whole number of steps, at least 1, got 0"),
        ("Shampoo", {"every": 1.5}, "Shampoo: every must be a whole number of steps, at least 1, got 1.5"),
    ],
)
def test_settings_of_another_form_are_refused_before_a_step(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(name, [nn.Parameter(torch.ones(1))], **settings)
    if settings.keys() <= {"lr", "betas", "every"}:
        with pytest.raises(UsageError, match=words):
            make(name, [{"params": [nn.Parameter(torch.ones(1))], **settings}])
        with pytest.raises(UsageError, match=words):
            ours.SAM([nn.Parameter(torch.ones(1))], base=getattr(ours, name), **{"lr": 0.1, **settings})


def test_settings_without_a_name_are_those_of_torch() -> None:
    """What a call names by place alone must not be read as another setting; Adafactor has settings of its own."""

    def by_place(kind: Any) -> list[str]:
        parameters = inspect.signature(kind).parameters.values()
        return [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    twins = [name for name in NAMES if hasattr(torch.optim, name) and name != "Adafactor"]
    assert len(twins) == 12
    for name in twins:
        own, theirs = by_place(CLASSES[name]), by_place(getattr(torch.optim, name))
        shared = min(len(own), len(theirs))
        assert own[:shared] == theirs[:shared], name


def test_numbers_may_come_in_tensors_lists_and_whole() -> None:
    plain, other = network(), network()
    learn(plain, make("AdamW", plain.parameters(), betas=(0.5, 0.9), weight_decay=0.0), 2)
    settings = {"betas": [torch.tensor(0.5, dtype=torch.float64), 0.9], "weight_decay": 0, "amsgrad": 0}
    learn(other, make("AdamW", other.parameters(), **settings), 2)
    assert torch.equal(flat(plain), flat(other))


@pytest.mark.parametrize("option", ["foreach", "fused"])
def test_what_only_chooses_how_torch_computes_is_ignored(option: str) -> None:
    """For every class of torch's that takes it and that there is one of the same name of, with the same settings."""
    taking = {
        name
        for name in set(NAMES) - {"Adafactor"}  # whose settings are others than torch's
        if option in inspect.signature(getattr(torch.optim, name, lambda: None)).parameters
    }
    assert {"AdamW", "SGD"} <= taking
    for name in taking:
        plain, chosen = network(), network()
        learn(plain, make(name, plain.parameters()), 2)
        learn(chosen, make(name, chosen.parameters(), **{option: True}), 2)
        assert torch.equal(flat(plain), flat(chosen)), name


@pytest.mark.parametrize(
    ("saving", "loading", "words"),
    [
        ("AdamW", "Lion", "not that of Lion but of the rule adamw: it has mean, mean_square .* Lion keeps mean;"),
        ("Lion", "AdamW", "not that of AdamW but of the rule lion: it has mean .* keeps mean, mean_square;"),
        ("SGD", "Momentum", "not that of Momentum but of the rule sgd: it has nothing"),
        ("Momentum", "SGD", ""),  # whose state says that it is one with momentum
        ("Adam", "AdamW", ""),  # the same state
        ("SGD", "SGLD", ""),
    ],
)
def test_the_state_of_another_rule_is_refused_where_it_is_another(saving: str, loading: str, words: str) -> None:
    model = network()
    saver = make(saving, model.parameters())
    learn(model, saver, 2)
    optimizer = make(loading, model.parameters())
    if words:
        with pytest.raises(UsageError, match=words):
            optimizer.load_state_dict(saved(saver))
    else:
        optimizer.load_state_dict(saved(saver))
    learn(model, optimizer, 1)
    assert bool(flat(model).isfinite().all())


@pytest.mark.parametrize("name", ["Adam", "Momentum"])
def test_a_cycle_of_momentum_is_taken(name: str) -> None:
    model = network()
    optimizer = make(name, model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=4)
    learn(model, optimizer, 1)
    schedule.step()
    learn(model, optimizer, 1, first=1)
    assert bool(flat(model).isfinite().all())


def test_the_import_loads_nothing_of_weight_but_torch() -> None:
    heavy = ("sklearn", "polars", "scipy", "lightgbm", "pandas", "pydantic", "onnx", "jinja2", "rich", "click")
    code = f"import sys, lanewise.optim; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Momentum", "Lion"])
def test_the_state_of_parameters_of_other_shapes_is_refused_when_it_is_loaded(name: str) -> None:
    small, large = torch.nn.Linear(6, 1), torch.nn.Linear(9, 1)
    saver, optimizer = make(name, small.parameters()), make(name, large.parameters())
    small(torch.ones(2, 6)).sum().backward()
    saver.step()
    with pytest.raises(UsageError, match=rf"this state of {name} is that of other parameters: .* of parameter 0 has"):
        optimizer.load_state_dict(saver.state_dict())


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Momentum", "Adagrad"])
def test_a_weight_that_was_grown_meanwhile_is_an_error_and_no_crash(name: str) -> None:
    model = torch.nn.Linear(6, 5)
    optimizer = make(name, model.parameters())
    for width in (6, 6, 2006):
        if width > 6:
            model.weight.data = torch.cat([model.weight.data, torch.ones(5, 2000)], 1)
        optimizer.zero_grad()
        model(torch.ones(2, width)).square().mean().backward()
        if width > 6:
            with pytest.raises(RuntimeError, match=r"size of tensor|must match|shape"):
                optimizer.step()
        else:
            optimizer.step()
