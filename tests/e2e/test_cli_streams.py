"""Terminals, pipes, signals: what happens around the command line."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
in_a_fork = pytest.mark.skipif(sys.platform != "linux", reason="a process with threads is forked only on Linux")

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
LONG = ("--models", "linear", "--optimizers", "adam", "--budget", "600steps", "--candidates", "2", "--folds", "2",
        "--seeds", "1", "--workers", "1", "--json")  # fmt: skip


@in_a_fork
def test_a_reader_that_leaves_early_is_no_error(cli, folder, finished):
    many = folder / "many.csv"
    lines = finished["table"].read_text().splitlines(keepends=True)
    many.write_text(lines[0] + "".join(lines[1:]) * 200)
    for arguments in (["--help"], ["runs"], ["show", "--json"]):
        process = subprocess.Popen(
            cli.command(*arguments),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=cli.variables(home=finished["home"]),
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b"", arguments
        process.stderr.close()
        assert process.wait() == 0, arguments
    for arguments in (["example", "digits"], ["predict", "last", str(many)]):
        streams = {**files(folder), "out": "nobody"}
        cli.begin(*arguments, folder=folder, streams=streams, home=finished["home"])
        assert (cli.end(), streams["err"].read_text()) == (0, ""), arguments


def files(folder: Path) -> dict[str, Path]:
    """Empty files for the streams of a command."""
    streams = {key: folder / key for key in ("stdin", "out", "err")}
    for path in streams.values():
        path.write_bytes(b"")
    return streams


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(cli, folder, finished):
    for arguments in (["show"], ["predict", "last", "good.csv"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                cli.command(*arguments),
                cwd=folder,
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
                env=cli.variables(home=finished["home"]),
            )
        assert done.returncode == 3
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert b"the disk is full; free some space" in done.stderr


def test_color_follows_the_variables(cli, folder, finished):
    plain = cli("show", folder=folder, home=finished["home"])
    forced = cli("show", folder=folder, home=finished["home"], FORCE_COLOR="1")
    assert "\x1b" not in plain.out
    assert "\x1b[1m" in forced.out
    assert ESCAPE.sub("", forced.out) == plain.out
    for variables in ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}):
        assert cli("show", folder=folder, home=finished["home"], **variables).out == plain.out


def test_columns_sets_the_width(cli, folder, finished):
    narrow = cli("show", folder=folder, home=finished["home"], COLUMNS="50").out
    prose = [line for line in narrow.splitlines() if "lanewise " not in line and "report.html" not in line]
    assert max(map(len, prose)) <= 50
    wide = cli("show", folder=folder, home=finished["home"], COLUMNS="100").out
    assert len(wide.splitlines()) < len(narrow.splitlines())


def on_terminal(cli, folder: Path, *arguments: str, home: Path | None = None, **variables: str) -> str:
    """What a command writes to a terminal, escapes included."""
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "out", "err"), os.ttyname(theirs))
    process = cli.begin(*arguments, folder=folder, streams=streams, home=home, **variables)
    seen = b""
    while Path(f"/proc/{process}").exists():  # the other end stays open here, so there is no end to read up to
        seen += read(ours, 0.1)
    while last := read(ours, 0.0):
        seen += last
    os.close(ours)
    os.close(theirs)
    assert cli.end() == 0, seen.decode()
    return seen.decode()


def read(terminal: int, seconds: float) -> bytes:
    """What has been written to a terminal within some seconds."""
    ready, _, _ = select.select([terminal], [], [], seconds)
    return os.read(terminal, 65536) if ready else b""


@in_a_fork
def test_a_terminal_gets_a_live_line_and_a_ci_log_gets_lines(cli, folder, quick):
    arguments = ("fit", "good.csv", "--target", "y", *quick)
    live = on_terminal(cli, folder, *arguments, TERM="xterm")
    assert "\x1b[2K" in live
    assert "\x1b[1m" in live
    logged = on_terminal(cli, folder, *arguments, TERM="xterm", CI="true", NO_COLOR="1")
    assert "\x1b" not in logged
    assert "confirm" in logged


@in_a_fork
def test_predictions_do_not_steer_a_terminal_and_go_elsewhere_as_they_are(cli, folder, hostile):
    arguments = ("predict", "last", str(hostile["table"]))
    piped = cli(*arguments, folder=folder, home=hostile["home"])
    assert hostile["label"] in piped.out
    shown = on_terminal(cli, folder, *arguments, home=hostile["home"], TERM="xterm")
    visible = piped.out.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
    assert shown.replace("\r\n", "\n") == visible + piped.err


def interrupt(cli, folder: Path, number: int, *arguments: str) -> tuple[int, str, str]:
    """Start a command, send it a signal once its race goes on, and see how it ends."""
    streams = files(folder)
    process = cli.begin(*arguments, folder=folder, streams=streams, home=folder / "home")
    while "confirm" not in streams["err"].read_text(errors="replace") and Path(f"/proc/{process}").exists():
        time.sleep(0.02)
    time.sleep(0.1)
    with suppress(ProcessLookupError):  # it ended before it trained
        os.killpg(process, number)  # a terminal sends Ctrl-C to every process of the group
    code = cli.end()
    return code, streams["out"].read_text(), streams["err"].read_text()


STOPPED = re.compile(r"lanewise: stopped; go on with: lanewise resume (\S+)\n$")


@in_a_fork
def test_sigterm_ends_like_ctrl_c_and_the_store_says_so(cli, folder):
    code, out, err = interrupt(cli, folder, signal.SIGTERM, "fit", "good.csv", "--target", "y", *LONG)
    assert (code, out) == (130, ""), err
    run = STOPPED.search(err)
    assert run, err
    assert "interrupted" in cli("runs", folder=folder, home=folder / "home").out
    refused = cli("predict", "last", "good.csv", folder=folder, home=folder / "home")
    assert refused.code == 2
    assert f"lanewise resume {run[1]}" in refused.err
    shown = cli("show", folder=folder, home=folder / "home")
    assert (shown.code, shown.err) == (0, "")
    assert f"lanewise resume {run[1]}" in shown.out


@in_a_fork
def test_a_run_stopped_by_ctrl_c_goes_on_elsewhere_and_ends_in_the_same_bits(cli, folder):
    arguments = ("fit", "good.csv", "--target", "y", *LONG)
    code, out, err = interrupt(cli, folder, signal.SIGINT, *arguments)
    assert (code, out) == (130, ""), err
    run = STOPPED.search(err)
    assert run, err
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    resumed = cli("resume", run[1], "--json", "--quiet", folder=elsewhere, home=folder / "home")
    assert resumed.code == 0, resumed.err
    straight = cli(*arguments, "--quiet", folder=folder, home=folder / "home")
    assert resumed.document["model_sha256"] == straight.document["model_sha256"]
    assert resumed.document["test"] == straight.document["test"]
