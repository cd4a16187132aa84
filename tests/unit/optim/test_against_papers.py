"""Rules against a slow plain loop written from their paper, number by number, in float64."""

import functools
import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from plain_rules import CASES as MORE_CASES
from plain_rules import SHAPES, STEPS, Case, Weights, gradients, start
from torch import Tensor, nn
from torch.optim import Optimizer

import lanewise.optim as ours
from lanewise.errors import UsageError
from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.blocks import lane_block, state_elements
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.registry import RULES

LAYOUT = BufferLayout.of(
    [
        Parameter(name="weight", shape=SHAPES["weight"], fan_in=4),
        Parameter(name="tall", shape=SHAPES["tall"], fan_in=2),
        Parameter(name="bias", shape=SHAPES["bias"], fan_in=4, penalised=False),
    ]
)


def plain_lion(decay: float) -> Weights:
    weights = start()
    mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for step in range(1, STEPS + 1):
        for name, grad in gradients(weights, step).items():
            update = torch.sign(0.8 * mean[name] + 0.2 * grad)
            free = 0.0 if name == "bias" else decay
            weights[name] = weights[name] - 0.02 * (update + free * weights[name])
            mean[name] = 0.95 * mean[name] + 0.05 * grad
    return weights


def plain_muon(decay: float) -> Weights:
    weights = start()
    momentum = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    mean, square = ({name: torch.zeros_like(weight) for name, weight in weights.items()} for _ in range(2))
    for step in range(1, STEPS + 1):
        for name, grad in gradients(weights, step).items():
            if name == "bias":
                mean[name] = 0.9 * mean[name] + 0.1 * grad
                square[name] = 0.99 * square[name] + 0.01 * grad**2
                root = (square[name] / (1 - 0.99**step)).sqrt() + 1e-8
                weights[name] = weights[name] - 0.03 * mean[name] / (1 - 0.9**step) / root
                continue
            momentum[name] = 0.9 * momentum[name] + 0.1 * grad
            x = 0.1 * grad + 0.9 * momentum[name]
            # Through the singular values: the iteration acts on each of them alone.
            u, s, v = torch.linalg.svd(x / x.norm(), full_matrices=False)
            for _ in range(5):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            scale = 0.2 * math.sqrt(max(grad.shape))
            weights[name] = (1 - 0.03 * decay) * weights[name] - 0.03 * scale * (u * s) @ v
    return weights


def plain_schedule_free(decay: float) -> Weights:
    base, average = start(), start()
    square = {name: torch.zeros_like(weight) for name, weight in base.items()}
    total = 0.0
    for step in range(1, STEPS + 1):
        at = {name: 0.1 * base[name] + 0.9 * average[name] for name in base}
        total += 0.04**2
        share = 0.04**2 / total
        for name, grad in gradients(at, step).items():
            square[name] = 0.99 * square[name] + 0.01 * grad**2
            direction = grad / ((square[name] / (1 - 0.99**step)).sqrt() + 1e-8)
            base[name] = base[name] - 0.04 * (direction + (0.0 if name == "bias" else decay) * at[name])
            average[name] = (1 - share) * average[name] + share * base[name]
    return average


def plain_dog(decay: float) -> Weights:
    weights, origin = start(), start()
    distance, squares = 0.0, 0.0
    for step in range(1, STEPS + 1):
        grads = gradients(weights, step)
        for name in ("weight", "tall"):
            grads[name] = grads[name] + decay * weights[name]
        if step == 1:
            distance = 0.01 * (1 + math.sqrt(sum(float(weight.square().sum()) for weight in weights.values())))
        away = math.sqrt(sum(float((weights[name] - origin[name]).square().sum()) for name in weights))
        distance = max(distance, away)
        squares += sum(float(grad.square().sum()) for grad in grads.values())
        for name, grad in grads.items():
            weights[name] = weights[name] - 0.9 * distance / math.sqrt(squares + 1e-8) * grad
    return weights


