"""Show a page in the browser, if there is one."""

import subprocess
import sys
from pathlib import Path

import click

PATIENCE_SECONDS = 3.0
"""So long the opener of Linux may take to say that it found no browser; one that is still at work has found one."""


def show_page(page: Path) -> None:
    """Open ``page``; where no browser is found say so on stderr: the page is written all the same."""
    if not _opened(page.absolute()):
        message = f"no browser was found here: open {page} in one elsewhere, it is a single file and needs no network"
        click.echo(message, err=True)


def _opened(page: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return click.launch(str(page)) == 0
    # Not by click: it does not wait, so that its return value says nothing and the opener's words reach the terminal.
    try:
        opener = subprocess.Popen(["xdg-open", str(page)], stderr=subprocess.DEVNULL)
    except OSError:
        return False
    try:
        return opener.wait(PATIENCE_SECONDS) == 0
    except subprocess.TimeoutExpired:
        opener.returncode = 0  # it is left to itself: Python would warn of a child that outlives its handle
        return True
