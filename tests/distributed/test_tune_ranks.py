"""Tuning races over several ranks: the bits of one process, whatever happens to a rank."""

import signal
import sys
from typing import Any

import pytest

from lanewise.runs.comparing import differences

KINDS = ["halving", "folds", "population", "genetic"]
ON_FOUR = ["halving", "population", "bayesian"]
"""One that drops, one that copies, one that proposes: the others do no more that the number of ranks could alter."""
SILENCE = "3"
GONE_WITHIN = 10.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and stops ranks by signals"),
    pytest.mark.slow,
]


def tune(size: int, *kinds: str, **settings: Any) -> dict[str, Any]:
    return {"scenario": "tune", "size": size, "kinds": kinds, "settings": settings}


def harmed(size: int, rank: int, number: int) -> dict[str, Any]:
    """The race of a name, by four workers in all, of which a signal reaches some rank at its eighth checkpoint."""
    environment = {"LANEWISE_RANK_TIMEOUT": SILENCE}
    task = {**tune(size, "bayesian", workers=4 // size), "home": "harmed", "environment": environment}
    return {**task, "harm": {"rank": rank, "signal": number, "after": 8}}


def stopped(kind: str) -> dict[str, Any]:
    """The race of a name on two ranks, which end at the twelfth checkpoint of one."""
    return {**tune(2, kind, workers=2), "home": kind, "harm": {"rank": 0, "signal": signal.SIGTERM, "after": 12}}


TASKS: dict[str, dict[str, Any]] = {
    # As many workers in all, so that the plan is the same.
    "on 1": tune(1, *KINDS, workers=4),
    "on 2": tune(2, *KINDS, "bayesian", workers=2),
    "on 4": tune(4, *ON_FOUR, workers=1),
    "killed": harmed(2, 1, signal.SIGKILL),
    "stopped": harmed(4, 0, signal.SIGTERM),
    "gone on with": {**tune(1, "bayesian", workers=4), "home": "harmed"},
    **{f"stopped {kind}": stopped(kind) for kind in KINDS},
    **{f"ended {kind}": {**tune(1, kind, workers=4), "home": kind} for kind in KINDS},
    "data": tune(2, "folds", workers=1, mesh="data=2"),
    "table on 1": {**tune(1, "table", workers=2), "source": "table"},
    "table on 2": {**tune(2, "table", workers=1), "source": "table"},
    "other seeds": {**tune(2, "halving"), "settings_of": {"1": {"seeds": 3}}},
    "other rows": {**tune(2, "halving"), "settings_of": {"1": {"valid": 0.5}}},
    "no such mesh": tune(2, "halving", mesh="data=3"),
    "no such axis": tune(2, "halving", mesh="tensor=2"),
    "workers": tune(2, "halving", mesh="data=2", workers=2),
    "undivided": tune(2, "normalizing", mesh="data=2"),
}


WHERE_STACKS_ROUND_OTHERWISE = {
    "on 1": tune(1, "folds", "population", workers=4),
    "on 4": tune(4, "bayesian", workers=1),
}
"""Without the races that are to be those of one process."""


@pytest.fixture(scope="module")
def ended(
    drive: Any, rounds_by_company: bool, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    tasks = {**TASKS, **(WHERE_STACKS_ROUND_OTHERWISE if rounds_by_company else {})}
    return drive(tasks, tmp_path_factory.mktemp("tune"))


def outs(found: list[dict[str, Any]]) -> list[Any]:
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    return [rank["out"] for rank in found]


def same(one: Any, other: Any) -> None:
    assert list(differences(one["document"], other["document"])) == []
    assert one["weights"] == other["weights"]


@pytest.mark.usefixtures("lanes_round_alone")
@pytest.mark.parametrize(
    ("kind", "size"), [*((kind, 2) for kind in KINDS), *((kind, 4) for kind in KINDS if kind in ON_FOUR)]
)
def test_race_over_two_and_four_ranks_is_that_of_one_process(ended: Any, kind: str, size: int) -> None:
    (alone,) = outs(ended["on 1"])
    for own in outs(ended[f"on {size}"]):
        same(own[kind], alone[kind])
        hardware = own[kind]["document"]["hardware"]
        assert (hardware["ranks"], hardware["mesh"]) == (size, f"lane={size}")
        assert hardware["mesh_why"].startswith(f"mesh lane={size}")
    assert "ranks" not in alone[kind]["document"]["hardware"]


@pytest.mark.parametrize("kind", KINDS)
def test_race_over_two_ranks_ends_in_the_same_bits_in_one_process(ended: Any, kind: str) -> None:
    """Whatever the processor: a race that goes on keeps its stacks."""
    assert [rank["code"] for rank in ended[f"stopped {kind}"]] == [130] * 2, ended[f"stopped {kind}"]
    (last,) = outs(ended[f"ended {kind}"])
    assert last[kind]["document"]["hardware"]["resumed"]
    for own in outs(ended["on 2"]):
        assert own[kind]["weights"] == last[kind]["weights"]
        assert list(differences(unnamed(own[kind]), unnamed(last[kind]))) == []


def test_rows_of_a_table_are_written_by_one_rank_of_a_host(ended: Any) -> None:
    (alone,), ranks = outs(ended["table on 1"]), outs(ended["table on 2"])
    for rank in ranks:
        same(rank["table"], alone["table"])
    assert [alone["table"]["wrote"], *(rank["table"]["wrote"] for rank in ranks)] == [900, 900, 0]


def test_lanes_whose_workers_train_apart_are_compared_on_ranks_too(ended: Any) -> None:
    (alone,) = outs(ended["on 1"])
    assert [own["every"] for own in alone["population"]["document"]["averaged"]] == [4]


def test_killed_and_stopped_ranks_cost_nothing_but_time_and_one_process_goes_on(ended: Any) -> None:
    killed, stopped = ended["killed"], ended["stopped"]
    assert [rank["code"] for rank in killed] == [3, -signal.SIGKILL], killed[0]["stderr"]
    assert "rank 1 gave no sign of life" in killed[0]["stderr"] or "a rank was lost" in killed[0]["stderr"]
    assert [rank["code"] for rank in stopped] == [130] * 4, [rank["stderr"] for rank in stopped]
    (last,) = outs(ended["gone on with"])
    for size in (2, 4):
        for own in outs(ended[f"on {size}"]):
            assert own["bayesian"]["weights"] == last["bayesian"]["weights"]
            assert list(differences(unnamed(own["bayesian"]), unnamed(last["bayesian"]))) == []


def unnamed(found: Any) -> Any:
    """The document without what only a stored run has."""
    stored = ("schema_version", "kind", "name", "words", "model_sha256")
    return {name: value for name, value in found["document"].items() if name not in stored}


def test_ranks_that_share_batches_find_what_one_process_finds(ended: Any) -> None:
    (alone,), shared = outs(ended["on 1"]), outs(ended["data"])
    assert shared[0]["folds"]["weights"] == shared[1]["folds"]["weights"]
    one, other = alone["folds"]["document"], shared[0]["folds"]["document"]
    assert other["hardware"]["mesh"] == "data=2"
    assert other["hardware"]["exchanged_bytes"] > 0
    assert other["winner"]["label"] == one["winner"]["label"]
    for curve, known in zip(other["race"]["curves"], one["race"]["curves"], strict=True):
        assert curve["valid"] == pytest.approx(known["valid"], rel=1e-3)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("other seeds", "rank 1 has seeds [0, 1, 2], rank 0 has [0, 1]; start all ranks with the same command"),
        ("other rows", "rank 1 has data "),
        ("no such mesh", "mesh data=3 is for 3 processes, there are 2; start 3, or set data=2"),
        ("no such axis", "a race is split along lane and data, got mesh tensor=2; leave tensor out"),
        ("workers", "workers must be 1 where ranks share batches, for each trains one stack at a time, got 2"),
        ("undivided", "ranks cannot share the rows of a batch: 1 normalizes by the mean and variance of the batch"),
    ],
)
def test_what_is_not_usable_ends_all_ranks_soon(ended: Any, what: str, said: str) -> None:
    for rank in ended[what]:
        assert rank["code"] == 2, rank["stderr"]
        assert said in rank["stderr"]
        assert rank["stderr"].count("\n") == 1
        assert rank["seconds"] < GONE_WITHIN
