"""The ``lanewise`` command and how it ends."""

import errno
import gc
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import click

from lanewise._version import __version__
from lanewise.cli.options import Commands, Homes, no_option
from lanewise.cli.started import process_started
from lanewise.cli.wording import in_words_of_the_shell
from lanewise.distributed.place import HEARD_SECONDS, place_of, speaks
from lanewise.errors import LanewiseError, StoreError, UsageError
from lanewise.formatting.plain_text import clean

EPILOG = """
\b
Examples:
  lanewise fit housing.csv --target price --budget 60s
  lanewise fit example:breast-cancer
  lanewise tune mymodel.py:make_model --data mymodel.py:data
  lanewise predict last new.csv > predictions.csv

\b
Exit codes:
  0 done, 1 a negative verdict, 2 something given is not usable,
  3 training or an internal failure, 130 stopped.
"""

HOMES = Homes(
    {
        "fit": "lanewise.cli.fit",
        "tune": "lanewise.cli.tune",
        "find-rate": "lanewise.cli.find",
        "find-batch": "lanewise.cli.find",
        "resume": "lanewise.cli.fit",
        "repeat": "lanewise.cli.repeat",
        "predict": "lanewise.cli.models",
        "show": "lanewise.cli.runs",
        "report": "lanewise.cli.runs",
        "runs": "lanewise.cli.runs",
        "export": "lanewise.cli.models",
        "minimize": "lanewise.cli.solve",
        "compare": "lanewise.cli.solve",
        "example": "lanewise.cli.data",
        "doctor": "lanewise.cli.machine",
        "launch": "lanewise.cli.launch",
        "completion": "lanewise.cli.completion",
    }
)
"""The commands in the order of work, and the module of each."""

SPREAD = ("fit", "tune", "resume")
"""Commands that torchrun may start on several ranks; any other would be done as often as there are ranks."""
EXTRA = re.compile(r"got unexpected extra arguments? \((\S+).*\)$")
"""What click says of a word that belongs to no option."""
LISTS = ("NAMES", "COLUMNS", "UNITS", "LAYERS", "MARKS")
"""What stands in the help for a list of values."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What fails, without a file's name, where standard output goes to a file that takes no more."""


@click.group(
    cls=Commands,
    commands=HOMES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="lanewise")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find by evidence how to train a model best: race optimizers and models, keep the one that wins."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif context.invoked_subcommand not in (*SPREAD, "doctor") and place_of().size > 1:  # doctor decides itself
        message = (
            f"{context.invoked_subcommand} runs in one process, not under torchrun; {', '.join(SPREAD)} can spread"
        )
        raise UsageError(message)


def main() -> NoReturn:
    """Run the command line; exit 0 done, 1 a negative verdict, 2 wrong input, 3 failure, 130 stopped."""
    # Long runs print to pipes that may close early, and to terminals that lack a letter.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]  # TextIOWrapper only
    code = _run()
    gc.freeze()  # the system takes the memory back; looking for cycles in all of it would take most of a second
    sys.exit(code)


def _run() -> int:
    try:
        code = _command()
        _flush()
        return code
    except BrokenPipeError:
        _abandon_stdout()
        return 0
    except (click.Abort, KeyboardInterrupt):
        _tell("lanewise: stopped")
        if threading.active_count() > 1:  # lanes in the middle of a step: what is worth keeping is saved
            os._exit(130)
        return 130
    except click.ClickException as error:
        _fail(f"lanewise: {_usage(error)}")
        return 2
    except Exception as error:
        if os.environ.get("LANEWISE_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error = _unwritten(error)
        _fail(f"lanewise: {_cleaned(error)}", error)
        return error.exit_code if isinstance(error, LanewiseError) else 3


def _fail(line: str, error: Exception | None = None) -> None:
    """Say why this process ends; a rank that does not speak stays until the one that does can have spoken."""
    if _tell(line, error):
        return
    time.sleep(HEARD_SECONDS)
    if isinstance(error, LanewiseError) and sys.argv[1:2] and sys.argv[1] in SPREAD:
        from lanewise.distributed.joining import tell_others

        tell_others(error)  # a file may be missing here alone: the others are there by now, and would wait


def _tell(line: str, error: Exception | None = None) -> bool:
    """One line on stderr; of several ranks, which fail alike, only the first says it, or one of each host.

    Whether this one did.
    """
    said = speaks(error)
    if said:
        click.echo(line, err=True)
    return said


def _command() -> int:
    """Run what the arguments say. Not by click's own main: that ends with 1, a verdict here, on a closed pipe."""
    asked = os.environ.get("_LANEWISE_COMPLETE")
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "lanewise", "_LANEWISE_COMPLETE", asked)
    try:
        with (
            cli.make_context("lanewise", sys.argv[1:], obj=process_started()) as context,
            in_words_of_the_shell(context),
        ):
            cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return 0


def _flush() -> None:
    """Write out what is left now: Python's own flush at exit could only print a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from None


def _unwritten(error: OSError) -> StoreError:
    """Standard output takes no more; says why and what to do."""
    from lanewise.storage.filesystem import store_error

    _abandon_stdout()
    return store_error(error, action="write to", path=Path("standard output"))


def _abandon_stdout() -> None:
    """Let Python's flush at exit go nowhere: whoever read from us is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _usage(error: click.ClickException) -> str:
    """A mistake on the command line in one line, with the help to look at."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption) and context is not None:
        text = no_option(error.option_name, context.command)
    else:
        text = clean(error.format_message()).rstrip(".")
    text = text[:1].lower() + text[1:]
    if isinstance(error, click.MissingParameter) and context is not None:
        text += f": {context.command_path} {' '.join(context.command.collect_usage_pieces(context))}"
    if extra := EXTRA.match(text):
        text += _named(extra[1], context)
    if context is None:
        return text
    return f"{text}{' See' if text.endswith('?') else '; see'}: {context.command_path} --help"


def _named(extra: str, context: click.Context | None) -> str:
    """How to write a word that stands without an option: as the column to predict, or in a list."""
    options = {} if context is None else {name: one.metavar for one in context.command.params for name in one.opts}
    stated = {argument.partition("=")[0] for argument in sys.argv}
    hints = [f"a column to predict is named --target {extra}"] if {"--target"} & {*options} - stated else []
    lists = [name for name, metavar in options.items() if name in stated and metavar in LISTS]
    if lists:
        hints.append(f"the values of {lists[0]} are separated by commas alone, as in {lists[0]} ONE,TWO")
    return f": {'; '.join(hints)}" if hints else ""


def _cleaned(error: Exception) -> str:
    """One line; where several things are off, one for each, beneath a heading."""
    words = _words(error)
    more = error.lines - 1 if isinstance(error, LanewiseError) else 0
    return "\n  ".join(map(clean, words.split("\n  ", more)))


def _words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "memory ran out; use fewer rows, fewer columns or --models linear"
    if isinstance(error, (LanewiseError, OSError)):
        return str(error)
    return f"internal error, {type(error).__name__}: {error} (LANEWISE_DEBUG=1 shows where; please report it)"
