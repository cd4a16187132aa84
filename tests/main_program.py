"""A fork of a process that has loaded much, as a new interpreter would be: what ``warm_server.py`` makes of one."""

import atexit
import multiprocessing.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn


def run_as_main(variables: Mapping[str, str], act: Callable[[], object]) -> NoReturn:
    """Act as the main program of this process, which was forked and leads a session, and end it as an interpreter."""
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # the environment may say another
    code = 0
    try:
        act()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
