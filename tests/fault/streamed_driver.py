"""Fits a table that is larger than the memory it may use, in forked children, and prints what came out as JSON.

A script of its own: it loads torch once. Sample, batches and windows are small, so that a small table is a large one.

    python streamed_driver.py FOLDER TABLE ROOM

A child may take ROOM bytes beside what it begins with: the system refuses it more (RLIMIT_DATA, which counts all
memory of its own and no mapped file). It counts 8 MiB for the stack of each thread, too, and what allocators set
aside for them, used or not: 0.3 GB on 2 processors and 1.3 GB on 64 where a fit uses 0.1. So whatever does not depend
on the table is there before: libraries are loaded, Polars' threads have started, and there are few of them.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import lightgbm  # noqa: F401  # loaded once, before processes are forked
import polars as pl

from lanewise.data import streaming, table_files
from lanewise.fitting.experiment import fit
from lanewise.lanes import windows
from lanewise.resuming import resume
from lanewise.runs.store import RunStore
from lanewise.training import race
from lanewise.training.planning import proposals

SETTINGS = {
    "target": "y",
    "models": "lightgbm,mlp",
    "budget": "15steps",
    "candidates": 1,
    "folds": 2,
    "seeds": 1,
    "workers": 1,
    "group": "who",
}
PATIENCE = 120.0


def own_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmData:")[1].split()[0]) * 1024


def child(home: Path, act: Callable[[], object], *, table: str, room: int) -> int:
    """Fork a process that acts in ``home`` with ``room`` for memory of its own."""
    process = os.fork()
    if process:
        return process
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["LANEWISE_HOME"] = str(home)
        pl.scan_parquet(table).select(pl.len()).collect()  # starts threads, which a fork cannot inherit
        limit = own_bytes() + room
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        act()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def document(home: Path) -> Mapping[str, object]:
    with RunStore(home) as store:
        run = store.get("last")
    found = run.document or {}
    left = [path.name for path in run.folder.iterdir() if path.name.startswith("lanewise-")]
    boosted = json.loads(run.plan.read_text())["tree_rows"]
    return {"status": run.status, "left": left, "boosted": boosted} | {
        key: found.get(key) for key in ("model_sha256", "test", "rows")
    }


def main(folder: Path, table: str, room: int) -> None:
    streaming.SAMPLE_ROWS = streaming.FEWEST_SAMPLE_ROWS = 2_000
    table_files.BATCH_CELLS = 500_000
    windows.PLACED_BYTES = 2**20
    race.SAVE_EVERY_SECONDS = 0.0
    proposals.DEFAULT_ROUNDS = 20  # each of them reads all rows
    in_memory, whole, killed = (folder / name for name in ("memory", "whole", "killed"))

    def begin(home: Path, act: Callable[[], object]) -> int:
        return child(home, act, table=table, room=room)

    found: dict[str, object] = {}
    found["in_memory"] = ended(begin(in_memory, lambda: fit(table, stream="never", **SETTINGS)))
    found["streamed"] = ended(begin(whole, lambda: fit(table, **SETTINGS)))
    process = begin(killed, lambda: fit(table, **SETTINGS))
    deadline = time.monotonic() + PATIENCE
    while not list(killed.glob("runs/*/checkpoints/confirm-*/step-*")) and time.monotonic() < deadline:
        assert os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None, (
            "it ended before it was killed"
        )
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    found["killed"] = ended(process)
    found["resumed"] = ended(begin(killed, lambda: resume("last")))
    print(json.dumps(found | {"whole": document(whole), "again": document(killed)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
