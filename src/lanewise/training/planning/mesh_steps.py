"""Real steps of a few networks on a mesh of one axis, by PyTorch's own parts: what a prediction is held against."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.distributed.cost import Workload
from lanewise.distributed.groups import Groups

WIDTH, HIDDEN, BLOCKS, BATCH = 256, 1024, 2, 512
MICROBATCHES = 4
RATE = 1e-3

Step = Callable[[], object]


def workload(lanes: int) -> Workload:
    """What the steps of this file do, as the cost model is told; plain SGD, which keeps no state."""
    return Workload(
        parameters=BLOCKS * (2 * WIDTH * HIDDEN + WIDTH + HIDDEN),
        batch=BATCH,
        lanes=lanes,
        layers=BLOCKS,
        width=WIDTH,
        layer_sums=2,
        state_bytes=0.0,
        activation_bytes=4.0 * (WIDTH + 2 * HIDDEN),
    )


def alone() -> Step:
    """A step of one lane in this process."""
    model = _network()
    return _plain(model, _rows(BATCH), torch.optim.SGD(model.parameters(), lr=RATE))


def tiny() -> Step:
    """The same operations with next to no arithmetic: what is left is the start of each."""
    model = _network(1, 1)
    return _plain(model, _rows(1, 1), torch.optim.SGD(model.parameters(), lr=RATE))


def on_mesh(groups: Groups, lanes: int) -> Step:
    """A step of all ``lanes`` on a mesh that splits one axis."""
    (axis,) = groups.mesh.active
    make = {"lane": _by_lane, "data": _by_data, "shard": _by_shard, "tensor": _by_tensor, "pipeline": _by_pipeline}
    return make[axis](groups, lanes)


def _by_lane(groups: Groups, lanes: int) -> Step:
    return _in_turns([alone() for _ in range(groups.coordinates["lane"], lanes, groups.mesh.lane)])


def _by_data(groups: Groups, lanes: int) -> Step:
    """Each rank has its rows of every lane; one all-reduce sums the gradients of all lanes."""
    dist: Any = importlib.import_module("torch.distributed")
    models = [_network() for _ in range(lanes)]
    weights = [weight for model in models for weight in model.parameters()]
    optimizer = torch.optim.SGD(weights, lr=RATE)
    inputs = _rows(BATCH // groups.mesh.data)
    group = groups.group("data")

    def step() -> None:
        optimizer.zero_grad()
        for model in models:
            _loss(model(inputs), inputs).backward()
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        buffer = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(buffer, group=group)
        for gradient, part in zip(gradients, buffer.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        optimizer.step()

    return step


def _by_shard(groups: Groups, lanes: int) -> Step:
    fsdp: Any = importlib.import_module("torch.distributed.fsdp")
    inputs = _rows(BATCH // groups.mesh.shard)
    steps = []
    for _ in range(lanes):
        model = _network()
        for block in model:
            fsdp.fully_shard(block, mesh=groups.over("shard"))
        fsdp.fully_shard(model, mesh=groups.over("shard"))
        steps.append(_plain(model, inputs, torch.optim.SGD(model.parameters(), lr=RATE)))
    return _in_turns(steps)


def _by_tensor(groups: Groups, lanes: int) -> Step:
    parallel: Any = importlib.import_module("torch.distributed.tensor.parallel")
    inputs = _rows(BATCH)
    steps = []
    for _ in range(lanes):
        model = _network()
        for block in model:
            plan = {"0": parallel.ColwiseParallel(), "2": parallel.RowwiseParallel()}
            parallel.parallelize_module(block, groups.over("tensor"), plan)
        steps.append(_plain(model, inputs, torch.optim.SGD(model.parameters(), lr=RATE)))
    return _in_turns(steps)


def _by_pipeline(groups: Groups, lanes: int) -> Step:
    pipelining: Any = importlib.import_module("torch.distributed.pipelining")
    stages, own = groups.mesh.pipeline, groups.coordinates["pipeline"]
    inputs = _rows(BATCH)
    steps = []
    for _ in range(lanes):
        blocks = list(_network())
        model = nn.Sequential(*blocks[own * len(blocks) // stages : (own + 1) * len(blocks) // stages])
        stage = pipelining.PipelineStage(model, own, stages, torch.device("cpu"), group=groups.group("pipeline"))
        schedule = pipelining.Schedule1F1B(stage, MICROBATCHES, loss_fn=_loss)
        steps.append(_staged(schedule, model, inputs, first=own == 0, last=own == stages - 1))
    return _in_turns(steps)


def _staged(schedule: Any, model: nn.Module, inputs: Tensor, *, first: bool, last: bool) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def step() -> None:
        optimizer.zero_grad()
        schedule.step(*([inputs] if first else []), **({"target": inputs, "losses": []} if last else {}))
        optimizer.step()

    return step


def _plain(model: nn.Module, inputs: Tensor, optimizer: torch.optim.Optimizer) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        _loss(model(inputs), inputs).backward()
        optimizer.step()

    return step


def _in_turns(steps: Sequence[Step]) -> Step:
    def step() -> None:
        for one in steps:
            one()

    return step


def _network(width: int = WIDTH, hidden: int = HIDDEN) -> nn.Sequential:
    blocks = [nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)) for _ in range(BLOCKS)]
    return nn.Sequential(*blocks)


def _rows(batch: int, width: int = WIDTH) -> Tensor:
    """Rows whose gradient is wanted, as in the midst of a larger network."""
    return torch.randn(batch, width, requires_grad=True)


def _loss(outputs: Tensor, inputs: Tensor) -> Tensor:
    return (outputs - inputs.detach()).square().mean()
