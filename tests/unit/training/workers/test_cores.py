"""What others leave of a machine."""

import os
from pathlib import Path

import pytest

from lanewise.training.workers import cores as module


@pytest.mark.parametrize(
    ("running", "lately", "idle"), [(1, 0.0, 4), (1, 4.0, 4), (3, 2.0, 2), (3, 0.2, 4), (9, 1.0, 3), (9, 30.0, 0)]
)
def test_cores_are_idle_where_nothing_runs_now_or_little_ran_lately(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, running: int, lately: float, idle: int
) -> None:
    load = tmp_path / "loadavg"
    load.write_text(f"{lately} 0.00 0.00 {running}/500 1234\n")
    monkeypatch.setattr(module, "LOAD", load)
    monkeypatch.setattr(module, "cores", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (lately, 0.0, 0.0))
    assert module.idle_cores() == idle
    load.unlink()
    assert module.idle_cores() == 4
