"""Ranks of this host, started by this process: for a command that is not under torchrun and needs some."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

PATIENCE = 10.0
"""Seconds for the other ranks to end once one has failed; each hears of it by itself."""


def run_ranks(arguments: Sequence[str], ranks: int) -> int:
    """Run ``python -m lanewise ARGUMENTS`` on so many ranks of this host; the exit code of the first that failed.

    They meet through a file and open no port. Rank 0 has this process's output, and nobody is left behind.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(ranks):
            names = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": ranks}
            environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
            environment["MASTER_PORT"] = str(os.getpid())  # names the folder in which they meet
            out = None if rank == 0 else subprocess.DEVNULL
            command = [sys.executable, "-m", "lanewise", *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=out, stdin=subprocess.DEVNULL))
        return _waited(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _waited(processes: Sequence["subprocess.Popen[bytes]"]) -> int:
    failed_at: float | None = None
    while True:
        codes = [process.poll() for process in processes]
        bad = [code for code in codes if code]
        if None not in codes:
            return bad[0] if bad else 0
        if bad:
            failed_at = failed_at or time.monotonic()
            if time.monotonic() - failed_at > PATIENCE:
                return bad[0]
        time.sleep(0.02)
