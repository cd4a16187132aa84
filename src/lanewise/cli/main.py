"""The ``lanewise`` command and how it ends."""

import os
import sys
from typing import NoReturn

import click

from lanewise._version import __version__
from lanewise.cli.data import example
from lanewise.cli.fit import fit, resume
from lanewise.cli.machine import doctor
from lanewise.cli.models import export, predict
from lanewise.cli.runs import report, runs, show
from lanewise.errors import LanewiseError

EPILOG = """
Examples:

\b
  lanewise fit housing.csv --target price --budget 60s
  lanewise fit example:breast-cancer
  lanewise predict last new.csv > predictions.csv
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.version_option(__version__, prog_name="lanewise")
def cli() -> None:
    """Find by evidence how to train a model best: race optimizers and models, keep the one that wins."""


for command in (fit, resume, runs, show, report, predict, export, example, doctor):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; exit 0 done, 1 a negative verdict, 2 wrong input, 3 failure, 130 stopped."""
    # Long runs print to pipes that may close early, and to terminals that lack a letter.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]  # TextIOWrapper only
    sys.exit(_run())


def _run() -> int:
    try:
        return cli.main(standalone_mode=False) or 0
    except BrokenPipeError:
        sys.stdout = None
        return 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except Exception as error:
        if os.environ.get("LANEWISE_DEBUG"):
            raise
        click.echo(f"lanewise: {_one_line(_words(error))}", err=True)
        return error.exit_code if isinstance(error, LanewiseError) else 3


def _words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "memory ran out; use fewer rows, fewer columns or --models linear"
    if isinstance(error, (LanewiseError, OSError)):
        return str(error)
    return f"internal error, {type(error).__name__}: {error} (LANEWISE_DEBUG=1 shows where; please report it)"


def _one_line(text: str) -> str:
    """An error as one line without control characters, whatever a file or column was called."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
