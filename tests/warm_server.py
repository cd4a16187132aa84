"""Runs scripts, each in a fork of one process that has loaded what they need: fresh processes without their imports.

    python warm_server.py NAME

It listens at NAME, an abstract socket, and goes into the background. Whoever connects sends a line of JSON, and is
answered by the id of a process. That is the server's own where the line asks for nothing: it listens until such
connections have ended, and stays until its forks have. A line with a ``script`` is answered by the fork that runs it,
as the main program, whose standard input and output are the connection.
"""

import gc
import importlib
import json
import os
import runpy
import select
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from main_program import fork_nurseries, open_streams, run_as_main

LOADED = (
    "torch.distributed.checkpoint", "torch.distributed.fsdp", "torch.distributed.pipelining",
    "torch.distributed.run", "torch.distributed.tensor.parallel", "torch._dynamo",
    "click.shell_completion", "importlib.resources.readers", "tomllib",
    "lanewise.resuming", "lanewise.cli.fit", "lanewise.cli.models", "lanewise.cli.runs", "lanewise.cli.solve",
    "lanewise.cli.tune", "lanewise.data.first_look", "lanewise.deploy.onnx_export", "lanewise.distributed.board",
    "lanewise.fitting.experiment", "lanewise.one_model", "lanewise.reporting.comparison", "lanewise.reporting.terminal",
    "lanewise.solvers.comparing", "lanewise.solvers.minimizing", "lanewise.training.planning.mesh_measuring",
    "lanewise.training.ranks.spreading", "lanewise.training.trees.pool", "lanewise.training.workers.team_worker",
    "lanewise.tuning.from_files",
    "optuna", "pydantic.json_schema", "rich.console", "safetensors.torch",
    "scipy.optimize", "scipy.special", "scipy.stats",
    "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection",
)  # fmt: skip
"""What the scripts, and the commands that they run, import when they need it."""
LOOKS_SECONDS = 0.25
"""How often it looks whether forks have ended."""


def load() -> None:
    for name in LOADED:
        importlib.import_module(name)
    from lanewise.data.contract import contract_reader
    from lanewise.deploy.records import record_reader
    from lanewise.models.loaded_alone import load_lightgbm
    from lanewise.reporting import page

    load_lightgbm()
    contract_reader()
    record_reader()
    fork_nurseries()
    environment = page._environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)
    gc.collect()
    gc.freeze()  # it is there to stay: what no search for garbage looks at is not copied by one


def serve(listener: socket.socket) -> None:
    """Answer those of this user until none of them is left who keeps it, and end after the forks."""
    kept: list[socket.socket] = []
    forks: set[int] = set()
    while True:
        for ready in select.select([listener, *kept], [], [], LOOKS_SECONDS)[0]:
            if ready is not listener:  # at its end: nothing more is sent
                kept.remove(ready)
                ready.close()
                continue
            connection, _ = listener.accept()
            if user_of(connection) != os.getuid():  # an abstract socket is open to all users of a machine
                connection.close()
                continue
            asked = json.loads(line_of(connection))
            if not asked:
                kept.append(connection)
                with suppress(BrokenPipeError):  # it may have been killed meanwhile
                    connection.sendall(b"%d\n" % os.getpid())
                continue
            process = os.fork()
            if not process:
                begin(asked, connection)
            forks.add(process)
            connection.close()
        forks -= {process for process in forks if os.waitpid(process, os.WNOHANG)[0]}
        if not kept:
            break
    listener.close()  # tests that begin now are not to meet what was loaded for others
    for process in forks:
        os.waitpid(process, 0)


def user_of(connection: socket.socket) -> int:
    """Whose process is at the other end."""
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return user


def line_of(connection: socket.socket) -> bytes:
    """What is sent up to the end of a line; whoever sends waits for the answer then."""
    line = b""
    while not line.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            return b"{}"
        line += more
    return line


def begin(asked: Mapping[str, Any], connection: socket.socket) -> NoReturn:
    """Run a script as the main program of this process, which was forked."""
    os.setsid()  # at once: who knows the process may send a signal to its group
    error = os.open(asked["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, opened in enumerate((connection.fileno(), connection.fileno(), error)):
        os.dup2(opened, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    open_streams()
    os.chdir(asked["folder"])
    script = asked["script"]
    sys.argv = [script, *asked["arguments"]]
    sys.path[0] = str(Path(script).parent)

    def run() -> None:
        print(os.getpid(), flush=True)  # now signals find what they would in a new interpreter
        runpy.run_path(script, run_name="__main__")

    run_as_main(asked["environment"], run)


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(b"\0" + sys.argv[1].encode())
    listener.listen()
    if os.fork():
        return  # whoever began it need not wait for it
    os.setsid()
    load()
    serve(listener)


if __name__ == "__main__":
    main()
