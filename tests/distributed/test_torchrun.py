"""The command line under torchrun itself: it goes on by itself after a kill, stops as one, and leaves nobody behind.

Over two hosts too, where this process may make them: each in a network namespace, with a link that can be cut.

One launch is the command that users type. The others are of the same ``torch.distributed.run`` in forks of a process
that has loaded everything, whose ranks are forks as well: see ``warm_torchrun.py``.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import lanewise
from lanewise.runs.store import RunStore

SETTINGS = {"target": "y", "budget": "80steps", "models": "linear,mlp", "candidates": 3, "folds": 2, "seeds": 1}
FIT = ["fit", "table.csv", *(f"--{name}={value}" for name, value in SETTINGS.items()), "--json"]
MODEL = """
import torch

X = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
y = (X[:, 0] > X[:, 1]).long()
data = (X[:300], y[:300]), (X[300:], y[300:])

def make_model():
    return torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
"""
DRAW = random.Random(0)
ROWS = [[DRAW.gauss(0.0, 1.0) for _ in range(4)] for _ in range(150)]
TABLE = "a,b,c,d,y\n" + "".join(
    f"{','.join(f'{cell:.3f}' for cell in row)},{'low' if row[0] < row[1] else 'high'}\n" for row in ROWS
)
WITHIN = 60.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc"),
    pytest.mark.slow,
]


def variables(home: Path) -> dict[str, str]:
    own = {"LANEWISE_HOME": str(home), "TMPDIR": str(home.parent), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@contextmanager
def ended(*jobs: Any) -> Iterator[None]:
    """End what a failed test leaves behind."""
    try:
        yield
    finally:
        for job in jobs:
            if job.poll() is None:
                job.send_signal(signal.SIGTERM)
                job.communicate(timeout=60)


def torchrun(
    drive: Any,
    home: Path,
    *arguments: str,
    launcher: tuple[str, ...] = ("--standalone",),
    namespace: str = "",
    **environment: str,
) -> Any:
    """A launcher of ranks which note themselves in a folder beside ``home``."""
    (home.parent / "table.csv").write_text(TABLE)
    noted = home.parent / "ranks"
    noted.mkdir(exist_ok=True)
    if "--nproc-per-node" not in launcher:
        launcher += ("--nproc-per-node", "2")
    own = {**variables(home), "RANKS": str(noted), **environment}
    return drive.torchrun(
        *launcher, "-m", "lanewise", *arguments, folder=home.parent, variables=own, namespace=namespace
    )


def ranks(home: Path) -> dict[int, int]:
    """The process ids of the ranks of a run in ``home``, by rank."""
    noted = [entry.name.split("-") for entry in (home.parent / "ranks").iterdir()]
    return {int(rank): int(process) for rank, process in noted if runs_still(process)}


def runs_still(process: str) -> bool:
    try:
        return stat(int(process))[0] != "Z"
    except OSError:
        return False


def stat(process: int) -> list[str]:
    """What the kernel says of a process after its name: its state, its parent, and more."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def wait_for(home: Path, pattern: str) -> None:
    until = time.monotonic() + WITHIN
    while not list(home.glob(pattern)):
        assert time.monotonic() < until, pattern
        time.sleep(0.02)


def saved(home: Path, *, after: int = 0) -> bool:
    """Whether a race has a checkpoint that was written after some moment."""
    with suppress(FileNotFoundError):  # an older one is removed just now
        return any(one.stat().st_mtime_ns > after for one in home.glob("runs/*/checkpoints/*/step*"))
    return False


def runs(home: Path) -> Any:
    with RunStore(home) as store:
        return store.list()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The document of the same fit in one process with two workers, so with the same plan."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "table.csv").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANEWISE_HOME", str(folder / "home"))
        return lanewise.fit(str(folder / "table.csv"), workers=2, **SETTINGS).document


