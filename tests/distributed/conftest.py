"""The drivers are scripts of their own processes, which find what lies beside them; nothing in them is collected."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
]

DRIVER = Path(__file__).parent / "rank_driver.py"
WITHIN = 400.0

Drive = Callable[[Mapping[str, Mapping[str, Any]], Path], dict[str, list[dict[str, Any]]]]


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


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """Runs named tasks on ranks, in a folder; what each rank of each task said. One driver serves all tests."""
    said = tmp_path_factory.mktemp("driver") / "stderr"
    with said.open("w") as stderr:
        driver = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(tasks: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[dict[str, Any]]]:
        assert driver.stdin is not None
        assert driver.stdout is not None
        if any(task.get("source") == "table" for task in tasks.values()):
            write_table(folder / "table")  # here, for the driver must have no threads
        (folder / "small.csv").write_text(small_table())
        late = threading.Timer(WITHIN, driver.kill)
        late.start()
        try:
            print(json.dumps({"folder": str(folder), "tasks": list(tasks.values())}), file=driver.stdin, flush=True)
            answer = driver.stdout.readline()
        finally:
            late.cancel()
        assert answer, said.read_text()
        return dict(zip(tasks, json.loads(answer), strict=True))

    with driver:
        yield run
        assert driver.stdin is not None
        driver.stdin.close()


@pytest.fixture(scope="session")
def lanes_round_alone() -> None:
    """Skip where lanes round by who is in their stack, which ranks cut otherwise than one process (decision 24)."""
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
    if any(own != curves[0] for own in curves):
        pytest.skip("on this processor a lane rounds by who is in its stack, and ranks cut stacks otherwise")
