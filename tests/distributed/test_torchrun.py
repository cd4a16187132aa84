"""The command line under torchrun itself: it goes on by itself after a kill, stops as one, and leaves nobody behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lanewise.runs.store import RunStore

FIT = ["fit", "example:wine", "--models", "linear,mlp", "--candidates", "3", "--folds", "2", "--seeds", "1"]
LONG = [*FIT, "--budget", "200steps"]
WITHIN = 60.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc"),
    pytest.mark.slow,
]


def variables(home: Path) -> dict[str, str]:
    own = {"LANEWISE_HOME": str(home), "TMPDIR": str(home.parent), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@contextmanager
def ended(*commands: "subprocess.Popen[str]") -> Iterator[None]:
    """End what a failed test leaves behind."""
    try:
        yield
    finally:
        for command in commands:
            if command.poll() is None:
                command.terminate()
                command.communicate(timeout=60)


def torchrun(home: Path, *arguments: str, launcher: tuple[str, ...] = ("--standalone",)) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", *launcher, "-m", "lanewise", *arguments]
    if "--nproc-per-node" not in launcher:
        command[3:3] = ["--nproc-per-node", "2"]
    return subprocess.Popen(
        command, env=variables(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ranks(home: Path) -> dict[int, int]:
    """The process ids of the ranks of a run in ``home``, by rank."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "environ").read_bytes().split(b"\0")
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        named = dict(one.partition(b"=")[::2] for one in text)
        if named.get(b"LANEWISE_HOME") == str(home).encode() and b"RANK" in named and b"lanewise" in line:
            found[int(named[b"RANK"])] = int(entry.name)
    return found


def wait_for(home: Path, pattern: str) -> None:
    until = time.monotonic() + WITHIN
    while not list(home.glob(pattern)):
        assert time.monotonic() < until, pattern
        time.sleep(0.02)


def runs(home: Path) -> Any:
    with RunStore(home) as store:
        return store.list()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of the same fit in one process with two workers, so with the same plan."""
    home = tmp_path_factory.mktemp("alone") / "home"
    command = [sys.executable, "-m", "lanewise", *LONG, "--workers", "2", "--json", "--quiet"]
    done = subprocess.run(command, env=variables(home), capture_output=True, text=True, check=True, timeout=WITHIN)
    return json.loads(done.stdout)


def test_killed_rank_is_started_again_and_the_run_goes_on(tmp_path: Path, alone: dict[str, Any]) -> None:
    home = tmp_path / "home"
    job = torchrun(home, *LONG, "--workers", "1", "--json", launcher=("--standalone", "--max-restarts", "2"))
    with ended(job):
        wait_for(home, "runs/*/checkpoints/screen*/step*")
        os.kill(ranks(home)[1], signal.SIGKILL)
        out, err = job.communicate(timeout=WITHIN)
    assert job.returncode == 0, err
    document = json.loads(out)  # printed once
    assert document["hardware"]["resumed"]
    assert document["model_sha256"] == alone["model_sha256"]
    (run,) = runs(home)
    assert run.status == "done"
    assert not ranks(home)
    assert not list(home.parent.glob("lanewise-workers-*"))


def test_stopped_job_stops_as_one_and_goes_on_with_another_number_of_ranks(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    home = tmp_path / "home"
    job = torchrun(home, *LONG, "--workers", "1")
    with ended(job):
        wait_for(home, "runs/*/checkpoints/screen*/step*")
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=WITHIN)
    assert job.returncode != 0
    assert err.count("stopped; go on with: lanewise resume") == 1, err
    assert not ranks(home)
    assert [run.status for run in runs(home)] == ["interrupted"]
    command = [sys.executable, "-m", "lanewise", "resume", "--json", "--quiet"]
    done = subprocess.run(command, env=variables(home), capture_output=True, text=True, check=True, timeout=WITHIN)
    assert json.loads(done.stdout)["model_sha256"] == alone["model_sha256"]


def test_two_launchers_meet_over_the_network_of_this_host(tmp_path: Path, alone: dict[str, Any]) -> None:
    home = tmp_path / "home"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "pair")
    endpoint = ("--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        jobs = [
            torchrun(
                home,
                *LONG,
                "--workers",
                "1",
                "--json",
                launcher=(*launcher, *endpoint, "--rdzv-conf", f"is_host={int(not number)}"),
            )
            for number in range(2)
        ]
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]
    with ended(*jobs):
        said = [job.communicate(timeout=WITHIN) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], [err for _, err in said]
    told = [out for out, _ in said if out]
    assert len(told) == 1  # by rank 0, whichever launcher has it
    assert json.loads(told[0])["model_sha256"] == alone["model_sha256"]
    assert json.loads(told[0])["hardware"]["ranks"] == 2


def test_what_only_one_process_can_do_is_refused(tmp_path: Path) -> None:
    job = torchrun(tmp_path / "home", "runs")
    out, err = job.communicate(timeout=WITHIN)
    assert job.returncode != 0
    assert out == ""
    assert err.count("runs runs in one process, not under torchrun; fit, resume can spread") == 1
