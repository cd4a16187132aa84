"""The arithmetic of a mesh: every rank has one place, groups cover the world, and what does not fit is told."""

import subprocess
import sys
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.distributed.mesh import AXES, Mesh
from lanewise.errors import UsageError

DEGREES = st.fixed_dictionaries({axis: st.integers(1, 4) for axis in AXES})
MESHES = DEGREES.map(lambda degrees: Mesh(**degrees))


@given(MESHES)
@settings(deadline=None, max_examples=40)
def test_every_rank_has_one_place(mesh):
    places = [mesh.coordinates(rank) for rank in range(mesh.size)]
    assert [mesh.rank_at(place) for place in places] == list(range(mesh.size))
    assert places == sorted(places, key=lambda place: tuple(place[axis] for axis in AXES))
    assert all(tuple(place) == AXES for place in places)


@given(MESHES, st.sets(st.sampled_from(AXES)), st.data())
@settings(deadline=None, max_examples=60)
def test_groups_cover_the_world_once(mesh, axes, data):
    groups = mesh.groups(*axes)
    assert sorted(rank for group in groups for rank in group) == list(range(mesh.size))
    assert {len(group) for group in groups} == {prod(mesh.degrees[axis] for axis in axes)}
    rank = data.draw(st.integers(0, mesh.size - 1))
    own = mesh.group(*axes, rank=rank)
    assert own in groups
    others = set(AXES) - axes
    for other in own:
        assert all(mesh.coordinates(other)[axis] == mesh.coordinates(rank)[axis] for axis in others)
    assert list(own) == sorted(own)


@given(DEGREES, st.sampled_from(AXES))
@settings(deadline=None, max_examples=40)
def test_an_open_axis_takes_what_is_left(degrees, axis):
    size = prod(degrees.values())
    assert Mesh(**{**degrees, axis: -1}).resolve(size) == Mesh(**degrees)
    assert Mesh(**degrees).resolve(size) == Mesh(**degrees)


@given(MESHES)
@settings(deadline=None, max_examples=40)
def test_text_is_read_back(mesh):
    assert Mesh.parse(str(mesh)) == mesh


def test_tensor_neighbours_are_neighbouring_ranks_and_lanes_lie_far_apart():
    mesh = Mesh(lane=2, data=2, pipeline=2, shard=2, tensor=2)
    strides = {axis: mesh.group(axis, rank=0)[1] for axis in AXES}
    assert strides == {"lane": 16, "data": 8, "pipeline": 4, "shard": 2, "tensor": 1}


def test_axes_of_degree_one_resolve():
    mesh = Mesh.parse("data=-1").resolve(1)
    assert mesh.degrees == dict.fromkeys(AXES, 1)
    assert mesh.active == ()
    assert mesh.group("tensor", rank=0) == (0,)
    assert mesh.groups() == ((0,),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows=2", "a mesh has no axis 'rows': .*there are lane, data, pipeline, shard, tensor; write it as lane=2"),
        ("dta=2", "did you mean data"),
        ("aut", "did you mean auto.* There are lane, .*, tensor, auto; write it as auto or lane=2,data=-1"),
        ("lane=-1,data=-1", "one axis of a mesh can be left open, got -1 for lane and data; give a number to all but"),
        ("lane=0", "lane of a mesh must be a whole number from 1, or -1 to be filled, got 0"),
        ("lane=-2", "got -2"),
        ("lane=two", "lane of a mesh must be a whole number from 1, or -1 to be filled, got 'two'"),
        ("lane", "lane of a mesh must be a whole number from 1, or -1 to be filled, got ''"),
        ("lane=2,lane=3", "lane is given twice in mesh 'lane=2,lane=3'; give each axis once"),
    ],
)
def test_what_is_no_mesh_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        Mesh.parse(text)


def test_a_word_is_not_named_where_it_may_not_stand():
    with pytest.raises(UsageError, match="'aut': there are lane, data, pipeline, shard, tensor; write it as lane=2"):
        Mesh.parse("aut", instead=())


@pytest.mark.parametrize("degree", [True, 2.0, "2", None])
def test_degree_is_a_whole_number(degree):
    with pytest.raises(UsageError, match="data of a mesh must be a whole number"):
        Mesh(data=degree)