def plain_polyak(decay: float) -> Weights:
    weights = start()
    path: list[Weights] = []
    for step in range(1, STEPS + 1):
        for name, grad in gradients(weights, step).items():
            free = 0.0 if name == "bias" else decay
            weights[name] = weights[name] - 0.2 * (grad + free * weights[name])
        path.append(dict(weights))
    kept = path[2:]
    # with power 1, weights of step n count as n
    counts = range(1, len(kept) + 1)
    means = {name: [count * one[name] for count, one in zip(counts, kept, strict=True)] for name in weights}
    return {name: torch.stack(own).sum(0) / sum(counts) for name, own in means.items()}


CASES: dict[str, Case] = {
    "lion": (plain_lion, {"lr": 0.02, "beta1": 0.8, "beta2": 0.95}, "Lion", {"lr": 0.02, "betas": (0.8, 0.95)}),
    "muon": (
        plain_muon,
        {"lr": 0.03, "momentum": 0.9, "beta1": 0.9, "beta2": 0.99},
        "Muon",
        {"lr": 0.03, "momentum": 0.9, "betas": (0.9, 0.99)},
    ),
    "schedule_free_adamw": (
        plain_schedule_free,
        {"lr": 0.04, "beta1": 0.9, "beta2": 0.99},
        "ScheduleFreeAdamW",
        {"lr": 0.04, "betas": (0.9, 0.99)},
    ),
    "polyak": (
        plain_polyak,
        {"lr": 0.2, "power": 1.0, "burn_in": 2.0},
        "PolyakSGD",
        {"lr": 0.2, "power": 1.0, "burn_in": 2.0},
    ),
    "dog": (plain_dog, {"lr": 0.9, "first": 0.01}, "DoG", {"lr": 0.9, "first": 0.01}),
    **MORE_CASES,
}


