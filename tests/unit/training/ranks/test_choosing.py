"""The mesh of a race that asks for auto: which ends its plan soonest, and what is said of it."""

import json
from dataclasses import replace

import pytest

from lanewise.distributed.link import Link
from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.ranks import choosing
from lanewise.training.ranks.choosing import Raced, Steps, Timed, mesh_words, number_bytes, soonest, with_mesh
from lanewise.training.ranks.crew import Crew, mesh_of

LINK = Link(alpha=1e-4, beta=1e9)
NET = {"width": 8, "depth": 1, "activation": "relu", "layer_norm": False, "loss": "squared", "batch_size": 64}
NETWORKS = tuple(Candidate(id=f"net{place}", model="mlp", optimizer="sgd", settings=NET) for place in range(4))
TREE = Candidate(id="tree", model="tree", optimizer="", settings={})
TIMED = Timed(candidate="net0", batch=64, rows=32, whole=0.0105, part=0.0055)  # 10 ms of rows, and a start of 0.5 ms


def plan(*candidates: Candidate, **more: object) -> Plan:
    usual = {
        "rungs": (),
        "confirm": {},
        "folds": 1,
        "seeds": (0,),
        "lengths": Lengths(rows_seen=6_400),
        "workers": 2,
        "costs": {one.id: 1.0 for one in candidates},
    }
    return Plan(**{**usual, "candidates": candidates, **more})  # pyright: ignore[reportArgumentType]


def raced(of: Plan, **more: object) -> Raced:
    shared = {one.id: Steps(weights=1_000, batch=64) for one in of.candidates if one.model == "mlp"}
    usual = {"shared": shared, "team": lambda one, rows: pytest.fail("trained"), "number_bytes": 4.0, "left": ()}
    return Raced(**{**usual, **more})  # pyright: ignore[reportArgumentType]


def found(of: Plan, timed: Timed = TIMED, *, ranks: int = 2, **more: object) -> Plan:
    return soonest(of, raced(of, **more), timed, LINK, Place(size=ranks, local_size=ranks))


def test_a_lone_lane_is_shared_where_its_rows_take_long() -> None:
    own = found(plan(NETWORKS[0]))
    assert (own.mesh, own.workers) == ("data=2", 1)
    # 10.5 ms alone; 0.5 + 5 ms, and two messages of 0.1 ms with next to no bytes
    assert own.mesh_why == (
        "mesh data=2, as measured: the confirmation has 1 lane; with lane=2 the race is predicted to take 1.84 times "
        "as long; a step of the dearest lane takes 10.50 ms alone and 5.70 ms shared by 2 ranks (alpha 100 us, beta "
        "1.00 GB/s)"
    )


def test_lanes_that_split_evenly_are_never_shared() -> None:
    own = found(plan(*NETWORKS))
    assert (own.mesh, own.workers) == ("lane=2", 2)
    assert own.mesh_why.startswith("mesh lane=2, as measured: with data=2 the race is predicted to take 1.09 times as")


def test_what_is_no_clear_gain_leaves_the_bits_of_one_process() -> None:
    slow_start = replace(TIMED, whole=0.0105, part=0.0103)
    own = found(plan(NETWORKS[0]), slow_start)
    assert own.mesh == "lane=2"
    assert "with data=2 the race is predicted to take as long; " in own.mesh_why.replace(", which is no clear gain", "")
    nearly = found(plan(NETWORKS[0]), replace(TIMED, whole=0.0105, part=0.0094))
    assert nearly.mesh == "lane=2"
    assert "0.91 times as long, which is no clear gain; " in nearly.mesh_why


def test_groups_of_ranks_share_where_there_are_a_few_lanes() -> None:
    own = found(plan(*NETWORKS[:2], workers=4), ranks=4)
    assert (own.mesh, own.workers) == ("lane=2,data=2", 2)
    assert "the confirmation has 2 lanes; with lane=4 the race" in own.mesh_why


def test_more_workers_along_lane_count() -> None:
    # Four lanes on four workers of two ranks end in one round; two ranks that share take four half rounds.
    assert found(plan(*NETWORKS, workers=4)).mesh == "lane=2"


