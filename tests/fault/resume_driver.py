"""Runs fits or tunes in forked children, kills them with SIGKILL, resumes them, and prints what came out as JSON.

A script for ``warm_server.py``, which has loaded all that it needs. It forks before any thread exists, so that every
child is a fresh process as ``lanewise fit`` would be.

Settings with a ``model`` are those of a tune.

    python resume_driver.py '[{"folder": ..., "source": ..., "settings": {...}, "chains": [[KILL, ...], ...]}, ...]'

A KILL is ``{"after": seconds}``, or ``{"seen": PATTERN, "after": seconds}``: when a path of the run's folder
matches PATTERN, and then so many seconds later. ``{"random": SEED}`` is anywhere in a fit: progress is told
by how many different paths were seen in the run's folder, which no load of the machine alters much.
With ``"planned": true`` all of them go on from one run that was killed when its plan was written.
"""

import fnmatch
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from glob import iglob
from pathlib import Path
from typing import Any

import lanewise.training.race
from lanewise.fitting.experiment import fit
from lanewise.resuming import resume
from lanewise.runs.store import RunStore
from lanewise.storage.lock import FileLock
from lanewise.training.planning import fitting
from lanewise.tuning.from_files import tune_files

SAVE_EVERY_SECONDS = 0.05
PATIENCE = 300.0


def child(home: Path, source: str, settings: dict[str, Any]) -> int:
    """Fork a process that begins a fit in ``home``, or resumes the one that is there."""
    process = os.fork()
    if process:
        return process
    os.setsid()  # by which what it leaves behind is found
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["LANEWISE_HOME"] = str(home)
        begun = (home / "runs.db").exists() and bool(runs(home))
        if begun:
            resume("last")
        elif "model" in settings:
            tune_files(command="", **settings)
        else:
            fit(source, **settings)
    except BaseException as error:
        (home / "error").write_text(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


def runs(home: Path) -> Any:
    with RunStore(home) as store:
        return store.list()


def paths(home: Path) -> list[str]:
    """Every path in the folder of the run, relative to it; a run at work removes folders meanwhile."""
    folders = sorted((home / "runs").glob("*")) if (home / "runs").exists() else []
    return [
        os.path.join(root, name)[len(str(folder)) + 1 :]
        for folder in folders
        for root, inner, files in os.walk(folder)
        for name in (*inner, *files)
    ]


def ended(process: int) -> int | None:
    found, status = os.waitpid(process, os.WNOHANG)
    return None if found == 0 else os.waitstatus_to_exitcode(status)


def kill(process: int, home: Path, when: dict[str, Any], seen: set[str], whole: int) -> int:
    """Wait for the moment and kill; the exit code (0: it was done before). ``seen`` grows by the paths seen."""
    draw = random.Random(when.get("random"))
    enough = draw.randrange(whole) if "random" in when else 0
    wait = draw.uniform(0.0, 0.5) if "random" in when else when["after"]

    def reached() -> bool:
        if "seen" in when:  # looked for every few ms, beside what is to be killed
            return any(iglob(f"runs/*/{when['seen']}", root_dir=home))
        seen.update(paths(home))
        return len(seen) >= enough

    code = awaited(process, reached, every=0.002)
    if code is not None:
        return code
    time.sleep(wait)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def finished(home: Path, task: dict[str, Any], seen: set[str]) -> None:
    """Let a run come to its end. ``seen`` grows by the paths seen, where kills are to be anywhere among these."""
    process = child(home, task["source"], task["settings"])
    counts = any("random" in when for kills in task["chains"] for when in kills)

    def never() -> bool:
        if counts:
            seen.update(paths(home))
        return False

    if awaited(process, never, every=0.002 if counts else 0.02):
        raise RuntimeError((home / "error").read_text())


def awaited(process: int, reached: Callable[[], bool], *, every: float) -> int | None:
    """The exit code of a process; None where what is looked for every so many seconds is true before."""
    deadline = time.monotonic() + PATIENCE
    while (code := ended(process)) is None and not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(process)
        time.sleep(every)
    return code


def stage(home: Path) -> str:
    """How far a killed run was, told from its files."""
    found = paths(home)
    for name, pattern in (
        ("report", "report.html"),
        ("model", "model"),
        ("refit", "checkpoints/refit*"),
        ("confirm", "checkpoints/confirm*"),
        ("screen", "checkpoints/screen*"),
        ("planned", "plan.json"),
    ):
        if any(fnmatch.fnmatch(path, pattern) for path in found):
            return name
    return "begun" if found else "nothing"


def of_session(session: int) -> list[str]:
    """Processes that a child has begun, and these in turn, by their id and name: what workers are forked from, too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = entry.read_text().rpartition(")")
            state, _, _, own, *_ = rest.split()
            if int(own) == session and state != "Z":
                found.append(name)
    return found


def orphans(session: int) -> list[str]:
    """Those that outlive the child, which was killed, by more than it takes them to notice."""
    deadline = time.monotonic() + 20.0
    while of_session(session) and time.monotonic() < deadline:
        time.sleep(0.02)
    return of_session(session)


def held(home: Path) -> bool:
    return any(FileLock.held(lock) for lock in (home / "runs").glob("*/lock"))


def outcome(home: Path) -> dict[str, Any]:
    """The document of the one run in ``home``, and what of its folder is left."""
    (run,) = runs(home)
    error = home / "error"
    return {
        "status": run.status,
        "document": run.document,
        "left": sorted(path for path in paths(home) if "checkpoints" in path or ".part" in path or "trees-" in path),
        "error": error.read_text() if error.exists() else None,
    }


def chain(home: Path, task: dict[str, Any], kills: list[dict[str, Any]], whole: int) -> dict[str, Any]:
    """Kill one run again and again, then let it finish."""
    killed, left = [], []
    seen: set[str] = set()
    for when in kills:
        process = child(home, task["source"], task["settings"])
        code = kill(process, home, when, seen, whole)
        if code != -signal.SIGKILL:
            if code:
                raise RuntimeError((home / "error").read_text())
            break
        killed.append(stage(home))
        left += orphans(process)
        assert not held(home), "a dead process holds its lock"
    if not runs(home) or runs(home)[0].status != "done":
        finished(home, task, seen)
    return {"killed": killed, "orphans": left, "seen": len(seen), **outcome(home)}


def outcomes(task: dict[str, Any]) -> dict[str, Any]:
    """What came of the run that nobody kills, and of each chain."""
    folder = Path(task["folder"])
    homes = [folder / str(place) for place in range(len(task["chains"]))]
    if task.get("planned"):
        home = folder / "reference"
        planned = {"seen": "plan.json", "after": 0.0}
        process = child(home, task["source"], task["settings"])
        code = kill(process, home, planned, set(), 0)
        assert code == -signal.SIGKILL, (home / "error").read_text()
        orphans(process)
        for other in homes:
            shutil.copytree(home, other)
    reference = chain(folder / "reference", task, [], 0)
    found = [chain(home, task, kills, reference["seen"]) for home, kills in zip(homes, task["chains"], strict=True)]
    return {"reference": reference, "chains": found}


def main() -> None:
    lanewise.training.race.SAVE_EVERY_SECONDS = SAVE_EVERY_SECONDS
    fitting.FEWEST_SEEN = 5_000  # else a budget of seconds buys more than it says
    print(json.dumps([outcomes(task) for task in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
