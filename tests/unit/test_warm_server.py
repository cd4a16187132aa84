"""The process that runs scripts for all tests: it ends with those who keep it, and serves none who come later."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="listens at an abstract socket")

TESTS = Path(__file__).parents[1]
SERVING = """
import socket, sys
sys.path.insert(0, sys.argv[1])
import warm_server
listener = socket.socket(socket.AF_UNIX)
listener.bind(b"\\0" + sys.argv[2].encode())
listener.listen()
print("listens", flush=True)
warm_server.serve(listener)
"""


def ask(name: str, **request: object) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(b"\0" + name.encode())
    except ConnectionError:
        connection.close()
        raise
    connection.sendall(json.dumps(request).encode() + b"\n")
    assert int(connection.makefile().readline()) > 0
    return connection


def refuses(name: str) -> bool:
    try:
        ask(name).close()
    except ConnectionError:
        return True
    return False


def test_who_comes_after_the_last_has_left_is_refused_while_a_script_still_runs(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys\nprint(sys.stdin.read())\n")
    name, script = f"lanewise-{tmp_path.name}-{time.monotonic_ns()}", str(tmp_path / "script.py")
    own = {"arguments": [], "folder": str(tmp_path), "environment": {}, "stderr": str(tmp_path / "said")}
    server = [sys.executable, "-c", SERVING, str(TESTS), name]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            keeps, other = ask(name), ask(name)
            runs = ask(name, script=script, **own)
            keeps.close()
            ask(name).close()  # one is left
            other.close()
            until = time.monotonic() + 60
            while not refuses(name):
                assert time.monotonic() < until
                time.sleep(0.01)
            assert process.poll() is None
            runs.sendall(b"spoken to")
            runs.shutdown(socket.SHUT_WR)
            assert runs.makefile().read() == "spoken to\n"
            runs.close()
            assert process.wait(60) == 0
        finally:
            process.kill()
