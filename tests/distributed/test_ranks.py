"""Runs over several ranks: the bits of one process, whatever happens to a rank. One launch of the driver does all."""

import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from lanewise.distributed.mesh import AXES

MEASURED = {"seconds", "created", "run", "hardware", "command", "warnings"}
RACES = [{}, {"racing": True}, {"longer": True}]
USUAL = {"budget": "16steps", "folds": 2, "seeds": 1, "workers": 1}
SETTINGS = {**USUAL, "models": "linear,mlp", "candidates": 3, "optimizers": "sgd,adam", "target": "y"}
STREAMED = {**USUAL, "models": "lightgbm,mlp,linear", "candidates": 2}
STREAMED |= {"target": "y", "stream": "always"}
SILENCE = 3.0
GONE_WITHIN = 10.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and stops ranks by signals"),
    pytest.mark.slow,
]


def fit(home: str, size: int, **more: Any) -> dict[str, Any]:
    settings = more.pop("given", SETTINGS)
    # Only where a rank is to be missed: on a busy machine any other may be slow.
    environment = {"LANEWISE_RANK_TIMEOUT": str(SILENCE)} if "harm" in more else {}
    source = "table" if settings.get("stream") else "small.csv"
    task = {"scenario": "fit", "source": source, "home": home, "size": size, "settings": settings}
    return {**task, "environment": environment, **more}


def harm(rank: int, number: int, after: int) -> dict[str, int]:
    return {"rank": rank, "signal": number, "after": after}


def mesh(size: int, **more: Any) -> dict[str, Any]:
    return {"scenario": "mesh", "size": size, **more}


def on_hosts(address: str) -> dict[str, str]:
    """Ranks that believe to be on a host each, of a launcher that is said to listen at ``address``."""
    host, _, port = address.partition(":")
    where = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": host, "MASTER_PORT": port}
    return {**where, "TORCHELASTIC_USE_AGENT_STORE": "True"}


