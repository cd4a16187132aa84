"""Ranks that train one model apart and average it at intervals, over gloo. One launch of the driver."""

import signal
import sys
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills ranks"),
    pytest.mark.slow,
]


def resumed(checkpoints: str, size: int = 2, *, every: int = 3, **more: Any) -> dict[str, Any]:
    task = {"scenario": "averaged checkpoints", "size": size, "checkpoints": checkpoints, "every": every}
    return {**task, **more}


def harm(rank: int, number: int, at: int) -> dict[str, int]:
    return {"rank": rank, "signal": number, "at": at}


TASKS: dict[str, dict[str, Any]] = {
    "two": {"scenario": "averaging", "size": 2, "cases": ["average", "diloco", "of torch"]},
    "three": {"scenario": "averaging", "size": 3, "cases": ["diloco"], "only": True},
    "whole": resumed("whole", every=100),
    # checkpoints after 3 and 6 steps, averaged after 4
    "killed": resumed("killed", harm=harm(1, signal.SIGKILL, 8), environment={"LANEWISE_RANK_TIMEOUT": "3"}),
    "gone on with": resumed("killed"),
    "stopped": resumed("stopped", every=100, harm=harm(1, signal.SIGTERM, 6)),
    "on three": resumed("stopped", size=3),
    "gone on with too": resumed("stopped"),
}


@pytest.fixture(scope="module")
def ended(drive: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return drive(TASKS, tmp_path_factory.mktemp("averaging"))


def outs(found: list[dict[str, Any]]) -> list[Any]:
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    return [rank["out"] for rank in found]


@pytest.mark.parametrize(
    ("ranks", "case"), [("two", "average"), ("two", "diloco"), ("two", "of torch"), ("three", "diloco")]
)
def test_ranks_apart_are_the_workers_of_a_plain_loop(ended: Any, ranks: str, case: str) -> None:
    found = outs(ended[ranks])
    assert len({own[case]["bits"] for own in found}) == 1
    assert max(own[case]["gap"] for own in found) < 1e-10


def test_averaging_at_every_step_is_what_synchronous_ranks_do(ended: Any) -> None:
    assert max(own["at every step"] for own in outs(ended["two"])) < 1e-10
    assert all(own["silent"] for own in outs(ended["two"]))


def test_bytes_are_those_of_the_formula(ended: Any) -> None:
    parameters = 5 * 7 + 7 + 7 + 1
    for own in outs(ended["two"]):
        # every 3 of 11 steps, and at the end: 4 times
        assert own["exchange"] == [4 * parameters * 8, 4 * parameters * 8, 11 * parameters * 8]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shard", "average_every=4 averages whole models over the ranks along data, got mesh shard=2; leave shard out"),
        ("never", "average_every must be a whole number from 1, got 0"),
        ("outer", "outer says what is made of averaged weights; give average_every"),
        ("name", "there is no outer optimizer 'nesterov'"),
        ("two sets", "ScheduleFreeAdamW keeps a second set of weights in its state"),
    ],
)
def test_what_cannot_be_averaged_is_said_on_all(ended: Any, name: str, words: str) -> None:
    for own in outs(ended["two"]):
        assert words in own[f"refused {name}"]


def test_a_kill_between_two_averagings_costs_no_bit(ended: Any) -> None:
    whole = outs(ended["whole"])
    assert ended["killed"][1]["code"] == -signal.SIGKILL
    assert ended["killed"][0]["code"] == 3, ended["killed"][0]["stderr"]
    found = outs(ended["gone on with"])
    assert [own["steps"] for own in found] == [5, 5]
    assert {own["bits"] for own in found} == {own["bits"] for own in whole}
    assert len({own["bits"] for own in whole}) == 1


def test_a_stopped_training_stops_at_the_next_averaging_and_goes_on(ended: Any) -> None:
    assert [rank["code"] for rank in ended["stopped"]] == [130, 130], [rank["stderr"] for rank in ended["stopped"]]
    for rank in ended["on three"]:
        assert rank["code"] == 2
        assert "is of a training with ranks that average 2, this one has 3; give the same" in rank["stderr"]
    found = outs(ended["gone on with too"])
    assert [own["steps"] for own in found] == [3, 3]
    assert {own["bits"] for own in found} == {own["bits"] for own in outs(ended["whole"])}
