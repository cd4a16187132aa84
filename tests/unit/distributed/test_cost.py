"""The cost of a step on a mesh, each part against a figure reckoned by hand, and which mesh is taken."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.distributed.cost import Hardware, Workload, link_along, predict
from lanewise.distributed.link import Link
from lanewise.distributed.mesh import AXES, Mesh
from lanewise.distributed.proposing import meshes, propose
from lanewise.errors import UsageError

NEAR, FAR = Link(alpha=1e-5, beta=1e10), Link(alpha=1e-4, beta=1e9)
MACHINE = Hardware(flops=1e12, memory=8e9, memory_speed=1e15, near=NEAR, far=FAR, per_host=8)
WORK = Workload(parameters=1_000_000, batch=1_024, lanes=8, layers=4, width=256, activation_bytes=1_024)


def test_one_rank_computes_only():
    cost = predict(WORK, Mesh(), MACHINE)
    assert cost.seconds == cost.compute == pytest.approx(6 * 1e6 * 1_024 * 8 / 1e12)
    assert cost.memory == pytest.approx(8 * (1e6 * 16 + 1_024 * 1_024 * 4))
    assert cost.lanes_at_once == 8


def test_lanes_split_work_and_memory_and_exchange_nothing():
    one, four = predict(WORK, Mesh(), MACHINE), predict(WORK, Mesh(lane=4), MACHINE)
    assert four.seconds == pytest.approx(one.seconds / 4)
    assert four.memory == pytest.approx(one.memory / 4)


def test_data_adds_one_all_reduce_of_all_lanes():
    cost = predict(WORK, Mesh(data=4), MACHINE)
    assert cost.data == pytest.approx(NEAR.all_reduce(8 * 1e6 * 4, 4))
    assert predict(WORK, Mesh(data=4), MACHINE, every=10).data == pytest.approx(cost.data / 10)
    hidden = predict(WORK, Mesh(data=4), replace(MACHINE, overlap=True))
    assert hidden.data == pytest.approx(max(0.0, cost.data - 2 / 3 * cost.compute))


def test_tensor_adds_four_all_reduces_of_activations_in_each_layer():
    cost = predict(WORK, Mesh(tensor=2), MACHINE)
    assert cost.tensor == pytest.approx(4 * 4 * NEAR.all_reduce(8 * 1_024 * 256 * 4, 2))


def test_shard_gathers_twice_and_scatters_once():
    cost = predict(WORK, Mesh(shard=4), MACHINE)
    assert cost.shard == pytest.approx(4 * 3 * NEAR.all_gather(8 * 1e6 / 4 * 4, 4))
    assert predict(WORK, Mesh(shard=4), replace(MACHINE, scatter=2.0)).shard > cost.shard
    assert cost.memory == pytest.approx(8 * (1e6 * 16 / 4 + 256 * 1_024 * 4) + 2 * 1e6 / 4 * 4)


def test_pipeline_idles_while_it_fills_and_drains():
    free = replace(MACHINE, near=Link(alpha=0.0, beta=1e30))
    cost = predict(WORK, Mesh(pipeline=4), free, microbatches=8)
    whole = predict(WORK, Mesh(), free).compute
    assert cost.compute == pytest.approx(whole / 4)
    assert cost.pipeline / cost.seconds == pytest.approx(3 / (8 + 3))  # the bubble


def test_small_models_wait_for_memory():
    slow = replace(MACHINE, memory_speed=1e9)
    assert (
        predict(replace(WORK, batch=1), Mesh(), slow).compute
        > 10 * predict(replace(WORK, batch=1), Mesh(), MACHINE).compute
    )


def test_lanes_beyond_the_memory_take_turns():
    tight = replace(MACHINE, memory=3 * 20.2e6, start=1e-3)
    cost = predict(WORK, Mesh(), tight)
    assert cost.lanes_at_once == 3
    assert cost.start == pytest.approx(3e-3)
    assert cost.memory <= tight.memory
    assert predict(WORK, Mesh(), replace(MACHINE, memory=1e6)).lanes_at_once == 0


def test_reading_goes_beside_the_rest():
    cost = predict(replace(WORK, row_bytes=1e6), Mesh(data=2), replace(MACHINE, read=1e9))
    assert cost.seconds == cost.read == pytest.approx(0.512)


def test_inner_axes_have_the_near_link():
    mesh = Mesh(lane=2, data=2, shard=4, tensor=2)
    assert [link_along(mesh, axis, MACHINE) is NEAR for axis in AXES] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("mesh", "more", "words"),
    [
        (Mesh(pipeline=4), {"microbatches": 2}, "2 microbatches are too few for pipeline=4"),
        (Mesh(pipeline=8), {"microbatches": 8}, "4 layers are too few for pipeline=8"),
        (Mesh(tensor=3), {}, "256 hidden units do not split evenly"),
        (Mesh(data=2), {"every": 0}, "steps between two averages must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_split_is_refused(mesh, more, words):
    with pytest.raises(UsageError, match=words):
        predict(WORK, mesh, MACHINE, **more)


@given(st.integers(1, 64), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_meshes_are_all_there_is_once(size, count):
    found = list(meshes(size, AXES[:count]))
    assert len(set(found)) == len(found)
    assert all(mesh.size == size for mesh in found)
    brute = [degree for degree in range(1, size + 1) if size % degree == 0]
    if count == 2:
        assert len(found) == len(brute)


def test_many_small_lanes_are_split_by_lane():
    proposal = propose(WORK, MACHINE, 8)
    assert proposal.mesh == Mesh(lane=8)
    assert proposal.why.startswith(
        "8 lanes split over 8 ranks, which tell each other nothing during a step; data=8 would"
    )


def test_one_lane_on_many_rows_is_split_by_data():
    proposal = propose(replace(WORK, lanes=1, batch=65_536), MACHINE, 8)
    assert proposal.mesh == Mesh(data=8)


def test_a_model_too_large_for_a_rank_is_split_and_it_is_said_why():
    large = Workload(parameters=2_000_000_000, batch=4_096, layers=32, width=4_096, heads=32, activation_bytes=50_000)
    proposal = propose(large, MACHINE, 8)
    assert proposal.mesh.data == proposal.mesh.lane == 1
    assert proposal.cost.memory <= MACHINE.memory
    assert "would need" in proposal.why
    assert "which has 8.0 GB" in proposal.why


def test_what_fits_nowhere_is_told():
    huge = Workload(parameters=10**12, batch=64, layers=8, width=64)
    with pytest.raises(
        UsageError, match=r"one lane needs [\d,.]+ GB of a rank, which has 8.0 GB, even with .* over 2 ranks; take more"
    ):
        propose(huge, MACHINE, 2)
    with pytest.raises(UsageError, match="no mesh over 2 ranks splits this work along pipeline"):
        propose(Workload(parameters=10, batch=1), MACHINE, 2, axes=("pipeline",))


def test_the_proposed_mesh_is_the_soonest_of_all():
    for work in (WORK, replace(WORK, lanes=1), replace(WORK, lanes=3, batch=96)):
        proposal = propose(work, MACHINE, 12)
        for mesh in meshes(12, ("lane", "data", "shard", "tensor")):
            try:
                other = predict(work, mesh, MACHINE)
            except UsageError:
                continue
            assert proposal.cost.seconds <= 1.02 * other.seconds
