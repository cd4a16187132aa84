"""A page is shown in the browser, or it is said where it is and that there is none."""

import sys
from pathlib import Path

import pytest

from lanewise.cli import browser

PAGE = Path("report.html")


def opener(folder: Path, monkeypatch: pytest.MonkeyPatch, *, script: str) -> None:
    """Let the opener of Linux be a script of the shell."""
    program = folder / "xdg-open"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "platform", "linux")


def test_where_no_browser_is_found_the_page_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opener(tmp_path, monkeypatch, script="echo 'w3m: not found' >&2; exit 3")
    browser.show_page(PAGE)
    assert capfd.readouterr().err == (
        "no browser was found here: open report.html in one elsewhere, it is a single file and needs no network\n"
    )


def test_a_machine_without_an_opener_has_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    browser.show_page(PAGE)
    assert capfd.readouterr().err.startswith("no browser was found here: open report.html")


@pytest.mark.parametrize("script", ["exit 0", "exec sleep 60"], ids=["done", "at work"])
def test_a_browser_that_is_found_is_nothing_to_talk_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], script: str
) -> None:
    opener(tmp_path, monkeypatch, script=script)
    monkeypatch.setattr(browser, "PATIENCE_SECONDS", 0.2)
    browser.show_page(PAGE)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("code", [0, 127])
def test_elsewhere_the_code_of_the_opener_tells(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("click.launch", lambda page: code)
    browser.show_page(PAGE)
    assert ("no browser" in capfd.readouterr().err) == (code != 0)
