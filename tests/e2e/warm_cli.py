"""Runs command lines, each in a fork of one process that has the heavy imports done already.

The command line itself imports them only where a command needs them: they are named here one by one.

A child is a process of its own with its own streams, session and exit code; only the seconds of importing torch are
shared. A request is a line of JSON; it is answered by the id of the child and, at its end, by its exit code.
"""

import json
import os
import signal
import sys
from typing import Any

import lightgbm  # noqa: F401 - a child finds it loaded
import scipy.stats  # noqa: F401 - as above
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection  # noqa: F401 - as above

import lanewise.again
import lanewise.deploy.onnx_export
import lanewise.experiment
import lanewise.reporting.comparison
import lanewise.reporting.terminal
import lanewise.solvers.comparing
import lanewise.solvers.minimizing
import lanewise.tuning  # noqa: F401 - as above
from lanewise.cli import main

PATIENCE = 120  # seconds; a child that hangs ends with SIGALRM and fails its test


def child(request: dict[str, Any]) -> int:
    signal.alarm(PATIENCE)
    os.setsid()
    os.chdir(request["folder"])
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, key, flags in ((0, "stdin", os.O_RDONLY), (1, "out", write), (2, "err", write)):
        opened = os.open(request[key], flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.update(request["environment"])
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