def test_trees_take_as_long_on_every_rank_that_shares() -> None:
    both = plan(NETWORKS[0], TREE)
    assert found(both).mesh == "lane=2"  # side by side: 1; one after another: 1 and a half
    short = replace(both, costs={"net0": 1.0, "tree": 0.1})
    assert found(short).mesh == "data=2"


def test_lanes_of_the_screen_and_the_refit_count_too() -> None:
    screened = plan(*NETWORKS, rungs=(0.1,), confirm={"mlp": 1})
    assert found(screened, left=(1,)).mesh == "data=2"  # a tenth of four lanes, then one
    longer = replace(screened, rungs=(0.9,), confirm={"mlp": 4})
    assert found(longer, left=(3,)).mesh == "lane=2"
    assert found(replace(longer, folds=3), left=(3,), again=lambda confirmed: confirmed).mesh == "lane=2"
    assert found(plan(*NETWORKS[:2])).mesh == "lane=2"  # 1 against 1.1
    assert found(plan(*NETWORKS[:2]), again=lambda confirmed: 1).mesh == "data=2"  # 1 + 1 against 1.1 + 0.5


def test_rows_that_took_less_than_their_part_are_next_to_nothing() -> None:
    noisy = Timed(candidate="net0", batch=64, rows=32, whole=0.004, part=0.005)
    assert noisy.start == pytest.approx(0.004, rel=1e-3)
    assert found(plan(NETWORKS[0]), noisy).mesh == "lane=2"


def test_one_process_has_nothing_to_choose_and_measures_nothing() -> None:
    own = with_mesh(plan(NETWORKS[0]), raced(plan(NETWORKS[0])), Lone())
    assert own.mesh_why == "mesh auto: there is one process, so that nothing is split; torchrun starts several"
    assert mesh_words(own, Crew(ranks=Lone(), mesh=mesh_of(own.mesh, 1))) == own.mesh_why
    assert Plan.from_json(json.loads(json.dumps(own.to_json()))) == own


@pytest.mark.parametrize(
    ("candidates", "refused", "why"),
    [
        ((TREE,), "", "mesh lane=2: no candidate trains by steps of a few rows, which ranks could share"),
        ((NETWORKS[0],), "it cannot be", "mesh lane=2: it cannot be"),
    ],
)
def test_nothing_is_measured_where_no_batch_could_be_shared(
    candidates: tuple[Candidate, ...], refused: str, why: str
) -> None:
    own = plan(*candidates)
    assert with_mesh(own, raced(own, refused=refused), Lone(Place(size=2, local_size=2))).mesh_why == why


def test_a_link_that_told_nothing_leaves_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(ranks: object) -> Link:
        message = "no bandwidth can be told"
        raise UsageError(message)

    monkeypatch.setattr(choosing, "measured_link", measured)
    monkeypatch.setattr(choosing, "trial", lambda team, units, most_seconds: 1.0)
    own = plan(NETWORKS[0])
    ready = raced(own, team=lambda one, rows: None)
    why = with_mesh(own, ready, Lone(Place(size=2, local_size=2))).mesh_why
    assert why == "mesh lane=2: the link between ranks told nothing (no bandwidth can be told)"


def test_who_goes_on_elsewhere_is_told_that_the_mesh_was_another() -> None:
    own = replace(plan(NETWORKS[0]), mesh="data=2", mesh_why="mesh data=2, as measured: so")
    three = Lone(Place(size=3, local_size=3))
    spread = Crew(ranks=three, mesh=mesh_of(None, 3))
    assert mesh_words(own, spread).endswith("goes on in 3 ranks, which are all along lane")
    assert mesh_words(own, Crew(ranks=Lone(), mesh=mesh_of(None, 1))).endswith("goes on in one process")
    begun_alone = replace(own, mesh=with_mesh(own, raced(own), Lone()).mesh)
    assert mesh_words(begun_alone, spread).startswith("the race was planned for one process, and goes on in 3 ranks")
    assert not mesh_words(plan(NETWORKS[0]), spread)


def test_rounded_gradients_travel_in_two_bytes() -> None:
    assert (number_bytes("full", 4), number_bytes("bfloat16", 4)) == (4, 2)
