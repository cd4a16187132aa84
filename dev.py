"""Set up this checkout and run something in it. Needs nothing but Python 3.11 to 3.13.

    python3 dev.py demo     install into .venv, then race on a real data set
    python3 dev.py test     install with the development tools, then run every check

Both commands may be repeated; what is installed already is kept.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SUPPORTED = ((3, 11), (3, 13))
BIN = "Scripts" if os.name == "nt" else "bin"


def python_of_venv() -> Path:
    """The interpreter of .venv, made if it is not there."""
    folder = ROOT / ".venv"
    python = folder / BIN / ("python.exe" if os.name == "nt" else "python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return python


def install(python: Path, *, development: bool) -> None:
    """Install the package, editable, and for development its tools and the frameworks its optimizers are tried in."""
    packages = ["-e", f"{ROOT}[interop]" if development else str(ROOT)]
    if development:
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
        packages += groups["dev"]
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True, cwd=ROOT
    )


def checks(python: Path) -> list[list[str]]:
    """Every check of the project, cheapest first."""
    tool = python.parent
    return [
        [str(tool / "ruff"), "check", "."],
        [str(tool / "ruff"), "format", "--check", "."],
        [str(tool / "lint-imports")],
        [str(tool / "pyright")],
        [str(python), "-m", "pytest", "-q", "-n", "2"],
    ]


def demo(python: Path) -> int:
    """The main job on real data."""
    install(python, development=False)
    command = [str(python.parent / "lanewise"), "fit", "example:breast-cancer", "--budget", "60s"]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def test(python: Path) -> int:
    """Run all checks; the first that fails ends it."""
    install(python, development=True)
    if shutil.which("chromium") is None:
        print("dev.py: chromium is not installed, so the browser tests will be skipped", flush=True)
    for command in checks(python):
        print("dev.py:", " ".join(Path(part).name if i == 0 else part for i, part in enumerate(command)), flush=True)
        # Two test processes share the cores; threads inside each product would only wait for each other.
        code = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode
        if code:
            return code
    return 0


def main() -> int:
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        print(f"dev.py: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    actions = {"demo": demo, "test": test}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    return actions[sys.argv[1]](python_of_venv())


if __name__ == "__main__":
    sys.exit(main())
