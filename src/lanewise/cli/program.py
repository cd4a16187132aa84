"""How the program was started, so that commands to go on with can be copied and run."""

import os
import shutil
import sys
from pathlib import Path
from shlex import quote

NAME = "lanewise"


def program() -> str:
    """What to type for ``lanewise`` here: the file that was started where the search path does not have that name.

    So it is in an environment that is not activated. Where the module was run, by Python or torchrun, it is this Python
    with that module.
    """
    started = Path(sys.argv[0])
    if shutil.which(NAME):
        return NAME
    if started.stem == NAME and started.is_file():
        return quote(_near(started))
    return f"{_python()} -m {NAME}" if started.parts[-2:] == (NAME, "__main__.py") else NAME


def _python() -> str:
    """What to type for this Python: its name where the search path has it under that name, else its file."""
    own = Path(sys.executable)
    named = shutil.which(own.name)
    return own.name if named and Path(named) == own else quote(_near(own))


def _near(path: Path) -> str:
    """The path from the working directory where it lies below that, else the whole; links are not followed."""
    whole = Path(os.path.abspath(path))
    if not whole.is_relative_to(Path.cwd()):
        return str(whole)
    below = str(whole.relative_to(Path.cwd()))
    return below if os.sep in below else f".{os.sep}{below}"  # a bare name would be looked for on the search path