def assert_same(found: Weights, expected: Weights) -> None:
    for name, weight in expected.items():
        assert float((found[name] - weight).abs().max()) <= 1e-10 * max(1.0, float(weight.abs().max())), name


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", [1 << 18, 3])
def test_the_drop_in_equals_its_paper(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.optim.batches.BLOCK", block)
    plain, _, drop_in, settings = CASES[name]
    params = {key: nn.Parameter(value) for key, value in start().items()}
    # The rows of a rule that looks at all weights are the groups: here one group, and no decay.
    optimizer = getattr(ours, drop_in)(params.values(), weight_decay=0.0, **settings)
    for step in range(1, STEPS + 1):
        for key, grad in gradients({key: param.detach() for key, param in params.items()}, step).items():
            params[key].grad = grad
        optimizer.step()
    if isinstance(optimizer, EvaluatingDropIn):
        optimizer.eval()
    assert_same({key: param.detach() for key, param in params.items()}, plain(0.0))


def lane(name: str, decay: float, at: int = 0, **settings: float) -> Lane:
    own = {"schedule": "constant", "weight_decay": decay, **CASES[name][1], **settings}
    candidate = Candidate(id=f"{name}{at}", model="linear", optimizer=name.split(maxsplit=1)[0], settings=own)
    return Lane(candidate=candidate, fold=0, seed=0)


def run_lanes(lanes: list[Lane], *, sick: Sequence[int] = ()) -> tuple[LaneBuffer, LaneOptimizer, Tensor]:
    """Buffer, optimizer and the weights to judge by, ``[L, P]`` in the order of the roster."""
    row = torch.cat([start()[parameter.name].flatten() for parameter in LAYOUT.parameters])
    buffer = LaneBuffer(LAYOUT, row.repeat(len(lanes), 1))
    buffer.values[list(sick)] = float("nan")
    optimizer = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    for step in range(1, STEPS + 1):
        advance(buffer, optimizer, step)
    return buffer, optimizer, optimizer.evaluation(buffer.values)


def advance(buffer: LaneBuffer, optimizer: LaneOptimizer, step: int) -> None:
    views, slopes = LAYOUT.views(buffer.values), LAYOUT.views(buffer.gradients)
    for name, grad in gradients(views, step).items():
        slopes[name].copy_(grad)
    optimizer.step()


def everybody() -> list[Lane]:
    """Two lanes of every rule: one with the settings of its plain loop, one at another rate."""
    lanes = [lane(name, 0.1) for name in CASES] + [lane(name, 0.3, at=1, lr=0.01) for name in CASES]
    return list(Roster.of(lanes))


@functools.cache
def run_together() -> Tensor:
    return run_lanes(everybody())[2]


@pytest.mark.parametrize("name", CASES)
def test_the_lane_equals_its_paper(name: str) -> None:
    lanes, judged = everybody(), run_together()
    at = next(row for row, one in enumerate(lanes) if one.candidate.id == f"{name}0")
    views = {key: view[0] for key, view in LAYOUT.views(judged[at : at + 1]).items()}
    assert_same(views, CASES[name][0](0.1))


def test_a_lane_has_the_same_bits_alone() -> None:
    lanes, together = everybody(), run_together()
    for at, one in enumerate(lanes):
        _, _, alone = run_lanes([one])
        assert torch.equal(alone[0], together[at]), one.candidate.id


def test_nan_lanes_touch_no_other() -> None:
    """Each lane is ill in four of eight runs, no two in the same four: whichever two, one is ill beside the other."""
    lanes = everybody()
    turns = list(itertools.islice(itertools.combinations(range(8), 4), len(lanes)))
    assert len(turns) == len(lanes)
    for turn in range(8):
        sick = [row for row, own in enumerate(turns) if turn in own]
        others = [row for row, own in enumerate(turns) if turn not in own]
        _, _, found = run_lanes(lanes, sick=sick)
        assert found[sick].isnan().all()
        assert torch.equal(found[others], run_together()[others])


def test_lanes_go_on_from_their_state_and_without_those_that_left() -> None:
    lanes, whole = everybody(), run_together()
    row = torch.cat([start()[parameter.name].flatten() for parameter in LAYOUT.parameters])
    buffer = LaneBuffer(LAYOUT, row.repeat(len(lanes), 1))
    optimizer = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    for step in (1, 2, 3):
        advance(buffer, optimizer, step)
    later = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    later.restore(optimizer.state())
    later.taken = optimizer.taken
    stay = [row for row in range(len(lanes)) if row % 3 != 1]
    buffer.keep(torch.tensor(stay))
    later.keep(stay, Roster.of(lanes).keep(stay), buffer)
    for step in (4, 5, 6, 7):
        advance(buffer, later, step)
    assert torch.equal(later.evaluation(buffer.values), whole[stay])


def test_muon_equals_torch_at_the_precision_of_bfloat16() -> None:
    results = []
    for kind in (ours.Muon, torch.optim.Muon):
        weight = nn.Parameter(start()["weight"])
        more = {"adjust_lr_fn": "match_rms_adamw"} if kind is torch.optim.Muon else {}
        optimizer = kind([weight], lr=0.1, momentum=0.9, weight_decay=0.1, **more)
        for step in range(1, STEPS + 1):
            weight.grad = torch.randn(3, 4, generator=torch.Generator().manual_seed(step)).double()
            optimizer.step()
        results.append(weight.detach())
    moved = float((results[1] - start()["weight"]).norm())
    assert float((results[0] - results[1]).norm()) < 0.02 * moved


def test_muon_takes_a_convolution_as_the_matrix_of_its_filters() -> None:
    kernel = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for shape in (kernel.shape, (4, 18)):
        weight = nn.Parameter(kernel.clone().view(shape))
        optimizer = ours.Muon([weight], lr=0.1)
        weight.grad = kernel.sin().view(shape)
        optimizer.step()
        results.append(weight.detach().view(4, 18))
    assert torch.equal(*results)


def test_dog_looks_at_one_group_at_a_time() -> None:
    both, single = ([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))] for _ in range(2))
    together = ours.DoG([{"params": both[:1]}, {"params": both[1:]}], first=0.1)
    alone = ours.DoG(single[:1], first=0.1)
    for step in range(3):
        both[0].grad = single[0].grad = torch.full((2,), 1.0 + step)
        both[1].grad = torch.full((2,), 100.0)
        together.step()
        alone.step()
    assert torch.equal(both[0], single[0])


