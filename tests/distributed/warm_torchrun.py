"""``torchrun`` itself, in a fork of a process that has loaded torch and lanewise; its ranks are forks of that fork.

The agent, the rendezvous, the restarts and the signals are those of ``torch.distributed.run``. Only where it would
execute a new interpreter for a rank, it forks one that runs the same script or module with the same variables.
"""

import ctypes
import gc
import os
import runpy
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from torch.distributed import run  # noqa: TID251 what torchrun is
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler  # noqa: TID251 as above
from torch.distributed.elastic.rendezvous import dynamic_rendezvous  # noqa: TID251 as above

sys.path.append(str(Path(__file__).parents[1]))  # where it lies, if the server has not loaded it
from main_program import Forked, run_as_main

CLONE_NEWNET = 0x40000000
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What the agent handles, and a new interpreter does not."""


def rank(arguments: Sequence[str], variables: Mapping[str, str], stdout: Any, stderr: Any) -> Forked:
    """What the agent takes for a process of a rank."""
    assert stdout is stderr is None  # ranks write where the agent does
    return Forked(lambda: as_new(variables, lambda: interpreted(arguments)))


def begin(asked: Mapping[str, Any]) -> int:
    """Fork a launcher with ``arguments`` in a ``folder``, with ``variables``, in a network ``namespace`` or none."""
    process = os.fork()
    if process:
        return process
    for number, name in enumerate(("/dev/null", asked["out"], asked["err"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["folder"])
    if asked["namespace"]:
        with Path("/run/netns", asked["namespace"]).open() as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), asked["namespace"])
    subprocess_handler.SubprocessHandler._popen = lambda own, args, env: rank(args, env, own._stdout, own._stderr)
    # For the name of a method in each note of a log the agent looks through all modules there are: here thousands.
    dynamic_rendezvous.get_method_name = lambda depth=2: sys._getframe(depth).f_code.co_name
    sys.argv = ["torchrun", *asked["arguments"]]
    as_new(asked["variables"], run.main)


def interpreted(arguments: Sequence[str]) -> None:
    """What a new interpreter does with its arguments: ``python -u -m MODULE ...`` or ``python -u SCRIPT ...``."""
    _, _, *given = arguments
    named = given[0] == "-m"
    sys.argv = given[named:]
    if named:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent))
        runpy.run_path(sys.argv[0], run_name="__main__")


def as_new(variables: Mapping[str, str], act: Callable[[], object]) -> NoReturn:
    """Act as the main program of this process, which was forked, and end it as an interpreter ends."""
    os.setsid()  # at once: who knows the process may send a signal to its group
    gc.freeze()  # what the parent has made is not to be cleaned up here
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    warnings.simplefilter("ignore")
    if {"RANK", "RANKS"} <= variables.keys():  # a test looks for it
        Path(variables["RANKS"], f"{variables['RANK']}-{os.getpid()}").touch()
    run_as_main(variables, act)
