"""How the program was started, so that commands to go on with can be copied and run."""

import os
import shutil
import sys
from pathlib import Path
from shlex import quote

NAME = "lanewise"


def program() -> str:
    """What to type for ``lanewise`` here: the file that was started where the search path does not have that name.

    So it is in an environment that is not activated. Who runs the module, by Python or torchrun, knows how.
    """
    started = Path(sys.argv[0])
    return quote(_near(started)) if started.stem == NAME and started.is_file() and not shutil.which(NAME) else NAME


def _near(path: Path) -> str:
    """The path from the working directory where it lies below that, else the whole; links are not followed."""
    whole = Path(os.path.abspath(path))
    if not whole.is_relative_to(Path.cwd()):
        return str(whole)
    below = str(whole.relative_to(Path.cwd()))
    return below if os.sep in below else f".{os.sep}{below}"  # a bare name would be looked for on the search path
