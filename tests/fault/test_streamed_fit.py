"""A table of groups far larger than the memory is fitted, and a fit that is killed ends in the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

DRIVER = Path(__file__).with_name("streamed_driver.py")
ROWS, COLUMNS = 150_000, 24
ROOM = 320 * 2**20
FEW_THREADS = {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""As many on any machine: each has memory of its own, which the limit counts."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits the memory as Linux does")


def test_a_table_larger_than_the_memory_is_fitted_killed_and_gone_on_with(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.integers(-100, 100, size=(COLUMNS, ROWS)).astype(np.float32)
    y = numbers[0] - numbers[1] + 20 * rng.normal(size=ROWS)
    table = pl.DataFrame(
        {f"x{place}": column for place, column in enumerate(numbers)}
        | {"y": y, "who": rng.permuted(np.arange(ROWS) // 3)}
    )
    folder = tmp_path / "table"
    folder.mkdir()
    for place in range(3):
        table[place * ROWS // 3 : (place + 1) * ROWS // 3].write_parquet(folder / f"{place}.parquet")
    command = [sys.executable, str(DRIVER), str(tmp_path), str(folder), str(ROOM)]
    environment = {**os.environ, **FEW_THREADS}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["in_memory"] != 0
    assert (found["streamed"], found["killed"], found["resumed"]) == (0, -9, 0), ran.stderr
    assert found["whole"]["status"] == "done"
    rows = found["whole"]["rows"]
    assert found["whole"]["boosted"] == rows["train"]  # all of them fit where the table does not
    assert rows["train"] == rows["winner"] == ROWS - rows["test"] - rows["set_aside"]
    assert rows["test"] == 400
    assert 0 < rows["set_aside"] <= 800  # each of the 400 has at most two fellows
    assert found["whole"]["test"]["r2"]["value"] > 0.5
    assert found["again"] == found["whole"]
    assert found["whole"]["left"] == []
