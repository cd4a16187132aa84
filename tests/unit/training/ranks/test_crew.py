"""How ranks are arranged for a race, and which meshes a race cannot have."""

import pytest

from lanewise.distributed.ranks import Lone
from lanewise.errors import UsageError
from lanewise.training.ranks.crew import Crew, check_device, check_payload, check_workers, crew_of, mesh_of


def test_one_process_is_a_crew_that_trains_everything() -> None:
    crew = crew_of(Lone())
    assert (crew.place, crew.size, crew.leads, crew.axis) == (0, 1, True, None)


def test_first_rank_of_each_place_speaks() -> None:
    crew = Crew(ranks=Lone(), mesh=mesh_of("lane=2,data=3", 6))
    assert [crew.first(place) for place in range(2)] == [0, 3]


def test_run_begun_elsewhere_goes_on_with_the_ranks_there_are() -> None:
    assert crew_of(Lone(), "data=2", resumed=True).size == 1
    with pytest.raises(UsageError, match="mesh data=2 is for 2 processes, there is 1"):
        crew_of(Lone(), "data=2")


def test_axes_that_split_one_model_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a race is split along lane and data, got mesh shard=2; leave shard out"):
        mesh_of("shard=2", 2)


def test_mesh_that_is_yet_to_be_chosen_begins_along_lane_and_leaves_room_for_choice() -> None:
    assert mesh_of("auto", 4).lane == 4
    check_payload("bfloat16", "auto", 2)
    check_workers("auto", 2, None)
    check_workers("auto", 1, 4)
    check_device("cpu", "auto", 2)
    check_device("cuda", "auto", 1)
    with pytest.raises(UsageError, match="there is one process; give a mesh"):
        check_payload("bfloat16", "auto", 1)
    with pytest.raises(UsageError, match="with one worker each, got 4; leave workers out, or mesh"):
        check_workers("auto", 2, 4)
    with pytest.raises(UsageError, match=r"mesh auto chooses whether ranks share batches, .* got device cuda:0; leave"):
        check_device("cuda:0", "auto", 2)


def test_gradients_are_rounded_only_where_some_travel() -> None:
    check_payload("bfloat16", "lane=2,data=2", 4)
    check_payload("full", None, 1)
    with pytest.raises(UsageError, match=r"in mesh lane=2 no ranks share batches; give a mesh .* such as data=2, or"):
        check_payload("bfloat16", None, 2)
    with pytest.raises(UsageError, match=r"there is one process; give a mesh .* such as data=2, under torchrun, or"):
        check_payload("bfloat16", None, 1)
    with pytest.raises(UsageError, match="payload must be full or bfloat16, got 'float8'"):
        check_payload("float8", "data=2", 2)  # pyright: ignore[reportArgumentType]  # what a user may give
