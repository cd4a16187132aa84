"""Process groups of a mesh, against PyTorch's own: 8,192 ranks in one process by a group that moves nothing."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from lanewise.distributed.groups import check_backend, make_groups
from lanewise.distributed.mesh import AXES, Mesh
from lanewise.errors import UsageError

dist: Any = importlib.import_module("torch.distributed")
WIDE = Mesh(lane=2, data=16, pipeline=4, shard=8, tensor=8)
RANK = 5_431


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[int]:
    """This process as RANK of so many; the others are never asked."""
    fake: Any = importlib.import_module("torch.testing._internal.distributed.fake_pg")
    dist.init_process_group("fake", store=fake.FakeStore(), rank=RANK % request.param, world_size=request.param)
    yield request.param
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [WIDE.size], indirect=True)
def test_mesh_of_8192_ranks_agrees_with_torch(world):
    groups = make_groups(WIDE)
    assert world == 8_192
    assert groups.whole.mesh_dim_names == AXES
    assert tuple(groups.whole.get_coordinate()) == tuple(groups.coordinates.values())
    everyone = groups.whole.mesh
    for rank in (0, 1, RANK, world - 1):
        assert everyone[tuple(WIDE.coordinates(rank).values())] == rank
    for axis in AXES:
        assert dist.get_process_group_ranks(groups.group(axis)) == list(WIDE.group(axis, rank=RANK))
        assert groups.whole.get_local_rank(axis) == groups.coordinates[axis]
    sliced = groups.over("data", "shard")
    assert sliced.mesh.flatten().tolist() == list(WIDE.group("data", "shard", rank=RANK))


@pytest.mark.parametrize("world", [6], indirect=True)
def test_only_axes_that_split_have_groups(world):
    groups = make_groups(Mesh(data=-1, tensor=2))
    assert groups.mesh == Mesh(data=3, tensor=2)
    assert groups.whole.mesh_dim_names == ("data", "tensor")
    assert groups.group("lane") is None
    assert groups.over("lane", "shard") is None
    assert groups.over("data", "shard").mesh_dim_names == ("data",)
    assert dist.get_process_group_ranks(groups.group("tensor")) == [0, 1]
    assert world == 6
    with pytest.raises(UsageError, match="is for 4 processes, there are 6"):
        make_groups(Mesh(data=4))
    with pytest.raises(UsageError, match="a mesh has no axis 'rows'"):
        groups.group("rows")


def test_one_process_needs_no_group():
    groups = make_groups(Mesh(lane=-1))
    assert groups.whole is None
    assert [groups.group(axis) for axis in AXES] == [None] * 5
    assert groups.coordinates == dict.fromkeys(AXES, 0)
    with pytest.raises(UsageError, match="is for 2 processes, there is 1"):
        make_groups(Mesh(data=2))


def test_missing_backend_is_told(monkeypatch):
    assert check_backend("cpu") == "gloo"
    monkeypatch.setattr(dist, "is_nccl_available", lambda: False)
    with pytest.raises(UsageError, match="built without nccl, by which ranks exchange bytes of cuda; install a build"):
        check_backend("cuda:0")
    with pytest.raises(UsageError, match="ranks exchange bytes of cpu or cuda, got device 'tpu'"):
        check_backend("tpu")
