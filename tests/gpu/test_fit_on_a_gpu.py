"""``lanewise fit --device cuda``: the race, the model, kill and resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lanewise
from lanewise.training.planning.measuring import examine

SETTINGS: dict[str, Any] = {"budget": "60steps", "candidates": 4, "folds": 3, "seeds": 1}


def in_a_shell(home: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lanewise", *words],
        env={**os.environ, "LANEWISE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_fit_is_that_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / device))
        found[device] = lanewise.fit("example:breast-cancer", models="mlp,linear,tree", device=device, **SETTINGS)
    there, here = found["cuda"].document, found["cpu"].document
    assert there["hardware"]["device"] == torch.cuda.get_device_name(0)
    scores = [{own["id"]: own["score"] for own in one["race"]["leaderboard"]} for one in (there, here)]
    assert set(scores[0]) & set(scores[1])
    for id in set(scores[0]) & set(scores[1]):
        assert scores[0][id] == pytest.approx(scores[1][id], abs=0.02), id


def test_a_killed_fit_goes_on(tmp_path: Path) -> None:
    words = ["fit", "example:breast-cancer", "--device", "cuda", "--models", "mlp", "--budget", "400steps"]
    words += ["--candidates", "4", "--folds", "3", "--seeds", "1", "--quiet", "--json"]
    whole = in_a_shell(tmp_path / "whole", *words)
    said, error = whole.communicate(timeout=240)
    assert whole.returncode == 0, error
    killed = in_a_shell(tmp_path / "killed", *words)
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(tmp_path.glob("killed/runs/*/plan.json")):
        time.sleep(0.02)
    time.sleep(1.0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = in_a_shell(tmp_path / "killed", "resume", "last", "--quiet", "--json")
    again, error = resumed.communicate(timeout=240)
    if resumed.returncode:  # it had been done when it was killed
        assert "is done" in error, error
        pytest.skip("the fit was done before it was killed")
    one, other = json.loads(said), json.loads(again)
    assert one["winner"] == other["winner"]
    for mine, yours in zip(one["race"]["leaderboard"], other["race"]["leaderboard"], strict=True):
        assert mine["id"] == yours["id"]
        assert mine["score"] == pytest.approx(yours["score"], rel=1e-5)


def test_a_budget_of_time_measures_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    found = lanewise.fit("example:breast-cancer", models="mlp", device="cuda:0", budget="20s", candidates=12)
    assert found.document["hardware"]["device"] == torch.cuda.get_device_name(0)
    seconds = found.document["hardware"]["seconds"]
    print("fit of 20s took", seconds, found.document["hardware"])
    assert np.isfinite(seconds)


def test_doctor_knows_the_gpu() -> None:
    found = examine()
    assert found.gpus[0].name == torch.cuda.get_device_name(0)
    assert found.gpus[0].name in found.words()
    print(found.words())
