"""A lane of anybody's module is what an ordinary loop with ``torch.optim`` makes of it alone.

The truth is ``plain_modules.train_alone``, which knows nothing of lanes; rows and the keys of draws are injected.
After 20 steps in float64, with lanes leaving after 10, no weight and no running statistic may differ by more than
1e-10 of the largest of its row (or of 1), whether the lanes are vectorized or called one after another.
"""

import pytest
import torch
from plain_modules import ARCHITECTURES, BATCH, DECAYS, EPS, RATES, ROWS, TRAIN, rows_for, train_alone
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.module_subject import ModuleSubject
from lanewise.training.stack import Stack

STEPS = 20
LEAVING = ("momentum-0", "adam-1")
WAYS = [
    pytest.param(name, looped, id=f"{name}-{'looped' if looped else 'stacked'}")
    for name in ARCHITECTURES
    for looped in (False, True)
    if looped or name != "lstm"  # vmap has no rule for it
]


def data_of(rows: tuple[Tensor, Tensor]) -> TrainingData:
    X, y = rows
    fold = FoldData(
        dense=X,
        codes=torch.zeros(ROWS, 0, dtype=torch.int64),
        target=y,
        train=torch.arange(TRAIN),
        valid=torch.arange(TRAIN, ROWS),
    )
    task = Task(target="y", kind="regression", metric="loss")
    return TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)


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
        for rule in RATES
        for seed in (0, 1)
    ]


def trained(name: str, looped: bool) -> tuple[Stack, TrainingData]:
    make, kind, loss = ARCHITECTURES[name]
    data = data_of(rows_for(kind))
    blueprint = Blueprint.of(make, data.folds[0].dense[:BATCH])
    subject = ModuleSubject(blueprint, data, loss, looped=looped)
    stack = Stack(lanes(), data, length=STEPS, batch_size=BATCH, dtype=torch.float64, subject=subject)
    stack.buffer.gradients.fill_(float("nan"))  # a gradient that is not written shows
    stack.advance(0.5)
    stack.keep([lane.id for lane in stack.lanes if lane.candidate.id not in LEAVING])
    stack.buffer.gradients.fill_(float("nan"))
    stack.advance(1.0)
    return stack, data


def alone(name: str, lane: Lane, data: TrainingData) -> torch.nn.Module:
    make, kind, loss = ARCHITECTURES[name]
    stream = RowStream(lane.seed, data.folds[0].train, ROWS)
    return train_alone(
        make,
        loss,
        lane.candidate.optimizer,
        rows_for(kind),
        seed=lane.seed,
        batch=lambda step: stream.take(step * BATCH, BATCH),
        key=lambda step: generator(lane.seed, "dropout", "module", step).initial_seed(),
        steps=STEPS,
    )


@pytest.mark.parametrize(("name", "looped"), WAYS)
def test_lane_equals_the_module_alone(name: str, looped: bool) -> None:
    stack, data = trained(name, looped)
    assert len(stack.lanes) == len(lanes()) - len(LEAVING)
    views = stack.buffer.layout.all_views(stack.buffer.rows)
    for row, lane in enumerate(stack.lanes):
        module = alone(name, lane, data)
        truth = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        make, _, _ = ARCHITECTURES[name]
        torch.manual_seed(lane.seed)
        start = dict(make().named_parameters())
        moved = [key for key, value in start.items() if not torch.equal(value, truth[key])]
        assert set(moved) == {own.name for own in stack.buffer.layout.parameters}
        largest = max(float(truth[key].detach().abs().max()) for key in moved)
        for key, view in views.items():
            gap = float((view[row] - truth[key].detach()).abs().max())
            assert gap <= 1e-10 * max(1.0, largest), f"{lane.id}: {key} differs by {gap:.1e}"


@pytest.mark.parametrize("name", ["batch_norm_conv_net", "transformer_encoder"])
def test_lane_predicts_and_is_handed_over_as_the_module_alone(name: str) -> None:
    stack, data = trained(name, looped=False)
    raw = stack.outputs(lambda fold: data.folds[fold].valid)
    for row, lane in enumerate(stack.lanes):
        module = alone(name, lane, data).eval()
        tensors = stack.export(lane.id).tensors
        assert tensors is not None
        handed = stack.model.solo(tensors).eval()
        rows = data.folds[0].dense[data.folds[0].valid]
        with torch.no_grad():
            torch.testing.assert_close(raw[row], module(rows), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(handed(rows), module(rows), rtol=1e-9, atol=1e-9)
