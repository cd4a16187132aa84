"""The list of runs names the store, and tells a state from a winner."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.cli.runs import _from_here
from lanewise.errors import UsageError
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


@pytest.mark.parametrize(("named", "words"), [([], "no run was left unfinished"), (["last"], "run ")])
def test_to_resume_what_is_done_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[str], words: str
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    with RunStore.open() as store:
        run = store.create(command="fit", config={"source": "a.csv", "target": "y"}).id
        store.finish(run, {"target": "y"})
    told = CliRunner().invoke(cli, ["resume", *named])
    assert (told.exit_code, told.stderr) == (0, "")
    (line,) = told.stdout.splitlines()
    assert line.startswith(words)
    assert line.endswith(f"; see it with: lanewise show {run}")
    document = CliRunner().invoke(cli, ["resume", *named, "--json"])
    assert (document.exit_code, json.loads(document.stdout)) == (0, {"target": "y"})
    with RunStore.open() as store:
        failed = store.create(command="fit", config={"source": "a.csv", "target": "y"}).id
        store.fail(failed, "all lanes diverged")
    assert isinstance(CliRunner().invoke(cli, ["resume"]).exception, UsageError), "which is no success"


def test_a_store_on_another_drive_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_drive(path: object) -> str:
        message = "path is on mount 'C:', start on mount 'D:'"
        raise ValueError(message)

    monkeypatch.setattr("os.path.relpath", other_drive)
    assert _from_here(tmp_path) == str(tmp_path)
