"""The drivers are scripts of their own processes, which find what lies beside them; nothing in them is collected."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import lanewise

collect_ignore = [
    "rank_driver.py",
    "train_driver.py",
    "averaging_scenarios.py",
    "data_scenarios.py",
    "tune_scenarios.py",
    "mesh_scenarios.py",
    "warm_torchrun.py",
]

DRIVER = Path(__file__).parent / "rank_driver.py"
WITHIN = 400.0


def write_table(folder: Path) -> None:
    """A table of several files with numbers, levels and missing cells, for tasks whose source is ``table``."""
    draw = np.random.default_rng(0)
    numbers, level = draw.normal(size=(4, 900)), draw.choice(["low", "mid", "high"], 900)
    y = numbers[0] - numbers[1] + (level == "high") + 0.5 * draw.normal(size=900) > 0
    frame = pl.DataFrame({f"x{place}": column for place, column in enumerate(numbers)})
    frame = frame.with_columns(pl.when(pl.col("x3") < 1).then("x3"), level=pl.Series(level), y=pl.Series(y))
    folder.mkdir()
    for start in range(0, 900, 300):
        frame[start : start + 300].write_parquet(folder / f"{start}.parquet")


def small_table() -> str:
    """Text of a small table of three classes, for tasks whose source is ``small.csv``: it needs no scikit-learn."""
    cells = np.random.default_rng(0).normal(size=(150, 6))
    classes = np.array(["low", "mid", "high"])[cells[:, :3].argmax(axis=1)]
    rows = [",".join([*(f"{cell:.3f}" for cell in row), own]) for row, own in zip(cells, classes, strict=True)]
    return "\n".join(["a,b,c,d,e,f,y", *rows]) + "\n"


class Job:
    """A launcher that is a fork of the driver; it is used as ``subprocess.Popen`` is."""

    def __init__(self, driver: "Driver", process: int, out: Path, err: Path) -> None:
        self.pid, self.returncode = process, cast("int | None", None)
        self._driver, self._out, self._err = driver, out, err

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._driver.ask({"ended": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it and its ranks said, at its end."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < until, self._err.read_text()
            time.sleep(0.05)
        return self._out.read_text(), self._err.read_text()


class Driver:
    """A process that has loaded everything, whose forks are ranks, or the launchers of ranks."""

    def __init__(self, warm: Any, said: Path) -> None:
        self._said = said
        self._process = warm(DRIVER, said=said, environment={**os.environ, "OMP_NUM_THREADS": "1"})

    def __call__(self, tasks: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[dict[str, Any]]]:
        """Runs named tasks on ranks, in a folder; what each rank of each task said."""
        if any(task.get("source") == "table" for task in tasks.values()):
            write_table(folder / "table")  # here, for the driver must have no threads
        (folder / "small.csv").write_text(small_table())
        found = self.ask({"folder": str(folder), "tasks": list(tasks.values())})
        return dict(zip(tasks, found, strict=True))

    def torchrun(
        self,
        *arguments: str,
        folder: Path,
        variables: Mapping[str, str],
        namespace: str = "",
    ) -> Job:
        """Begin ``torchrun`` in a folder, on the host that a network namespace stands for."""
        number = len(list(folder.glob("launcher-*")))
        out, err = (folder / f"launcher-{number}-{name}" for name in ("out", "err"))
        for file in (out, err):
            file.touch()
        request = {"arguments": arguments, "folder": str(folder), "variables": dict(variables), "namespace": namespace}
        request |= {"out": str(out), "err": str(err)}
        return Job(self, self.ask({"torchrun": request}), out, err)

    def ask(self, request: Mapping[str, Any]) -> Any:
        late = threading.Timer(WITHIN, lambda: os.kill(self._process.pid, signal.SIGKILL))
        late.start()
        try:
            self._process.tell(request)
            answer = self._process.stdout.readline()
        finally:
            late.cancel()
        assert answer, self._said.read_text()
        return json.loads(answer)

    def close(self) -> None:
        self._process.rest()


@pytest.fixture(scope="session")
def drive(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Runs tasks on ranks, and launchers. One driver serves all tests."""
    driver = Driver(warm, tmp_path_factory.mktemp("driver") / "stderr")
    yield driver
    driver.close()


@pytest.fixture(scope="session")
def rounds_by_company() -> bool:
    """Whether lanes round by who is in their stack on this processor (decision 24)."""
    X = torch.randn(240, 5, generator=torch.Generator().manual_seed(0))
    y = (X[:, 0] > X[:, 1]).long()
    curves = []
    for count, seeds in ((1, 1), (12, 1), (2, 2)):
        found = lanewise.tune(
            lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)),
            train=(X, y),
            valid=(X[:120], y[:120]),
            loss=nn.CrossEntropyLoss(),
            candidates=[{"optimizer": "sgd", "lr": 0.1 / (1 + place)} for place in range(count)],
            policy="never",
            budget="40steps",
            workers=1,
            seeds=seeds,
        )
        (first,) = (own for own in found.document["race"]["curves"] if own["lane"] == 0)
        curves.append((first["valid"], first["train"]))
    return any(own != curves[0] for own in curves)


@pytest.fixture(scope="session")
def lanes_round_alone(rounds_by_company: bool) -> None:
    """Skip where lanes round by who is in their stack, which ranks cut otherwise than one process."""
    if rounds_by_company:
        pytest.skip("on this processor a lane rounds by who is in its stack, and ranks cut stacks otherwise")
