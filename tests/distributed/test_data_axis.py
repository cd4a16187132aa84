"""Ranks that share the rows of every batch: to rounding what one process makes of it. One launch of the driver."""

import signal
import socket
import sys
from typing import Any

import pytest

USUAL = {"budget": "16steps", "folds": 2, "seeds": 1, "workers": 1}
SETTINGS = {**USUAL, "models": "linear,mlp", "candidates": 3, "optimizers": "sgd,adam", "target": "y"}
ROUNDED = {
    **USUAL,
    "budget": "10steps",
    "models": "linear",
    "candidates": 2,
    "optimizers": "sgd",
    "payload": "bfloat16",
    "target": "y",
}
FAMILIES = {**USUAL, "models": "linear,lightgbm", "candidates": 2, "target": "y"}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and stops ranks by signals"),
    pytest.mark.slow,
]


def fit(home: str, size: int, mesh: str | None, **more: Any) -> dict[str, Any]:
    settings = {**more.pop("given", SETTINGS), "mesh": mesh}
    source = "table" if settings.get("candidates") == 3 else "small.csv"
    task = {"scenario": "fit", "source": source, "home": home, "size": size, "settings": settings}
    environment = {"LANEWISE_RANK_TIMEOUT": "3"} if "harm" in more else {}
    return {**task, "environment": environment, **more}


def harm(rank: int, number: int, after: int) -> dict[str, int]:
    return {"rank": rank, "signal": number, "after": after}


TASKS: dict[str, dict[str, Any]] = {
    "guarded": {"scenario": "guards", "size": 1},
    "stacks on 2": {"scenario": "stacks", "size": 2, "only": False},
    "stacks on 3": {"scenario": "stacks", "size": 3, "only": True},
    "one process": fit("alone", 1, None, given={**SETTINGS, "stream": "always"}),
    "data": fit("data", 2, "data=2", poor=["1"]),
    "lane and data": fit("both", 4, "lane=2,data=2", given=FAMILIES),
    "families alone": fit("families", 1, None, given=FAMILIES),
    "killed": fit("harmed", 2, "data=2", poor=["0"], harm=harm(0, signal.SIGKILL, 6)),
    "stopped": fit("harmed", 2, "data=2", resume=True, harm=harm(0, signal.SIGTERM, 6)),
    "on one": fit("other", 1, None, resume=True, copies="harmed"),
    "gone on with": fit("harmed", 2, "data=2", resume=True),
    "rounded": fit("rounded", 2, "data=2", given=ROUNDED),
    "repeated": fit("rounded", 1, None, repeat=True),
    "nobody to round for": fit("refused", 2, "lane=2", given=ROUNDED),
    "no such mesh": fit("refused", 2, "data=3"),
    "no such axis": fit("refused", 2, "tensor=2"),
    "workers": fit("refused", 2, "data=2", given={**SETTINGS, "workers": 2}),
}


