"""How the program was started, so that commands to go on with can be copied and run."""

import os
import shutil
import sys
from pathlib import Path
from shlex import quote

NAME = "lanewise"


def program() -> str:
    """What to type for ``lanewise`` here: its name where that is on the path, else how it was started this time.

    That is where the search path does not have it, as in an environment that is not activated.
    """
    if shutil.which(NAME):
        return NAME
    started = Path(sys.argv[0])
    if started.stem == NAME and started.is_file():
        return quote(_near(started))
    if started.parts[-2:] == (NAME, "__main__.py"):
        return f"{quote(_near(Path(sys.executable)))} -m {NAME}"
    return NAME


def _near(path: Path) -> str:
    """The path from the working directory where it lies below that, else the whole; links are not followed."""
    whole = Path(os.path.abspath(path))
    if not whole.is_relative_to(Path.cwd()):
        return str(whole)
    below = str(whole.relative_to(Path.cwd()))
    return below if os.sep in below else f".{os.sep}{below}"  # a bare name would be looked for on the search path
