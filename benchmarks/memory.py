"""Peak memory of a fit against what its plan predicted.

For each table, ``lanewise fit`` runs as a process of its own, and the resident memory of it and of all its worker
processes is added up twenty times a second. What processes share, as workers do that were forked from one another,
counts once (Linux divides it among them: Pss). Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EVERY = 0.05
TABLES = {"small": (2_000, 10), "long": (100_000, 20), "wide": (5_000, 500)}
"""Rows and columns."""


def write_table(path: Path, rows: int, columns: int) -> None:
    """A table of numbers with two classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) + rng.logistic(size=rows) > 0).astype(int)
    header = ",".join([*(f"x{place}" for place in range(columns)), "y"])
    np.savetxt(path, np.column_stack([x, y]), delimiter=",", header=header, comments="", fmt="%.5g")


def resident_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has just ended
            continue
    return sum(_share(process) for process in parents if _descends(process, root, parents))


def _share(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _descends(process: int, root: int, parents: dict[int, int]) -> bool:
    while process > 1 and process != root:
        process = parents.get(process, 0)
    return process == root


def measure(table: Path, home: Path, budget: str, models: str) -> tuple[int, dict[str, float | None]]:
    """The peak over the run, in bytes, and the part of the document about hardware."""
    command = [sys.executable, "-c", "from lanewise.cli import main; main()"]
    command += ["fit", str(table), "--target", "y", "--task", "binary", "--budget", budget, "--models", models]
    with (home / "document.json").open("w+") as out:
        process = subprocess.Popen(
            [*command, "--json", "--quiet"], stdout=out, env={**os.environ, "LANEWISE_HOME": str(home / "runs")}
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(EVERY)
        if process.returncode:
            message = f"the fit of {table.name} ended with exit code {process.returncode}"
            raise RuntimeError(message)
        out.seek(0)
        return peak, json.load(out)["hardware"]


def in_megabytes(amount: float | None) -> str:
    return f"{amount / 1e6:9,.0f} MB" if amount else "        none"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="30s", help="budget of every fit (default 30s)")
    parser.add_argument("--models", default="lightgbm,mlp,linear,forest,tree", help="families that race (default: all)")
    parser.add_argument("--only", choices=TABLES, help="one table only")
    given = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        parser.error("the memory of processes is read from /proc, which this system has not")
    print(f"{'table':8} {'rows':>8} {'columns':>8} {'measured':>12} {'in document':>12} {'predicted':>12}  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for name, (rows, columns) in TABLES.items():
            if given.only not in (None, name):
                continue
            table = Path(folder) / f"{name}.csv"
            write_table(table, rows, columns)
            peak, hardware = measure(table, Path(folder), given.budget, given.models)
            predicted = hardware.get("predicted_memory_bytes")
            shown = f"{peak / predicted:.2f}x of what was predicted" if predicted else "the plan predicted nothing"
            own = in_megabytes(hardware.get("peak_memory_bytes"))
            print(f"{name:8} {rows:8,} {columns:8,} {in_megabytes(peak)} {own} {in_megabytes(predicted)}  {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