def unserved() -> dict[str, str]:
    """Ranks of a host each that no launcher serves: rank 0 listens itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {**on_hosts(f"127.0.0.1:{probe.getsockname()[1]}"), "TORCHELASTIC_USE_AGENT_STORE": "False"}


TASKS: dict[str, dict[str, Any]] = {
    **{f"races on {size}": {"scenario": "race", "size": size, "races": RACES} for size in (1, 2, 4)},
    "races on 2 hosts": {"scenario": "race", "size": 2, "races": RACES[:1], "environment": unserved()},
    "all families, one process": fit("families-1", 1, given={**STREAMED, "workers": 2}),
    "all families": fit("families-2", 2, given=STREAMED),
    "one process": fit("reference", 1, given={**SETTINGS, "workers": 2}),
    "by the clock": fit("timed", 2, given={**SETTINGS, "models": "linear", "budget": "0.3s"}),
    "by its plan": fit("timed", 1, repeat=True),
    # One run, harmed again and again, at another number of ranks each time.
    "rank 1 killed": fit("harmed", 2, harm=harm(1, signal.SIGKILL, 6)),
    "rank 0 killed": fit("harmed", 4, resume=True, harm=harm(0, signal.SIGKILL, 6)),
    "rank 1 stopped": fit("harmed", 2, resume=True, harm=harm(1, signal.SIGTERM, 6)),
    "rank 1 stuck": fit("harmed", 2, resume=True, harm=harm(1, signal.SIGSTOP, 6), deaf=[1]),
    "gone on with": fit("harmed", 2, resume=True),
    "other settings": fit("refused", 2, settings_of={"1": {"seed": 1}}),
    "no such column": fit("refused", 2, given={**SETTINGS, "target": "nothing"}),
    "one cannot read": fit("refused", 2, settings_of={"1": {"test": "/nowhere.csv"}}),
    "standard input": fit("refused", 2, source="-", given={**SETTINGS, "target": "y"}),
    "a GPU": fit("refused", 2, given={**SETTINGS, "device": "cuda"}),
    "decided otherwise": {"scenario": "race", "size": 2, "races": [{"apart": True}]},
    "meshes": mesh(2, work="parameters=1e6,batch=256,lanes=64,rows=1e5"),
    "too many for it": mesh(2, mesh="lane=3"),
    "two axes open": mesh(2, mesh="lane=-1,data=-1"),
    "no such axis": mesh(2, mesh="rows=2"),
    "no backend": mesh(2, without="gloo"),
    "nobody listens": mesh(2, environment=on_hosts("127.0.0.1:1")),
    "no such host": mesh(2, environment=on_hosts("nowhere.invalid:29500")),
    "no port": mesh(2, environment=on_hosts("127.0.0.1:http")),
}


@pytest.fixture(scope="module")
def ended(drive: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    found = drive(TASKS, folder)
    left = [path.name for path in folder.glob("lanewise-*")]
    # Those of runs whose rank 0 was killed, or had to leave a rank that could not answer.
    assert len(left) <= 2, left
    assert not list(folder.glob("*/runs/*/lanewise-*"))
    return found


def lasting(document: Any) -> Any:
    """A document without what is measured."""
    if isinstance(document, Mapping):
        return {name: lasting(value) for name, value in document.items() if name not in MEASURED}
    if isinstance(document, list):
        return [lasting(value) for value in document]
    return document


def outcome(found: list[dict[str, Any]]) -> Any:
    """The one document that all ranks came to."""
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    documents = [rank["out"]["document"] for rank in found]
    assert all(document == documents[0] for document in documents)
    return documents[0]


def test_race_over_two_and_four_ranks_gives_the_bits_of_one(ended: Any) -> None:
    (alone,) = ended["races on 1"]
    assert len(set(alone["out"])) == len(RACES)
    for what, races in (("2", RACES), ("4", RACES), ("2 hosts", RACES[:1])):
        ranks, known = ended[f"races on {what}"], alone["out"][: len(races)]
        assert [rank["out"] for rank in ranks] == [known] * len(ranks), [rank["stderr"] for rank in ranks]


def test_fit_over_two_ranks_is_that_of_one_process_with_two_workers(ended: Any) -> None:
    one, two = outcome(ended["all families, one process"]), outcome(ended["all families"])
    assert lasting(one) == lasting(two)
    assert any(finding["code"] == "streamed_rows" for finding in two["findings"])
    first, other = (rank["out"]["wrote"] for rank in ended["all families"])
    assert first > 0
    assert other == 0  # it reads the rows that rank 0 has written
    assert two["hardware"]["ranks"] == 2
    assert "ranks" not in one["hardware"]
    assert two["hardware"]["threads"] == one["hardware"]["threads"] == 2


def test_plan_for_seconds_is_one_plan_and_one_process_repeats_what_came_of_it(ended: Any) -> None:
    timed = outcome(ended["by the clock"])
    repeated = outcome(ended["by its plan"])["repeats"]
    assert repeated == {"run": timed["run"], "same": True, "differences": []}


def test_killed_stopped_and_stuck_ranks_cost_nothing_but_time(ended: Any) -> None:
    last = outcome(ended["gone on with"])
    assert lasting(last) == lasting(outcome(ended["one process"]))
    assert last["hardware"]["resumed"]


@pytest.mark.parametrize(("what", "killed", "size"), [("rank 1 killed", 1, 2), ("rank 0 killed", 0, 4)])
def test_a_killed_rank_ends_the_others_by_name(ended: Any, what: str, killed: int, size: int) -> None:
    for number, rank in enumerate(ended[what]):
        assert rank["code"] == (-signal.SIGKILL if number == killed else 3), rank["stderr"]
        assert rank["seconds"] < SILENCE + GONE_WITHIN + 10.0
        if number != killed:
            assert f"rank {killed} gave no sign of life" in rank["stderr"] or "rank was lost" in rank["stderr"]
    assert len(ended[what]) == size


def test_a_signal_to_one_rank_stops_all(ended: Any) -> None:
    for rank in ended["rank 1 stopped"]:
        assert rank["code"] == 130, rank["stderr"]
        assert "stopped; go on with: lanewise.resume" in rank["stderr"]


def test_a_stuck_rank_is_named(ended: Any) -> None:
    awake, stuck = ended["rank 1 stuck"]
    assert awake["code"] == 3
    assert "rank 1 gave no sign of life for 3 s" in awake["stderr"]
    assert stuck["code"] == -signal.SIGKILL  # by the driver: it could not hear


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("other settings", "rank 1 has seed 1, rank 0 has 0; start all ranks with the same command"),
        ("no such column", "nothing"),
        ("one cannot read", "rank 1: "),
        ("standard input", "standard input reaches one process only"),
        ("a GPU", "device cuda"),
        ("too many for it", "mesh lane=3 is for 3 processes, there are 2; start 3, or set lane=2"),
        ("two axes open", "one axis of a mesh can be left open, got -1 for lane and data"),
        ("no such axis", "a mesh has no axis 'rows'"),
        ("no backend", "built without gloo, by which ranks exchange bytes of cpu; install a build that has it"),
        ("nobody listens", "rank 0 cannot reach 127.0.0.1 port 1, where ranks meet (Connection refused, tried for"),
        ("no such host", "rank 0 cannot reach nowhere.invalid port 29500, where ranks meet ("),
        ("no port", "MASTER_PORT must be from 1 to 65535, got 'http'; start all processes with torchrun"),
    ],
)
def test_what_is_not_usable_ends_all_ranks_soon(ended: Any, what: str, said: str) -> None:
    first = ended[what][0]
    assert said in first["stderr"]
    assert first["stderr"].count("\n") == 1
    for rank in ended[what]:
        assert rank["code"] == 2, rank["stderr"]
        assert rank["seconds"] < GONE_WITHIN


def test_ranks_that_decide_differently_end_at_the_next_rung(ended: Any) -> None:
    for number, rank in enumerate(ended["decided otherwise"]):
        assert rank["code"] == 3, rank["stderr"]
        assert f"ranks {number} and {1 - number} decided differently on the same evidence" in rank["stderr"]
        assert rank["seconds"] < GONE_WITHIN


def test_meshes_are_measured_beside_what_was_predicted(ended: Any) -> None:
    ranks = ended["meshes"]
    assert [rank["code"] for rank in ranks] == [0, 0], [rank["stderr"] for rank in ranks]
    found = ranks[0]["out"]
    assert found["ranks"] == 2
    assert [one["mesh"] for one in found["steps"]] == [f"{axis}=2" for axis in AXES]
    assert all(one["measured"] > 0 and one["predicted"] > one["told"] >= 0 for one in found["steps"])
    assert found["beta"] > 0
    assert found["alpha"] >= 0
    assert [one["size"] for one in found["exchanges"]] == [2**14, 2**20]
    assert found["proposed"]
    assert found["why"]


def test_a_mesh_is_proposed_for_stated_work_by_what_was_measured(ended: Any) -> None:
    found = ended["meshes"][0]["out"]
    planned = found["planned"]
    assert planned["mesh"] == "lane=2"  # whose ranks tell each other nothing
    assert planned["epoch"] == pytest.approx(planned["seconds"] * 1e5 / 256)
    # Each of 32 lanes is 6 times parameters times rows of arithmetic, at the rate that was measured, or more.
    assert planned["seconds"] > 32 * 6e6 * 256 / found["flops"]
    said = "For 64 lanes of 1,000,000 parameters in steps of 256 rows, Lanewise would take lane=2: "
    assert said in found["words"]
    assert f"; {planned['why']}." in found["words"]
