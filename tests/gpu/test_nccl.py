"""Ranks that exchange by NCCL: with one GPU there is one of them, whose wrappers must change nothing."""

import json
import subprocess
import sys
from pathlib import Path


def test_wrappers_over_nccl_train_as_without() -> None:
    driver = str(Path(__file__).with_name("nccl_driver.py"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", driver]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert "cuda:nccl" in found["backend"]
    assert len(found["gaps"]) == 9
    assert max(found["gaps"].values()) < 1e-10, found
