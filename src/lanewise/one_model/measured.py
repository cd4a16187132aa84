"""The mesh that ``train`` takes where it is to measure: the one that is predicted to take a step soonest, and why."""

import copy
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from lanewise.distributed.cost import Hardware, Workload, predict
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.proposing import meshes, propose
from lanewise.distributed.ranks import Ranks
from lanewise.distributed.stages import layers_of, stages_of
from lanewise.distributed.tensor_plan import plan_of
from lanewise.errors import UsageError
from lanewise.models.batch import Tree, called, inputs_and_targets
from lanewise.one_model.course import check_batch
from lanewise.one_model.proposed import ROOM, STATE, Proposed, needed_bytes
from lanewise.training.model_training import Course
from lanewise.training.planning.mesh_measuring import measured_hardware

AXES = ("data", "pipeline", "shard", "tensor")
ROUNDS = 3


@final
@dataclass(frozen=True, kw_only=True)
class Splitting:
    """What is known of how a model may be split: what the user said, and whether its optimizer takes parts."""

    module: nn.Module
    course: Course
    tensor_plan: Mapping[str, str] | None = None
    split: Sequence[str] | None = None
    parts: bool = True

    def suits(self, mesh: Mesh) -> bool:
        """Whether ``train`` could train on ``mesh``, as far as can be told before the model is split."""
        course = self.course
        if course.batch_size % (mesh.data * mesh.shard * course.accumulate) or (mesh.tensor > 1 and mesh.pipeline > 1):
            return False
        if not self.parts and mesh.shard * mesh.tensor * mesh.pipeline > 1:
            return False
        try:
            if mesh.tensor > 1:
                plan_of(self.module, mesh, self.tensor_plan)
            if mesh.pipeline > 1:
                stages_of(layers_of(self.module), mesh, self.split)
        except UsageError:
            return False
        return mesh.pipeline <= course.accumulate


@final
@dataclass(frozen=True, kw_only=True)
class Tried:
    """``rows`` went through the model and back in so many ``seconds`` on the slowest rank, with all ranks at it.

    ``kept`` are the bytes that a row leaves behind until the backward.
    """

    rows: int
    seconds: float
    kept: float


def measured_mesh(
    splitting: Splitting,
    device: torch.device,
    ranks: Ranks,
    *,
    read: Callable[[Tensor, int], Tree],
    loss: Callable[[Any, Any], Tensor],
) -> Proposed:
    """The mesh over all ``ranks`` that is predicted to take a step soonest, of those that ``train`` can train on.

    What ranks tell each other, arithmetic and memory are measured as ``lanewise doctor --mesh`` does it, and, where a
    rank has room for the whole model, one rank's rows of a batch go through a copy of it. All ranks call this alike;
    what rank 0 finds counts. It takes some seconds, and another time another mesh may come out.

    Raises ``UsageError`` on a GPU, where nothing is measured, and where no mesh fits.
    """
    if ranks.size == 1:
        return Proposed(mesh=Mesh())
    if device.type != "cpu":
        message = (
            f"mesh 'auto' measures processors and the links between them, got device {device}; write the mesh, or "
            "leave it out"
        )
        raise UsageError(message)
    suiting = [mesh for mesh in meshes(ranks.size, AXES) if splitting.suits(mesh)]
    if not suiting:
        check_batch(splitting.course, ranks.size)
    with torch.random.fork_rng(devices=[]):
        hardware = measured_hardware(ranks)
        own = {"memory": hardware.memory, "needed": needed_bytes(splitting.module)}
        told = [json.loads(one) for one in ranks.gather(json.dumps(own).encode())]
        hardware = replace(hardware, memory=ROOM * min(one["memory"] for one in told))
        # By all models, which are not compared yet: either every rank tries its own, or none does.
        fits = max(one["needed"] for one in told) <= hardware.memory
        tried = _tried(splitting, ranks, read=read, loss=loss) if fits else None
    work = workload_of(splitting, hardware, tried)
    said = ranks.broadcast(json.dumps(_chosen(work, hardware, splitting, ranks.size)).encode() if ranks.leads else b"")
    mesh, why = json.loads(said)
    return Proposed(mesh=mesh, why=f"mesh {mesh}, as measured: {why}")


def workload_of(splitting: Splitting, hardware: Hardware, tried: Tried | None = None) -> Workload:
    """The training as the cost model is told; of a model that was ``tried`` with the arithmetic that it took.

    A matrix of a model counts as a layer, whose activations are as wide as the smaller side of the largest one.
    """
    weights = list(splitting.module.parameters())
    numbers = sum(own.numel() for own in weights)
    trained = sum(own.numel() for own in weights if own.requires_grad) / numbers
    size = sum(own.numel() * own.element_size() for own in weights) / numbers
    matrices = [own for own in weights if own.dim() > 1]
    width = max((min(own.shape[0], own.shape[1]) for own in matrices), default=1)
    layers = max(1, len(matrices))
    work = Workload(
        parameters=numbers,
        batch=splitting.course.batch_size,
        layers=layers,
        width=width,
        layer_sums=1,  # a pair of matrices sums once forward and once backward
        weight_bytes=size,
        gradient_bytes=size * trained,
        state_bytes=STATE * size * trained,
        activation_bytes=2 * size * width,
    )
    if tried is None:
        return work
    flops = max(tried.seconds - hardware.start, 1e-9) * hardware.flops
    return replace(work, flops_per_parameter=flops / numbers / tried.rows, activation_bytes=tried.kept / layers)


def _chosen(work: Workload, hardware: Hardware, splitting: Splitting, size: int) -> tuple[str, str]:
    pieces = splitting.course.accumulate
    found = propose(work, hardware, size, axes=AXES, microbatches=pieces, suits=splitting.suits)
    alone = predict(work, Mesh(), hardware, microbatches=pieces)
    words = f"{found.why}; a step takes {_milliseconds(found.cost.seconds)}"
    if alone.lanes_at_once:
        words += f", in one process {_milliseconds(alone.seconds)}"
        words += ", which is sooner" if alone.seconds < found.cost.seconds else ""
    link = hardware.near
    return str(found.mesh), f"{words} (alpha {1e6 * link.alpha:.0f} us, beta {link.beta / 1e9:.2f} GB/s)"


def _tried(
    splitting: Splitting,
    ranks: Ranks,
    *,
    read: Callable[[Tensor, int], Tree],
    loss: Callable[[Any, Any], Tensor],
) -> Tried:
    """The rows of a rank through a copy of the model, again and again; nothing of it is left in the model."""
    rows = max(1, splitting.course.batch_size // ranks.size)
    module = copy.deepcopy(splitting.module).train()
    inputs, targets = inputs_and_targets(read(torch.arange(rows), splitting.course.seed))
    own = {weight.untyped_storage().data_ptr() for weight in module.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself it would keep its graph alive, and with it all that was counted

    def step() -> None:
        loss(called(module, inputs), targets).backward()

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        step()
    ranks.meet()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    told = ranks.gather(json.dumps(statistics.median(times)).encode())
    return Tried(rows=rows, seconds=max(map(json.loads, told)), kept=sum(kept.values()) / rows)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.2f} ms"
