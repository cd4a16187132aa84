"""What sets a checkout up and runs its checks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dev
import pytest

ROOT = Path(dev.__file__).parent
SLOW_TO_END = """
import pathlib, sys, time
own = pathlib.Path({folder!r}) / pathlib.Path(sys.argv[0]).name
try:
    own.with_suffix(".began").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.2 if own.name == "check" else 1.0)
    own.with_suffix(".ended").touch()
"""
INTERRUPTED = """
import sys, pathlib
sys.path.insert(0, {root!r})
import dev
folder = pathlib.Path({folder!r})
dev.install = lambda *_, **__: None
dev.python_of_venv = lambda: folder / "python"
dev.checks = lambda python: [[str(folder / "check")]]
sys.argv = ["dev.py", "test"]
sys.exit(dev.main())
"""


def test_uv_gets_the_sources_that_pip_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://one.invalid/simple\nextra-index-url = a b\ncert = /ca.pem\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.invalid/simple")  # rules over the file
    options, environment = dev.settings_of_pip(Path(sys.executable))
    assert "--index-url=https://own.invalid/simple" in options
    assert not any("one.invalid" in option for option in options)
    assert [one for one in options if one.startswith("--extra-index-url")] == [
        "--extra-index-url=a",
        "--extra-index-url=b",
    ]
    assert "--no-index" not in options
    assert environment == {"SSL_CERT_FILE": "/ca.pem"}
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "--no-index" in dev.settings_of_pip(Path(sys.executable))[0]


def test_setup_says_what_it_makes_and_what_comes_next(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(dev, "install", lambda *_, **__: print("installed"))
    assert dev.setup(Path(sys.executable)) == 0
    before, installed, after = capsys.readouterr().out.splitlines()
    assert "installing into .venv" in before
    assert installed == "installed"
    assert "; next: python3 dev.py test, or .venv/" in after


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_after_ctrl_c_nothing_that_was_started_still_runs(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(f"#!{sys.executable}\n{SLOW_TO_END.format(folder=str(tmp_path))}")
    tool.chmod(0o700)
    for name in ("pyright", "check"):
        (tmp_path / name).symlink_to(tool)
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(root=str(ROOT), folder=str(tmp_path))], start_new_session=True
    )
    while len(list(tmp_path.glob("*.began"))) < 2:
        assert running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    assert running.wait() == 130
    assert sorted(one.stem for one in tmp_path.glob("*.ended")) == ["check", "pyright"]
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