@pytest.fixture(scope="module")
def ended(drive: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("data-axis")
    again = {**TASKS["gone on with"], "environment": hosts()}
    return drive({**TASKS, "gone on with": again}, folder)


def hosts() -> dict[str, str]:
    """Ranks that believe to be on a host each, the first of which serves what they meet through."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**where, "GLOO_SOCKET_IFNAME": "lo"}


def outs(found: list[dict[str, Any]]) -> list[Any]:
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    return [rank["out"] for rank in found]


def document(found: list[dict[str, Any]]) -> Any:
    documents = [out["document"] for out in outs(found)]
    assert all(one == documents[0] for one in documents)
    return documents[0]


@pytest.mark.parametrize("size", [2, 3])
def test_every_lane_is_that_of_a_plain_loop_and_ranks_have_the_same_bits(ended: Any, size: int) -> None:
    # The ranks themselves hold each lane against tests/oracle/plain_loop.py, to 1e-10.
    found = outs(ended[f"stacks on {size}"])
    assert all(one == found[0] for one in found)


def test_divergence_is_noticed_and_repaired_together(ended: Any) -> None:
    one, two = outs(ended["guarded"])[0], outs(ended["stacks on 2"])[0]["guarded"]
    assert one["repairs"]["ill.f0.s0"]
    assert {**two, "bits": ""} == {**one, "bits": ""}


def test_modules_are_those_of_one_process_and_normalization_by_batch_is_refused(ended: Any) -> None:
    found = outs(ended["stacks on 2"])[0]
    assert max(found["modules"]) < 1e-10
    assert found["refused"].startswith("ranks cannot share the rows of a batch: 1 normalizes by the mean and variance")


def test_one_sum_a_step_of_gradients_and_losses_is_all_that_travels(ended: Any) -> None:
    moved, expected = outs(ended["stacks on 2"])[0]["bytes"]
    assert moved == expected


def test_gradients_as_bfloat16_cost_little_where_small_ones_count_little(ended: Any) -> None:
    found = outs(ended["stacks on 2"])[0]["payload"]
    assert 1e-4 < found["sgd"] < 0.02
    # Adam divides each entry by its own size, so that what is left of a cancelled one counts as much as any other.
    assert found["sgd"] < found["adam"] < 0.5
    assert 5e-4 < found["first sum"] < 0.02


def test_fit_shows_what_the_payload_does_to_gradients(ended: Any) -> None:
    found, plain = document(ended["rounded"])["hardware"], document(ended["data"])["hardware"]
    assert found["payload"] == "bfloat16"
    assert 1e-4 < found["payload_error"] < 0.02
    assert not {"payload", "payload_error"} & set(plain)
    # In one process there is nobody to exchange with, and nothing to refuse.
    assert "payload" not in document(ended["repeated"])["hardware"]


def near(one: Any, other: Any) -> None:
    assert one["winner"]["label"] == other["winner"]["label"]
    for name, own in one["test"].items():
        assert own["value"] == pytest.approx(other["test"][name]["value"], rel=1e-3, abs=1e-3), name


def test_fit_whose_ranks_share_batches_finds_what_one_process_finds(ended: Any) -> None:
    found = document(ended["data"])
    near(found, document(ended["one process"]))
    assert found["hardware"]["mesh"] == "data=2"
    assert found["hardware"]["exchanged_bytes"] > 0
    # One of them has no memory for the table: both stream it, from what one has written.
    assert any(finding["code"] == "streamed_rows" for finding in found["findings"])
    assert [out["wrote"] > 0 for out in outs(ended["data"])] == [True, False]
    assert "mesh" not in document(ended["one process"])["hardware"]


def test_lanes_and_data_are_split_at_once(ended: Any) -> None:
    near(document(ended["lane and data"]), document(ended["families alone"]))


def test_killed_and_stopped_ranks_cost_nothing_but_time(ended: Any) -> None:
    killed, stopped = ended["killed"], ended["stopped"]
    assert killed[0]["code"] == -signal.SIGKILL
    assert killed[1]["code"] == 3, killed[1]["stderr"]
    assert "a rank was lost" in killed[1]["stderr"] or "no sign of life" in killed[1]["stderr"]
    assert [rank["code"] for rank in stopped] == [130, 130], [rank["stderr"] for rank in stopped]
    found = document(ended["gone on with"])
    assert found["model_sha256"] == document(ended["data"])["model_sha256"]
    assert all(out["wrote"] > 0 for out in outs(ended["gone on with"]))  # on each host the rows of its own


def test_what_ranks_began_together_goes_on_in_one_process(ended: Any) -> None:
    near(document(ended["on one"]), document(ended["one process"]))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no such mesh", "mesh data=3 is for 3 processes, there are 2"),
        ("no such axis", "a race is split along lane and data, got mesh tensor=2; leave tensor out"),
        (
            "nobody to round for",
            "payload bfloat16 is for gradients that ranks add up, and in mesh lane=2 no ranks share",
        ),
        ("workers", "workers must be 1 where ranks share batches"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(ended: Any, what: str, said: str) -> None:
    for rank in ended[what]:
        assert rank["code"] == 2, rank["stderr"]
        assert said in rank["stderr"]
