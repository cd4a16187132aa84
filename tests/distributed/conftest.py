"""The drivers are scripts of their own processes, which find what lies beside them; nothing in them is collected."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["rank_driver.py", "train_driver.py", "data_scenarios.py", "averaging_scenarios.py"]

DRIVER = Path(__file__).parent / "rank_driver.py"

Drive = Callable[[Mapping[str, Mapping[str, Any]], Path], dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="session")
def drive() -> Drive:
    """Runs named tasks on ranks, all in one launch, in a folder; what each rank of each task said."""

    def run(tasks: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[dict[str, Any]]]:
        ran = subprocess.run(
            [sys.executable, str(DRIVER), json.dumps([{"folder": str(folder), **task} for task in tasks.values()])],
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert ran.returncode == 0, ran.stderr
        return dict(zip(tasks, json.loads(ran.stdout), strict=True))

    return run
