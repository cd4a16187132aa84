"""Runs scenarios on several ranks, each a forked child, and prints what came out as JSON.

A script for ``warm_server.py``, which has loaded all that it needs. It forks before any thread exists, so that every
rank is a fresh process as torchrun would start it.

    echo '{"folder": ..., "tasks": [{"scenario": "race", "size": 2, ...}, ...]}' | python rank_driver.py

For each line a line is printed, a list: for each task the ranks' ``code``, ``seconds`` from the launch to the end,
``out`` and ``stderr``. A line may also begin a ``torchrun`` in a fork, which is answered by its process, or ask
which exit code one has ``ended`` with.
"""

import hashlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import mesh_scenarios
import torch
import torch.distributed as dist  # noqa: TID251 so that every child has it
import tune_scenarios
import warm_torchrun
from averaging_scenarios import averaging, resumed
from data_scenarios import guards, stacks
from train_driver import on_eight, on_four

from lanewise import resuming
from lanewise.data import streaming
from lanewise.distributed import reaching, stores
from lanewise.distributed.joining import joined
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.ranks import Ranks
from lanewise.distributed.stated_work import StatedWork
from lanewise.errors import LanewiseError
from lanewise.fitting import experiment
from lanewise.fitting.planned import amending_of
from lanewise.lanes import windows
from lanewise.runs.journal import RunJournal
from lanewise.runs.stage_times import StageTimes
from lanewise.search.racing import Racing
from lanewise.training import race as race_module
from lanewise.training.journal import Journal
from lanewise.training.planning import fitting, mesh_measuring, mesh_steps
from lanewise.training.planning.plan import Lengths
from lanewise.training.ranks.crew import crew_of
from lanewise.training.ranks.spreading import Spreading, spread
from lanewise.training.streamed.row_store import RowStore
from main_program import ended

PATIENCE = 180.0


def small_race() -> ModuleType:
    path = Path(__file__).parents[1] / "unit" / "training" / "small_race.py"
    spec = importlib.util.spec_from_file_location("small_race", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["small_race"] = module
    spec.loader.exec_module(module)
    return module


small = small_race()
LENGTHS = Lengths(rows_seen=24 * small.BATCH, iterations=8)
"""How long the lanes of small races train that are the same on all ranks."""


def digest(what: Any) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


# -- what a rank does ---------------------------------------------------------------------------------


def raced(
    ranks: Ranks,
    *,
    racing: bool = False,
    apart: bool = False,
    longer: bool = False,
    journal: Journal | None = None,
) -> Any:
    """A small race over the ranks; ``apart`` lets rank 1 decide by another policy, as if it rounded differently.

    One that is ``longer`` has no screen, and by the clock of rank 0 alone time for a second seed.
    """
    racing = racing or (apart and ranks.rank == 1)
    company = small.company(lr=1e4)
    plan, builder, crew = small.plan(company), small.builder(), crew_of(ranks)
    if longer:
        plan = replace(plan, rungs=(), seeds=(0,), wished_seeds=(0, 1), parts=2)
    if not apart:
        plan, builder = replace(plan, lengths=LENGTHS), replace(builder, lengths=LENGTHS)
    race = small.race(
        plan, build=spread(builder, crew), policy=Racing() if racing else None, journal=journal, save_every=5.0
    )
    race.spreading = Spreading(crew, plan.costs, stop=lambda: False)
    if longer:
        asked: Any = {"problem": None, "settings": SimpleNamespace(budget="1000s"), "file": None, "ranks": ranks}
        race.amend = amending_of(race.plan, times=StageTimes(time.monotonic() - 1e6 * ranks.rank), **asked)
    found = race.run()
    assert race.plan.seeds == (0, 1), "all ranks heed what rank 0 has time for"
    return found


def race(task: Mapping[str, Any]) -> Any:
    """The digest of all that races over the ranks have shown, each with what else there is to try.

    The ranks meet for each anew, as those of a program that calls ``fit`` more than once.
    """
    found = []
    for which in task["races"]:
        with joined() as ranks:
            found.append(digest(small.shown(raced(ranks, **which))))
    return found


def fit(task: Mapping[str, Any]) -> Any:
    """The document of a fit, or of the one that it goes on with."""
    os.environ["LANEWISE_HOME"] = str(Path(task["folder"]) / task.get("home", "home"))
    fitting.FEWEST_SEEN = 1_000  # else a budget of seconds buys more than it says
    harm(task)
    place = os.environ.get("RANK", "0")
    settings = {**task["settings"], **task.get("settings_of", {}).get(place, {})}
    source, wrote = task["source"], small_windows(poor=place in task.get("poor", ()))
    if source in ("table", "small.csv"):
        source = str(Path(task["folder"]) / source)
    if task.get("repeat"):
        found = resuming.repeat("last")
    elif task.get("resume"):
        found = resuming.resume("last")
    else:
        found = experiment.fit(source, **settings)
    return {"document": found.document, "known": found.predictor.task.target, "wrote": len(wrote)}


def small_windows(*, poor: bool) -> list[int]:
    """Let a small table count as a large one, and a rank that is ``poor`` have no memory; what it writes of rows."""
    streaming.SAMPLE_ROWS = streaming.FEWEST_SAMPLE_ROWS = 300
    windows.FEWEST_PLACED, windows.PLACED_BYTES = 100, 0
    if poor:
        streaming.free_bytes = lambda: 0
    written, write = list[int](), RowStore.write

    def counted(self: RowStore, first: int, *args: Any) -> None:
        written.append(first)
        write(self, first, *args)

    RowStore.write = counted
    return written


def mesh(task: Mapping[str, Any]) -> Any:
    """What ``lanewise doctor --mesh`` finds, of smaller exchanges and steps, not looking long for a launcher."""
    stores.SERVED_SECONDS = reaching.SECONDS = 0.6
    if task.get("without"):
        setattr(dist, f"is_{task['without']}_available", lambda: False)
    mesh_measuring.FITTED, mesh_measuring.CHECKED = (2**12, 2**18, 2**24), (2**14, 2**20)
    mesh_measuring.SECONDS, mesh_steps.BATCH = 0.0, 32
    asked = Mesh.parse(task["mesh"]) if "mesh" in task else None
    stated = StatedWork.parse(task["work"]) if "work" in task else None
    with joined() as ranks:
        findings = mesh_measuring.examine_mesh(ranks, asked, stated)
    return {**findings.to_json(), "words": findings.words()}


def tune(task: Mapping[str, Any]) -> Any:
    """The documents of tuning races, or of those that they go on with."""
    harm(task)
    return tune_scenarios.tune(task)


def auto(task: Mapping[str, Any]) -> Any:
    """A fit or a tune whose mesh is chosen by what the task says that steps take."""
    mesh_scenarios.measured(task)
    return {"fit": fit, "tune": tune}[task["of"]](task)


SCENARIOS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "race": race,
    "fit": fit,
    "mesh": mesh,
    "guards": guards,
    "stacks": stacks,
    "averaging": averaging,
    "averaged checkpoints": resumed,
    "tune": tune,
    "auto": auto,
    "train": on_four,
    "train along three axes": on_eight,
}


