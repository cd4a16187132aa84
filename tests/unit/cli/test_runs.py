"""The list of runs names the store, and tells a state from a winner."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.cli.runs import _from_here
from lanewise.runs.store import RunStore


def test_a_store_elsewhere_is_named_and_a_state_is_in_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        run = store.create(command="fit", config={"source": "a.csv", "target": "y"})
    shown = CliRunner().invoke(cli, ["runs"])
    assert shown.exit_code == 0
    assert shown.stderr == ""
    (line,) = [line for line in shown.stdout.splitlines() if run.id in line]
    assert line.endswith(")")
    assert "  (" in line
    below = tmp_path / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    assert CliRunner().invoke(cli, ["runs"]).stderr == "runs in ../.lanewise\n"


def test_where_more_runs_are_it_is_told_how_to_see_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        for name in ("a.csv", "b.csv"):
            store.create(command="fit", config={"source": name, "target": "y"})
    shown = CliRunner().invoke(cli, ["runs", "--limit", "1"])
    assert shown.stderr.startswith("runs in .lanewise; the newest 1 of 2; all: ")


def test_a_store_on_another_drive_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_drive(path: object) -> str:
        message = "path is on mount 'C:', start on mount 'D:'"
        raise ValueError(message)

    monkeypatch.setattr("os.path.relpath", other_drive)
    assert _from_here(tmp_path) == str(tmp_path)
