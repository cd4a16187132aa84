"""A mesh for work that is stated in a few numbers: which axes it may take, and what is no such statement."""

from dataclasses import replace

import pytest

from lanewise.distributed.cost import Hardware
from lanewise.distributed.link import Link
from lanewise.distributed.stated_work import StatedWork
from lanewise.errors import UsageError

LINK = Link(alpha=1e-5, beta=1e9)
MACHINE = Hardware(flops=1e12, memory=8e9, memory_speed=1e11, near=LINK, far=LINK)


def test_lanes_are_split_where_there_are_several_and_rows_where_there_is_one() -> None:
    assert StatedWork.parse("parameters=1e5,batch=256,lanes=64").propose(MACHINE, 4).mesh.lane == 4
    found = StatedWork.parse("parameters=1e6,batch=65536").propose(replace(MACHINE, flops=1e10), 4)
    assert found.mesh.data == 4
    assert "65,536 rows split over 4 ranks" in found.why


def test_a_model_that_fits_no_rank_is_split_along_tensor_or_pipeline_but_not_both() -> None:
    work = StatedWork(parameters=10**9, batch=4, layers=16, width=4096)
    mesh = work.propose(MACHINE, 16).mesh
    assert mesh.shard * mesh.tensor * mesh.pipeline > 1
    assert 1 in (mesh.tensor, mesh.pipeline)
    with pytest.raises(UsageError, match=r"one lane needs 16\.0 GB of a rank, which has 8\.0 GB"):
        work.propose(MACHINE, 1)


@pytest.mark.parametrize(("batch", "ranks"), [(255, 2), (2047, 4), (3, 4)])
def test_one_model_is_offered_no_mesh_that_its_batch_does_not_split_over(batch: int, ranks: int) -> None:
    mesh = StatedWork(parameters=10**6, batch=batch).propose(MACHINE, ranks).mesh
    assert batch % (mesh.data * mesh.shard) == 0
    odd = StatedWork(parameters=10**6, batch=batch, width=7)
    with pytest.raises(UsageError, match="change the number of ranks, or the rows of a batch"):
        odd.propose(MACHINE, ranks)


def test_lanes_may_share_batches_in_uneven_parts() -> None:
    mesh = StatedWork(parameters=10**6, batch=2047, lanes=2).propose(replace(MACHINE, flops=1e9), 4).mesh
    assert mesh.data > 1


def test_layers_are_square_where_no_width_is_stated() -> None:
    work = StatedWork(parameters=3 * 64 * 64, batch=8, layers=3).workload
    assert (work.width, work.activation_bytes) == (64, 512.0)
    assert StatedWork(parameters=10, batch=8, width=3).workload.width == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch=3", "parameters is missing in --work; write it as parameters=1e6,batch=256,lanes=64"),
        ("parameter=3", r"--work has no 'parameter': did you mean parameters\?"),
        ("batch=3,batch=4", "batch is given twice in --work; give each number once"),
        ("parameters=2.5,batch=3", "parameters of --work must be a whole number up to 1e15, got '2.5'"),
        ("parameters=inf,batch=3", "parameters of --work must be a whole number up to 1e15, got 'inf'"),
        ("parameters=many,batch=3", "parameters of --work must be a whole number up to 1e15, got 'many'"),
        ("parameters=5,batch=0", "batch of --work must be a whole number from 1, got 0"),
    ],
)
def test_what_states_no_work_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        StatedWork.parse(text)
