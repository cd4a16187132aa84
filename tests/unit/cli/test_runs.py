"""The list of runs names the store, and tells a state from a winner."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.runs.store import RunStore


def test_the_store_is_named_and_a_state_stands_in_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        run = store.create(command="fit", config={"source": "a.csv", "target": "y"})
    shown = CliRunner().invoke(cli, ["runs"])
    assert shown.exit_code == 0
    assert shown.stderr == "runs in .lanewise\n"
    (line,) = [line for line in shown.stdout.splitlines() if run.id in line]
    assert line.endswith(")")
    assert "  (" in line
    below = tmp_path / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    assert CliRunner().invoke(cli, ["runs"]).stderr == "runs in ../.lanewise\n"
