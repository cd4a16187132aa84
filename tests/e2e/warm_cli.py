"""Runs command lines, each in a fork of this process, for which ``warm_server.py`` has done the heavy imports.

A child is a process of its own with its own streams, session and exit code; only the seconds of importing torch are
shared. A request is a line of JSON; it is answered by the id of the child and, at its end, by its exit code.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from lanewise.cli import main

sys.path.append(str(Path(__file__).parents[1]))  # where it lies, if the server has not loaded it
from main_program import open_streams

# A fit takes one thread where no workers are stated: for steps this small a second one takes the interpreter's lock
# from the first, and other tests have the other core.
if hasattr(os, "sched_getaffinity"):
    os.sched_getaffinity = lambda pid: {0}

PATIENCE = 120  # seconds; a child that hangs ends with SIGALRM and fails its test
NOBODY = "nobody"
"""In place of a file: a pipe that nobody reads any more."""


def child(request: dict[str, Any]) -> int:
    signal.alarm(PATIENCE)
    os.setsid()
    os.chdir(request["folder"])
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY
    for number, key, flags in ((0, "stdin", os.O_RDONLY | os.O_NOCTTY), (1, "out", write), (2, "err", write)):
        opened = unread() if request[key] == NOBODY else os.open(request[key], flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    open_streams()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # the environment may say another
    sys.argv = ["lanewise", *request["arguments"]]
    code = 99
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if sys.stdout is not None:
        sys.stdout.flush()
    sys.stderr.flush()
    return code


def unread() -> int:
    """The end to write to of a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    return write


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            code = 98
            try:
                code = child(request)
            finally:
                os._exit(code)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
