"""Set up this checkout and run something in it. Needs nothing but Python 3.11 to 3.13.

    python3 dev.py demo     install into .venv, then race on a real data set
    python3 dev.py setup    install with the development tools
    python3 dev.py test     the same, then run every check

All may be repeated; what is installed already is kept.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SUPPORTED = ((3, 11), (3, 13))
BIN = "Scripts" if os.name == "nt" else "bin"
TEST_PROCESSES = 2
"""Of pytest, one for each core of CI: a third has something to do while tests wait, but collects and loads all anew."""
INSTALLING = (
    "installing into .venv; the first time takes some minutes and 1.5 GB, several more where pip takes PyTorch's build "
    "for GPUs"
)
"""Said first, for pip is silent."""


def python_of_venv() -> Path:
    """The interpreter of .venv, made if it is not there."""
    folder = ROOT / ".venv"
    python = folder / BIN / ("python.exe" if os.name == "nt" else "python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return python


def pip(python: Path, *arguments: str) -> list[str]:
    """A command of the environment's own pip."""
    return [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]


def settings_of_pip(python: Path) -> tuple[list[str], dict[str, str]]:
    """What pip has been told of where packages come from, as uv's options and environment: it reads none of it."""
    listed = subprocess.run(pip(python, "config", "list"), check=True, capture_output=True, text=True, cwd=ROOT).stdout
    # Of pip's sources its environment rules over what is said for `install`, and that over `global`.
    ruling = sorted(listed.splitlines(), key=lambda line: (line.startswith(":env:"), line.startswith("install.")))
    said = {line.partition("=")[0].rpartition(".")[2]: ast.literal_eval(line.partition("=")[2]) for line in ruling}
    own = {"trusted-host": "allow-insecure-host"}
    names = ("index-url", "extra-index-url", "find-links", "constraint", "trusted-host")
    options = [f"--{own.get(name, name)}={value}" for name in names for value in said.get(name, "").split()]
    options += ["--no-index"] if said.get("no-index", "0").lower() in ("1", "true", "yes", "on") else []
    # As pip does: the best version of all indexes, not of the first that has any.
    return [*options, "--index-strategy=unsafe-best-match"], {"SSL_CERT_FILE": said["cert"]} if "cert" in said else {}


def add(python: Path, *packages: str) -> None:
    """Install these, of what is there already nothing: with uv, in half of pip's time, or where it cannot, with pip."""
    uv = python.parent / ("uv.exe" if os.name == "nt" else "uv")
    try:
        if not uv.exists():
            subprocess.run(pip(python, "install", "--quiet", "uv"), check=True, cwd=ROOT, capture_output=True)
        options, environment = settings_of_pip(python)
        command = [str(uv), "pip", "install", "--quiet", "--python", str(python), *options, *packages]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment}, capture_output=True)
    except (subprocess.CalledProcessError, OSError, SyntaxError, ValueError):
        # There is no uv for this platform, or pip has settings that it has not.
        # Bytecode takes pip as long as all the rest, and of two files in three it is never used.
        subprocess.run(pip(python, "install", "--quiet", "--no-compile", *packages), check=True, cwd=ROOT)


def stated() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def install(python: Path, *, development: bool) -> None:
    """Install the package, editable, and for development its tools."""
    about = stated()
    tools = [*about["dependency-groups"]["dev"], *about["project"]["optional-dependencies"]["interop"]]
    add(python, "-e", str(ROOT), *(tools if development else []))


def checks(python: Path) -> list[list[str]]:
    """Every check of the project that runs one after another, cheapest first; the types are checked beside them."""
    tool = python.parent
    return [
        [str(tool / "ruff"), "check", "."],
        [str(tool / "ruff"), "format", "--check", "."],
        [str(tool / "lint-imports")],
        [str(python), "-m", "pytest", "-q", "-n", str(TEST_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"],
    ]


def demo(python: Path) -> int:
    """The main job on real data."""
    print(f"dev.py: {INSTALLING}", flush=True)
    install(python, development=False)
    command = [str(python.parent / "lanewise"), "fit", "example:breast-cancer", "--budget", "60s"]
    running = subprocess.Popen(command, cwd=ROOT)
    try:
        return running.wait()
    finally:
        end(running)


def setup(python: Path) -> int:
    """The package and what its checks need."""
    print(f"dev.py: {INSTALLING}", flush=True)
    install(python, development=True)
    print(f"dev.py: .venv has Lanewise and its development tools; next: python3 dev.py test, or .venv/{BIN}/lanewise")
    return 0


def test(python: Path) -> int:
    """Run all checks; the first that fails ends it."""
    install(python, development=True)
    if shutil.which("chromium") is None:
        print("dev.py: chromium is not installed, so the browser tests will be skipped", flush=True)
    print("dev.py: pyright, beside what follows", flush=True)  # it takes a minute of one core
    with tempfile.TemporaryFile() as said:
        types = subprocess.Popen([str(python.parent / "pyright")], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            for command in checks(python):
                if types.poll():
                    break
                print("dev.py:", Path(command[0]).name, *command[1:], flush=True)
                code = run_beside(types, command)
                if code:
                    end(types, patience=0.0)
                    return code
            code = types.wait()
        finally:
            end(types)
        if code:
            said.seek(0)
            print(said.read().decode(errors="replace"), end="", flush=True)
        return code


def run_beside(types: "subprocess.Popen[bytes]", command: list[str]) -> int:
    """The exit code of a check; 0 where it was ended because the types have turned out to be wrong."""
    # The test processes share the cores; threads inside each product would only wait for each other.
    # Hundreds of processes import the same files: the first leaves its bytecode, whatever the environment asks for.
    settings = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})
    try:
        while running.poll() is None:
            if types.poll():
                end(running, patience=0.0)
                return 0
            time.sleep(0.05)
        return running.returncode
    finally:
        end(running)


def end(running: "subprocess.Popen[bytes]", patience: float = 20.0) -> None:
    """Wait until a process has ended: Ctrl-C has reached it too, and it has things to put in order and to say."""
    try:
        running.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        running.terminate()
        running.wait()


def main() -> int:
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        print(f"dev.py: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    actions = {"demo": demo, "setup": setup, "test": test}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return actions[sys.argv[1]](python_of_venv())
    except KeyboardInterrupt:  # whoever ran last has said what there was to say
        return 130


if __name__ == "__main__":
    sys.exit(main())