def test_the_command_that_users_type_gives_the_bits_of_one_process(tmp_path: Path, alone: dict[str, Any]) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*launcher, "-m", "lanewise", *FIT, "--workers", "1"],
        env=variables(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * WITHIN,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["hardware"]["ranks"] == 2
    assert found["model_sha256"] == alone["model_sha256"]


def test_killed_rank_is_started_again_and_a_stopped_tune_stops_as_one_and_goes_on_in_one_process(
    drive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = tmp_path / "home", tmp_path / "mine.py"
    file.write_text(MODEL)
    given = (f"{file}:make_model", "--data", f"{file}:data", "--budget", "900steps", "--candidates", "8")
    job = torchrun(drive, home, "tune", *given, "--workers", "1", launcher=("--standalone", "--max-restarts", "1"))
    with ended(job):
        wait_until(lambda: saved(home))
        first = ranks(home)
        os.kill(first[1], signal.SIGKILL)
        wait_until(lambda: holder(home) in set(ranks(home).values()) - set(first.values()))
        wait_until(lambda: saved(home, after=taken(home)))
        job.send_signal(signal.SIGTERM)
        out, err = job.communicate(timeout=WITHIN)
    assert job.returncode != 0
    assert out == ""
    last = err.rpartition("exitcode: -9")[2]  # torchrun ended rank 0 by SIGTERM once before, after the kill
    assert len(re.findall("stopped; go on with: .*lanewise resume", last)) == 1, err
    assert not ranks(home)
    assert not list(home.parent.glob("lanewise-workers-*"))
    assert [run.status for run in runs(home)] == ["interrupted"]
    monkeypatch.setenv("LANEWISE_HOME", str(home))
    lanewise.resume("last")
    whole = lanewise.repeat("last").document["repeats"]  # by the same plan, all of it in this process
    assert (whole["same"], whole["differences"]) == (True, [])


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host as torchrun sees it: its address, its interface, and its network namespace."""

    address: str
    interface: str
    namespace: str = ""

    def cut(self, *, off: bool) -> None:
        ip("-n", self.namespace, "link", "set", self.interface, "down" if off else "up")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=10)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two network namespaces with a cable between them; raises ``CalledProcessError`` where they cannot be made."""
    number = os.getpid() % 100_000
    names = [f"lanewise{number}{letter}" for letter in "ab"]
    cable = [f"lw{number}{letter}" for letter in "ab"]
    with ExitStack() as made:
        for name in names:
            ip("netns", "add", name)
            made.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", "name", cable[1], "netns", names[1])
        hosts = []
        for place, name in enumerate(names):
            own = Host(address=f"10.213.77.{place + 1}", interface=cable[place], namespace=name)
            ip("-n", name, "address", "add", f"{own.address}/24", "dev", own.interface)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", own.interface, "up")
            hosts.append(own)
        yield hosts[0], hosts[1]


@cache
def without_hosts() -> str:
    """Why there cannot be two hosts on this machine; empty where there can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "there is no command ip to make hosts with"
    if os.geteuid():
        return "only root can make network namespaces"
    try:
        with two_hosts():
            return ""
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces cannot be made here: {getattr(error, 'stderr', '') or error}"


def pair(drive: Any, home: Path, hosts: Sequence[Host], port: int, **environment: str) -> list[Any]:
    """A launcher with one rank on each host, which meet at the address of the first."""
    launcher = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "pair")
    launcher += ("--rdzv-endpoint", f"{hosts[0].address}:{port}")
    return [
        torchrun(
            drive,
            home,
            *FIT,
            "--workers",
            "1",
            launcher=(*launcher, "--local-addr", host.address, "--rdzv-conf", f"is_host={int(not number)}"),
            namespace=host.namespace,
            GLOO_SOCKET_IFNAME=host.interface,
            LANEWISE_JOB="pair",
            **environment,
        )
        for number, host in enumerate(hosts)
    ]


def told_once(jobs: Sequence[Any]) -> Any:
    """The document that rank 0 of launchers prints, whichever of them has it."""
    said = [job.communicate(timeout=WITHIN) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], [err for _, err in said]
    (told,) = [out for out, _ in said if out]
    return json.loads(told)


def listening(process: int) -> set[str]:
    """The addresses that sockets of a process listen at, as the kernel writes them."""
    own = {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir() if entry.is_symlink()}
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in own:
                found.add(local.partition(":")[0])
    return found


@pytest.mark.skipif(bool(without_hosts()), reason=without_hosts())
def test_two_hosts_whose_link_is_cut_end_and_go_on_once_it_is_healed(
    drive: Any, tmp_path: Path, alone: dict[str, Any]
) -> None:
    home = tmp_path / "home"
    with two_hosts() as hosts:
        jobs = pair(drive, home, hosts, 29_400, LANEWISE_RANK_TIMEOUT="3")
        with ended(*jobs):
            wait_for(home, "runs/*/checkpoints/screen*/step*")
            there = ranks(home)
            for process, host in zip((there[0], there[1]), hosts, strict=True):
                own = socket.inet_aton(host.address)[::-1].hex().upper()
                assert listening(process) <= {own}  # nowhere but where it was told
            hosts[1].cut(off=True)
            cut = time.monotonic()
            while ranks(home):
                assert time.monotonic() < cut + 30
                time.sleep(0.05)
            jobs[1].kill()  # the launcher itself waits for an answer
            said = [job.communicate(timeout=WITHIN)[1] for job in jobs]
        assert [run.status for run in runs(home)] == ["failed"]
        assert "lanewise: rank 1 gave no sign of life for 3 s" in said[0]
        assert "lanewise: rank 1 reaches the others no more (no answer for 3 s)" in said[1]
        hosts[1].cut(off=False)
        again = pair(drive, home, hosts, 29_401)
        with ended(*again):
            found = told_once(again)
    assert found["hardware"]["resumed"]
    assert found["hardware"]["ranks"] == 2
    assert found["model_sha256"] == alone["model_sha256"]
    assert [run.status for run in runs(home)] == ["done"]


@pytest.mark.skipif(not without_hosts(), reason="two hosts in network namespaces show more")
def test_two_launchers_meet_over_the_network_of_this_host(drive: Any, tmp_path: Path, alone: dict[str, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    jobs = pair(drive, tmp_path / "home", [Host(address="127.0.0.1", interface="lo")] * 2, port)
    with ended(*jobs):
        found = told_once(jobs)
    assert found["model_sha256"] == alone["model_sha256"]
    assert found["hardware"]["ranks"] == 2


def test_a_host_that_is_lost_is_done_without_and_one_that_joins_is_used(
    drive: Any, tmp_path: Path, alone: dict[str, Any]
) -> None:
    home = tmp_path / "home"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = Host(address="127.0.0.1", interface="lo")
    first, lost = (elastic(drive, home, here, port, serves=serves) for serves in (True, False))
    with ended(first, lost):
        wait_until(lambda: set(ranks(home)) == {0, 1})
        wait_for(home, "runs/*/checkpoints/screen*/step*")
        by_launcher = {parent(process): process for process in ranks(home).values()}
        for process in (lost.pid, by_launcher[lost.pid]):  # as where the power fails
            os.kill(process, signal.SIGKILL)
        lost.communicate(timeout=WITHIN)
        wait_until(lambda: holder(home) in set(ranks(home).values()) - set(by_launcher.values()))
        alone_now = holder(home)
        assert ranks(home) == {0: alone_now}
        os.kill(alone_now, signal.SIGSTOP)  # else it might be done before the other one is there
        joining = elastic(drive, home, here, port, serves=False)
        with ended(joining):
            wait_until(lambda: told_to_end(alone_now))
            os.kill(alone_now, signal.SIGCONT)
            found = told_once((first, joining))
    assert found["hardware"]["resumed"]
    assert found["hardware"]["ranks"] == 2
    assert found["model_sha256"] == alone["model_sha256"]
    assert [run.status for run in runs(home)] == ["done"]
    assert not ranks(home)


def elastic(drive: Any, home: Path, host: Host, port: int, *, serves: bool) -> Any:
    """A launcher on one of at most two hosts, which go on with as many as there are."""
    launcher = ("--nnodes", "1:2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "elastic")
    launcher += ("--rdzv-endpoint", f"{host.address}:{port}", "--local-addr", host.address, "--max-restarts", "2")
    patience = "last_call_timeout=4,keep_alive_interval=1,keep_alive_max_attempt=6"
    launcher += ("--rdzv-conf", f"is_host={int(serves)},{patience}")
    own = {"GLOO_SOCKET_IFNAME": host.interface, "LANEWISE_JOB": "elastic", "LANEWISE_RANK_TIMEOUT": "3"}
    return torchrun(drive, home, *FIT, "--workers", "2", launcher=launcher, **own)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def holder(home: Path) -> int:
    """The process that works on the run, as its lock says; 0: none has."""
    for lock in home.glob("runs/*/lock"):
        with suppress(ValueError, KeyError):  # it is being written
            return int(json.loads(lock.read_text())["pid"])
    return 0


def taken(home: Path) -> int:
    """When the process that works on the run has taken its lock."""
    return max(lock.stat().st_mtime_ns for lock in home.glob("runs/*/lock"))


def told_to_end(process: int) -> bool:
    """Whether SIGTERM waits for a process that was stopped."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    waiting = next(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd"))
    return bool(waiting >> (signal.SIGTERM - 1) & 1)


def parent(process: int) -> int:
    return int(stat(process)[1])
