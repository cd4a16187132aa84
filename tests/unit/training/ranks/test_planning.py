"""One plan for all ranks, and why they are arranged as they are."""

from dataclasses import replace

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import GRID, Lengths, Plan
from lanewise.training.ranks.planning import why_lanes

CANDIDATES = tuple(Candidate(id=f"{place}", model="mlp", optimizer="sgd", settings={}) for place in range(5))
PLAN = Plan(
    candidates=CANDIDATES,
    rungs=(),
    confirm={"mlp": 2},
    folds=2,
    seeds=(0,),
    lengths=Lengths(rows_seen=100),
    workers=1,
    costs={},
    precision="float32",
    grid=GRID,
    predicted_seconds=0.0,
)


@pytest.mark.parametrize(
    ("rungs", "ranks", "said"),
    [
        ((), 8, "mesh lane=8: 10 lanes or more are split over 8 ranks"),
        ((0.5,), 4, "mesh lane=4: 4 lanes or more are split over 4 ranks"),
        (
            (0.5,),
            6,
            "mesh lane=6, but the confirmation has 4 lanes, so that 2 ranks are idle then; --mesh lane=3,data=2",
        ),
        (
            (),
            12,
            "mesh lane=12, but the confirmation has 10 lanes, so that 2 ranks are idle then; --mesh lane=6,data=2",
        ),
    ],
)
def test_ranks_are_along_lane_and_those_that_would_be_idle_are_told(
    rungs: tuple[float, ...], ranks: int, said: str
) -> None:
    assert why_lanes(replace(PLAN, rungs=rungs), ranks).startswith(said)


def test_one_lane_is_shared_by_all() -> None:
    one = replace(PLAN, candidates=CANDIDATES[:1], folds=1)
    assert "has 1 lane, so that 1 rank is idle then; --mesh data=2 shares" in why_lanes(one, 2)


def test_what_was_measured_of_sharing_is_told_and_no_batch_is_shared_on_gpus() -> None:
    few = replace(PLAN, candidates=CANDIDATES[:1])
    assert why_lanes(few, 4, shares="which pays by far").endswith(
        "--mesh lane=2,data=2 shares batches, which pays by far"
    )
    told = why_lanes(few, 4, gpus=True)
    assert told == (
        "mesh lane=4, but the confirmation has 2 lanes, so that 2 ranks are idle then; 2 would do, for ranks share "
        "batches on processors only"
    )
