"""A disk that fills up during a fit: one line, exit 3, and once there is space the run goes on to its end."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import lanewise
from lanewise.runs.store import RunStore
from lanewise.storage.checkpoints import Checkpoints

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "target": "y",
    "models": "lightgbm,mlp,linear",
    "budget": "300steps",
    "candidates": 2,
    "folds": 2,
    "seeds": 1,
    "workers": 1,
}


@pytest.mark.parametrize("small_disk", [4], indirect=True)
def test_full_disk_is_one_line_and_resume_finishes_though_a_checkpoint_is_damaged(
    small_disk: Path, tmp_path: Path, forked: Any, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [part for name, value in SETTINGS.items() for part in (f"--{name}", str(value))]
    forked.begin("fit", str(table), *options, "--quiet", said=tmp_path / "said", LANEWISE_HOME=str(small_disk))
    code, said = forked.end(), (tmp_path / "said").read_text()
    assert code == 3, said
    assert said.count("\n") == 1
    assert "the disk is full; free some space and go on with: lanewise resume 2" in said
    assert said.endswith("or let LANEWISE_HOME name a folder on another disk and start again\n")
    with RunStore(small_disk) as store:
        run = store.get("last")
        assert run.status in ("failed", "interrupted")
    with suppress(OSError), (small_disk / "rest").open("wb") as file:
        while file.write(bytes(4096)):
            file.flush()
    with RunStore(small_disk, to_read=True) as store:  # as `lanewise runs` does
        assert store.get("last").id == run.id
    (small_disk / "rest").unlink(missing_ok=True)
    saved = list(run.checkpoints.iterdir())
    assert saved
    for team in saved:
        kept = Checkpoints(team).latest()
        assert kept is None or kept.skipped == ()
    assert list(small_disk.rglob("*.part")) == []
    damaged = max(next(team for team in saved if any(team.glob("step-*/*.safetensors"))).glob("step-*/*.safetensors"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    monkeypatch.setenv("LANEWISE_HOME", str(small_disk))
    resumed = lanewise.resume("last")
    with RunStore(small_disk) as store:
        (event,) = store.events(run.id)
    assert event.kind == "checkpoint_passed_over"
    assert "does not match its checksum" in event.payload["why"]
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "other"))
    whole = lanewise.fit(str(table), **SETTINGS)
    assert resumed.run == run.id
    assert resumed.document["model_sha256"] == whole.document["model_sha256"]
    assert resumed.document["test"] == whole.document["test"]
