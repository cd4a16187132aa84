"""How commands to go on with are written, so that they run where they are copied to."""

import sys
from pathlib import Path

import pytest

from lanewise.cli.program import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command in an environment below the working directory that is not on the path."""
    path = tmp_path / "a b" / ".venv" / "bin" / "lanewise"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "argv", [str(path), "show"])
    return path


def test_a_command_that_is_not_on_the_path_is_called_as_it_was(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installed.parents[2])
    assert program() == ".venv/bin/lanewise"
    monkeypatch.chdir(installed.parent)
    assert program() == "./lanewise"
    (installed.parent / "other").mkdir()
    monkeypatch.chdir(installed.parent / "other")
    assert program() == f"'{installed}'"


def test_a_command_on_the_path_is_called_by_its_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert program() == "lanewise"


def test_a_module_is_run_by_the_python_that_ran_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = installed.with_name("python")
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", ["/x/lanewise/__main__.py", "show"])
    monkeypatch.chdir(installed.parents[2])
    assert program() == ".venv/bin/python -m lanewise"
    monkeypatch.setenv("PATH", str(installed.parents[1] / "bin"))
    installed.unlink()
    assert program() == "python -m lanewise"


def test_another_module_that_calls_the_command_says_its_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installed.parents[2])
    monkeypatch.setattr(sys, "argv", ["/x/pytest/__main__.py", "show"])
    assert program() == "lanewise"