@pytest.mark.parametrize(
    ("text", "size", "words"),
    [
        ("lane=2,data=4", 6, "mesh lane=2,data=4 is for 8 processes, there are 6; start 8, or set data=3$"),
        ("lane=2", 4, "mesh lane=2 is for 2 processes, there are 4; start 2, or set lane=4$"),
        ("lane=2,tensor=2", 12, "is for 4 processes, there are 12; start 4, or set lane=6 or tensor=6$"),
        ("data=1", 2, "is for 1 process, there are 2; start 1$"),
        ("data=2", 1, "is for 2 processes, there is 1; start 2, or set data=1$"),
        ("lane=4,data=-1", 6, "6 is no multiple of 4; start 4 or 8, or set lane=3$"),
        ("lane=4,data=-1", 3, "3 is no multiple of 4; start 4, or set lane=3$"),
        ("data=2", 0, "a job has at least 1 process, got 0"),
    ],
)
def test_processes_that_do_not_fit_are_told_with_what_would(text, size, words):
    with pytest.raises(UsageError, match=words):
        Mesh.parse(text).resolve(size)


def test_what_is_proposed_fits():
    for size in range(1, 25):
        for text in ("lane=2,data=4", "lane=4,data=-1", "data=3,pipeline=2,tensor=2"):
            mesh = Mesh.parse(text)
            try:
                mesh.resolve(size)
            except UsageError as error:
                start, _, changes = str(error).partition("; start ")[2].partition(", or set ")
                for number in start.split(" or "):
                    assert mesh.resolve(int(number)).size == int(number)
                for change in filter(None, changes.split(" or ")):
                    axis, _, degree = change.partition("=")
                    assert Mesh(**{**mesh.degrees, axis: int(degree)}).resolve(size).size == size


def test_an_open_mesh_has_no_ranks():
    mesh = Mesh(data=-1)
    for ask in (lambda: mesh.size, lambda: mesh.coordinates(0), lambda: mesh.groups("data"), lambda: mesh.rank_at({})):
        with pytest.raises(UsageError, match="data of mesh data=-1 is open until it is known how many processes"):
            ask()


def test_a_rank_that_is_not_there():
    with pytest.raises(UsageError, match="rank must be from 0 to 3 in mesh data=4, got 4"):
        Mesh(data=4).coordinates(4)
    with pytest.raises(UsageError, match="data must be from 0 to 3 in mesh data=4, got 4"):
        Mesh(data=4).rank_at({"data": 4})


@pytest.mark.parametrize(
    ("mesh", "sizes", "words"),
    [
        ("tensor=8", {"heads": 12}, "12 heads do not split evenly over tensor=8; set tensor to 1, 2, 3, 4, 6 or 12"),
        ("tensor=8", {"hidden": 100}, "100 hidden units do not .* or hidden to 96 or 104$"),
        ("tensor=8", {"heads": 4}, "set tensor to 1, 2 or 4, or heads to 8$"),
        ("pipeline=4", {"layers": 3}, "3 layers are too few for pipeline=4, .*; set pipeline to 3 or less, or layers"),
        ("pipeline=4", {"microbatches": 2}, "2 microbatches are too few for pipeline=4, .*; set microbatches to 4"),
        ("lane=4", {"lanes": 3}, "3 lanes are too few for lane=4, .*; set lane to 3 or less, or lanes to 4 or more"),
        ("data=2,shard=3", {"batch": 32}, "a batch of 32 rows does not .* over data=2 x shard=3; set batch to 30 or"),
        ("data=2,pipeline=2", {"batch": 10, "microbatches": 4}, "over data=2 x microbatches=4; set batch to 8 or 16"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_split_are_told_with_the_number_to_change(mesh, sizes, words):
    with pytest.raises(UsageError, match=words):
        Mesh.parse(mesh).check(**sizes)


def test_sizes_that_split_pass():
    mesh = Mesh(lane=3, data=2, pipeline=4, shard=2, tensor=4)
    mesh.check(heads=32, hidden=4096, batch=64, microbatches=8, layers=30, lanes=100)
    Mesh(data=2).check(batch=10, microbatches=4)  # without a pipeline there are none
    mesh.check()
    with pytest.raises(UsageError, match="batch must be a whole number from 1, or 0 where there is none, got -1"):
        mesh.check(batch=-1)


def test_a_mesh_loads_no_torch():
    line = "import sys, lanewise.distributed.mesh; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