def test_schedule_free_weights_come_back_from_evaluation_and_through_a_state_dict() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = ours.ScheduleFreeAdamW([weight], lr=0.1)
    for step in range(3):
        weight.grad = weight.detach() + step
        optimizer.step()
    training = weight.detach().clone()
    optimizer.eval()
    optimizer.eval()
    judged = weight.detach().clone()
    assert not torch.allclose(training, judged)
    with pytest.raises(UsageError, match=r"call optimizer.train\(\) before step"):
        optimizer.step()
    again = ours.ScheduleFreeAdamW([weight], lr=0.1)
    again.load_state_dict(optimizer.state_dict())
    again.train()
    assert torch.allclose(weight, training, rtol=1e-14)
    with pytest.raises(UsageError, match="first of betas must be above 0"):
        ours.ScheduleFreeAdamW([weight], betas=(0.0, 0.9))


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_sam_takes_the_gradient_where_the_loss_is_largest(base: str, *, adaptive: bool) -> None:
    def loss_at(weights: list[Tensor]) -> Tensor:
        return sum(((weight - 0.3) ** 4).sum() for weight in weights)  # pyright: ignore[reportReturnType]  # never empty, so no 0

    params = [nn.Parameter(value) for value in start().values()]
    plain = [nn.Parameter(value) for value in start().values()]
    optimizer = ours.SAM(params, lr=0.01, base=getattr(ours, base), rho=0.1, adaptive=adaptive, weight_decay=0.1)
    inner = getattr(ours, base)(plain, lr=0.01, weight_decay=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_at(list(params))
        loss.backward()
        return loss.detach()

    for _ in range(STEPS):
        first = loss_at(list(plain))
        grads = torch.autograd.grad(first, plain)
        if adaptive:
            norm = math.sqrt(
                sum(float((grad * w.detach()).square().sum()) for grad, w in zip(grads, plain, strict=True))
            )
            steps = [0.1 * w.detach() ** 2 * grad / norm for grad, w in zip(grads, plain, strict=True)]
        else:
            norm = math.sqrt(sum(float(grad.square().sum()) for grad in grads))
            steps = [0.1 * grad / norm for grad in grads]
        moved = [(w.detach() + step).requires_grad_() for w, step in zip(plain, steps, strict=True)]
        for weight, grad in zip(plain, torch.autograd.grad(loss_at(moved), moved), strict=True):
            weight.grad = grad
        inner.step()
        assert torch.allclose(optimizer.step(closure), first.detach())
    for found, expected in zip(params, plain, strict=True):
        assert float((found - expected).detach().abs().max()) <= 1e-10


def test_sam_is_copied_saved_and_refuses_what_it_cannot_do() -> None:
    import copy

    weight = nn.Parameter(torch.ones(2))
    optimizer = ours.SAM([weight], lr=0.1, base=ours.Adam)

    def step(param: nn.Parameter, by: Optimizer) -> None:
        def closure() -> Tensor:
            by.zero_grad()
            loss = param.square().sum()
            loss.backward()
            return loss.detach()

        by.step(closure)

    step(weight, optimizer)
    twin, other = copy.deepcopy((weight, optimizer))
    third = nn.Parameter(weight.detach().clone())
    loaded = ours.SAM([third], lr=0.5, base=ours.Adam)
    loaded.load_state_dict(optimizer.state_dict())
    for param, by in ((weight, optimizer), (twin, other), (third, loaded)):
        step(param, by)
    assert torch.equal(weight, twin)
    assert torch.equal(weight, third)
    with pytest.raises(UsageError, match=r"SAM needs step\(closure\)"):
        optimizer.step()
    with pytest.raises(UsageError, match="must be an optimizer class of"):
        ours.SAM([weight], lr=0.1, base=torch.optim.SGD)  # pyright: ignore[reportArgumentType]  # what is refused


@pytest.mark.parametrize("name", RULES)
def test_the_size_of_the_state_is_known_beforehand(name: str) -> None:
    candidate = Candidate(id="a", model="linear", optimizer=name, settings={})
    buffer = LaneBuffer(LAYOUT, torch.ones(1, LAYOUT.width))
    block = lane_block(RULES[name], slice(0, 1), [Lane(candidate=candidate, fold=0, seed=0)], buffer)
    assert state_elements(RULES[name], LAYOUT) == sum(slot.numel() for slot in block.slots.values())
