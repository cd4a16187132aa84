"""A lane of anybody's module is what an ordinary loop with ``torch.optim`` makes of it alone.

The truth is ``plain_modules.train_alone``, which knows nothing of lanes; rows and the keys of draws are injected.
Thirteen architectures with six optimizers, in float64: after 20 steps no weight and no running statistic may differ by
more than 1e-10 of the largest of its row (or of 1), whether the lanes are vectorized or called one after another, when
lanes leave after 10 steps and one beside them overflows, and when there is only one lane.
"""

import functools

import pytest
import torch
from module_cases import data_of
from plain_modules import ARCHITECTURES, BATCH, DECAYS, EPS, RATES, ROWS, TRAIN, rows_for, train_alone

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.models.blueprint import Blueprint
from lanewise.training.data import TrainingData
from lanewise.training.modules.choosing import choose_way
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Lengths
from lanewise.training.stack import Stack

STEPS = 20
LANES = [*((rule, 0) for rule in RATES), ("momentum", 1), ("adam", 1)]
LEAVING = ("momentum-0", "adam-1")
RECURRENT = ("lstm", "gru")
"""What vmap has no rule for."""

CASES = [(name, looped) for name in ARCHITECTURES for looped in (False, True) if looped or name not in RECURRENT]
WAYS = [pytest.param(name, looped, id=f"{name}-{'looped' if looped else 'stacked'}") for name, looped in CASES]

OVERFLOWING = Lane(
    candidate=Candidate(id="ill", model="module", optimizer="sgd", settings={"lr": 1e100, "weight_decay": 0.01}),
    fold=0,
    seed=0,
)
"""At that rate weight decay alone multiplies the weights by -1e98 a step, so that they are infinite after four."""


def lanes() -> list[Lane]:
    return [
        Lane(
            candidate=Candidate(
                id=f"{rule}-{seed}",
                model="module",
                optimizer=rule,
                settings={"lr": RATES[rule], "weight_decay": DECAYS.get(rule, 0.0), "momentum": 0.9, "eps": EPS},
            ),
            fold=0,
            seed=seed,
        )
        for rule, seed in LANES
    ]


@functools.cache
def formed(name: str) -> tuple[Blueprint, TrainingData]:
    make, kind, _ = ARCHITECTURES[name]
    data = data_of(rows_for(kind))
    return Blueprint.of(make, data.folds[0].dense[:BATCH]), data


def stack_of(name: str, looped: bool, own: list[Lane], *, pixelwise: bool = False) -> Stack:
    blueprint, data = formed(name)
    subject = ModuleSubject(blueprint, data, ARCHITECTURES[name][2], looped=looped, pixelwise=pixelwise)
    stack = Stack(own, data, length=STEPS, batch_size=BATCH, dtype=torch.float64, subject=subject)
    stack.buffer.gradients.fill_(float("nan"))  # a gradient that is not written shows
    return stack


def pruned(name: str, looped: bool, *, overflowing: bool = False) -> Stack:
    """Lanes that were trained to the end, some having left in the middle; one that overflows is the second of them."""
    first, *others = lanes()
    stack = stack_of(name, looped, [first, *([OVERFLOWING] if overflowing else []), *others])
    stack.advance(0.5)
    assert [stack.lanes[row].id for row in stack.oversight.guard.repairs] == ([OVERFLOWING.id] if overflowing else [])
    stack.keep([lane.id for lane in stack.lanes if lane.candidate.id not in LEAVING])
    stack.buffer.gradients.fill_(float("nan"))
    stack.advance(1.0)
    return stack


@functools.cache
def alone(name: str, optimizer: str, seed: int) -> torch.nn.Module:
    make, kind, loss = ARCHITECTURES[name]
    stream = RowStream(seed, torch.arange(TRAIN), ROWS)
    return train_alone(
        make,
        loss,
        optimizer,
        rows_for(kind),
        seed=seed,
        batch=lambda step: stream.take(step * BATCH, BATCH),
        key=lambda step: generator(seed, "dropout", "module", step).initial_seed(),
        steps=STEPS,
    ).eval()


@functools.cache
def begun(name: str, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(ARCHITECTURES[name][0]().named_parameters())


def assert_equal_to_the_module_alone(name: str, stack: Stack) -> None:
    views = stack.buffer.layout.all_views(stack.buffer.rows)
    for row, lane in enumerate(stack.lanes):
        if lane.id == OVERFLOWING.id:
            continue
        module = alone(name, lane.candidate.optimizer, lane.seed)
        truth = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        moved = [key for key, value in begun(name, lane.seed).items() if not torch.equal(value, truth[key])]
        assert set(moved) == {own.name for own in stack.buffer.layout.parameters}
        largest = max(float(truth[key].detach().abs().max()) for key in moved)
        for key, view in views.items():
            gap = float((view[row] - truth[key].detach()).abs().max())
            assert gap <= 1e-10 * max(1.0, largest), f"{lane.id}: {key} differs by {gap:.1e}"


@pytest.mark.parametrize("name", ["lenet", "resnet", "group_norm_conv_net"])
def test_lane_equals_the_module_alone_with_channels_last(name: str) -> None:
    stack = stack_of(name, looped=True, own=[lane for lane in lanes() if lane.seed == 0], pixelwise=True)
    stack.advance(1.0)
    assert_equal_to_the_module_alone(name, stack)


@pytest.mark.parametrize(("name", "looped"), WAYS)
def test_lane_equals_the_module_alone_when_others_leave_and_one_overflows(name: str, looped: bool) -> None:
    stack = pruned(name, looped, overflowing=True)
    assert len(stack.lanes) == 1 + len(lanes()) - len(LEAVING)
    assert_equal_to_the_module_alone(name, stack)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_only_lane_of_a_stack_equals_the_module_alone(name: str) -> None:
    turn = list(ARCHITECTURES).index(name)  # two optimizers with each architecture, four architectures with each
    for lane in lanes()[turn % 3 : len(RATES) : 3]:
        stack = stack_of(name, True, [lane])
        stack.advance(1.0)
        assert_equal_to_the_module_alone(name, stack)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_planner_stacks_what_can_be_stacked_and_equals_the_module_alone(name: str) -> None:
    """Of the ways above it takes one, whatever it takes; convolutions are looped because that is faster."""
    blueprint, data = formed(name)
    teams = ModuleTeams(
        blueprint=blueprint,
        data=data,
        loss=ARCHITECTURES[name][2],
        score=None,
        lengths=Lengths(rows_seen=STEPS * BATCH),
        ways={},
    )
    way = choose_way(teams, BATCH)
    convolves = any(isinstance(part, torch.nn.Conv2d) for part in blueprint.template.modules())
    assert way.looped == (convolves or name in RECURRENT), way.words
    assert ("failed" in way.words) == (name in RECURRENT)


@pytest.mark.parametrize("name", ["resnet", "transformer_encoder"])
def test_lane_predicts_and_is_handed_over_as_the_module_alone(name: str) -> None:
    stack = pruned(name, looped=False)
    data = formed(name)[1]
    raw = stack.outputs(lambda fold: data.folds[fold].valid)
    for row, lane in enumerate(stack.lanes):
        module = alone(name, lane.candidate.optimizer, lane.seed)
        tensors = stack.export(lane.id).tensors
        assert tensors is not None
        handed = stack.model.solo(tensors).eval()
        rows = data.folds[0].dense[data.folds[0].valid]
        with torch.no_grad():
            torch.testing.assert_close(raw[row], module(rows), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(handed(rows), module(rows), rtol=1e-9, atol=1e-9)
