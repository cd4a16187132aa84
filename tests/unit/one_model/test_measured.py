"""Which mesh is measured to be the soonest: only one that the model, the batch and the optimizer allow."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lanewise.distributed.cost import Hardware
from lanewise.distributed.link import Link
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.proposing import propose
from lanewise.distributed.ranks import Lone
from lanewise.one_model.course import course_of
from lanewise.one_model.measured import AXES, Splitting, Tried, measured_mesh, workload_of
from lanewise.one_model.optimizers import works_on_parts

LINK = Link(alpha=1e-5, beta=1e9)
MACHINE = Hardware(flops=1e12, memory=8e9, memory_speed=1e11, near=LINK, far=LINK, per_host=8, start=1e-4)


def course(batch_size=64, accumulate=1):
    return course_of(
        1000,
        batch_size,
        steps=10,
        epochs=None,
        accumulate=accumulate,
        schedule="constant",
        warmup=0.0,
        clip_norm=0.0,
        seed=0,
    )


def network(hidden=256):
    return nn.Sequential(nn.Linear(32, hidden), nn.ReLU(), nn.Linear(hidden, 32))


def test_only_meshes_that_split_batch_and_model_suit():
    plain = Splitting(module=network(), course=course())
    assert plain.suits(Mesh(data=2))
    assert plain.suits(Mesh(data=2, shard=4))
    assert plain.suits(Mesh(tensor=2))
    assert not plain.suits(Mesh(data=3))  # 64 rows
    assert not plain.suits(Mesh(tensor=3))  # 256 units
    assert not plain.suits(Mesh(pipeline=2))  # one piece for two stages
    pieces = replace(plain, course=course(accumulate=4))
    assert pieces.suits(Mesh(pipeline=2))
    assert not pieces.suits(Mesh(pipeline=2, tensor=2))
    assert not pieces.suits(Mesh(pipeline=4))  # two layers with weights
    assert not replace(pieces, module=nn.TransformerEncoderLayer(8, 2)).suits(Mesh(pipeline=2))
    whole = replace(pieces, parts=False)
    assert whole.suits(Mesh(data=4))
    assert not any(whole.suits(mesh) for mesh in (Mesh(shard=2), Mesh(tensor=2), Mesh(pipeline=2)))


@pytest.mark.parametrize(
    ("given", "works"),
    [
        ("adamw", True),
        ("muon", True),
        (torch.optim.SGD, True),
        ("soap", False),
        ("prodigy", False),
        (torch.optim.LBFGS, False),
        (lambda own, lr=0.1: torch.optim.SGD(own, lr=lr), False),  # it may want to see all parameters
    ],
)
def test_optimizers_that_need_weights_whole_are_told_without_the_model(given, works):
    assert works_on_parts(given, 0.1) is works


def test_work_is_that_of_the_model_and_of_what_it_took():
    splitting = Splitting(module=network(), course=course())
    work = workload_of(splitting, MACHINE)
    numbers = 2 * 32 * 256 + 256 + 32
    assert (work.parameters, work.batch, work.layers, work.width) == (numbers, 64, 2, 32)
    assert (work.weight_bytes, work.gradient_bytes, work.state_bytes) == (4.0, 4.0, 8.0)
    tried = workload_of(splitting, MACHINE, Tried(rows=16, seconds=1.1e-3, kept=600.0))
    assert tried.flops_per_parameter * numbers * 16 / MACHINE.flops == pytest.approx(1e-3)
    assert tried.activation_bytes == 300.0
    splitting.module.get_submodule("0").requires_grad_(requires_grad=False)
    frozen = workload_of(splitting, MACHINE)
    assert frozen.gradient_bytes == pytest.approx(4 * (32 * 256 + 32) / numbers)


def test_the_soonest_mesh_that_suits_is_taken_and_in_pieces_as_stated():
    pieces = Splitting(module=network(), course=course(accumulate=4))
    work = workload_of(pieces, MACHINE, Tried(rows=32, seconds=0.05, kept=600.0))
    found = propose(work, MACHINE, 2, axes=AXES, microbatches=4, suits=pieces.suits)
    assert (str(found.mesh), found.microbatches) == ("data=2", 4)
    narrow = replace(MACHINE, memory=work.lane_bytes * 0.8)
    parted = propose(work, narrow, 2, axes=AXES, microbatches=4, suits=pieces.suits)
    assert parted.mesh.data == 1
    assert parted.cost.memory <= narrow.memory


def test_one_process_measures_nothing():
    splitting = Splitting(module=network(), course=course())
    found = measured_mesh(
        splitting, torch.device("cpu"), Lone(), read=lambda rows, key: rows, loss=nn.functional.mse_loss
    )
    assert (found.mesh, found.why) == (Mesh(), "")