# -- what befalls it ----------------------------------------------------------------------------------


def harm(task: Mapping[str, Any]) -> None:
    """Let a signal reach this rank at its ``after``-th save of a checkpoint: {"rank": 1, "signal": 9, "after": 3}."""
    planned = task.get("harm")
    if planned is None or os.environ.get("RANK") != str(planned["rank"]):
        return
    race_module.SAVE_EVERY_SECONDS = 0.0  # after every step, so that it meets the race at the same one on any machine
    saves = itertools.count(1)
    save = RunJournal.save

    def harmed(self: RunJournal, *args: Any) -> None:
        save(self, *args)
        if next(saves) == planned["after"]:
            os.kill(os.getpid(), planned["signal"])

    RunJournal.save = harmed


# -- launching ----------------------------------------------------------------------------------------


def child(task: Mapping[str, Any], rank: int, number: int) -> NoReturn:
    folder = Path(task["folder"])
    size = task["size"]
    if size > 1:
        names = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": number}
        os.environ.update({name: str(value) for name, value in names.items()})
    os.environ.update({"TMPDIR": str(folder), **task.get("environment", {})})
    tempfile.tempdir = None
    descriptor = os.open(folder / f"stderr-{number}-{rank}", os.O_CREAT | os.O_WRONLY, 0o600)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, 1)
    code = 0
    try:
        out = SCENARIOS[task["scenario"]](task)
        (folder / f"out-{number}-{rank}").write_text(json.dumps(out))
    except LanewiseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = error.exit_code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    sys.stderr.flush()
    os._exit(code)


def launch(task: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """What became of each rank; those that are ``deaf`` are killed when all others have ended."""
    folder = Path(task["folder"])
    if "copies" in task:
        shutil.copytree(folder / task["copies"], folder / task["home"])
    started = time.monotonic()
    left: dict[int, int] = {}
    for rank in range(task["size"]):
        process = os.fork()
        if not process:
            child(task, rank, number)
        left[process] = rank
    found: dict[int, dict[str, Any]] = {}
    while left:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process in left:
            rank = left.pop(process)
            out, err = folder / f"out-{number}-{rank}", folder / f"stderr-{number}-{rank}"
            found[rank] = {
                "code": os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - started,
                "out": json.loads(out.read_text()) if out.exists() else None,
                "stderr": err.read_text(),
            }
        elif set(left.values()) == set(task.get("deaf", ())) or time.monotonic() - started > PATIENCE:
            for hanging in left:
                os.kill(hanging, signal.SIGKILL)
        else:
            time.sleep(0.02)
    return [found[rank] for rank in range(task["size"])]


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(asked: Mapping[str, Any]) -> Any:
    if "torchrun" in asked:
        return warm_torchrun.begin(asked["torchrun"])
    if "ended" in asked:
        return ended(asked["ended"])
    tasks = [{"folder": asked["folder"], **task} for task in asked["tasks"]]
    return [launch(task, number) for number, task in enumerate(tasks)]


if __name__ == "__main__":
    main()
