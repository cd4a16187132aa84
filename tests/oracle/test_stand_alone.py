"""What the package is checked against knows nothing of it."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ORACLES = sorted(
    [
        *TESTS.rglob("plain_*.py"),
        TESTS.parent / "benchmarks" / "networks.py",
        *(TESTS / "oracle" / f"{name}.py" for name in ("hock_schittkowski", "more_garbow_hillstrom", "nist_models")),
    ]
)


def imported(source: str) -> set[str]:
    """The packages that a module imports, wherever in it; relative imports count as the module's own folder."""
    packages = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add((node.module or ".").partition(".")[0] if not node.level else ".")
    return packages


def test_an_import_anywhere_is_seen() -> None:
    assert imported("def f():\n    from lanewise.optim import Adam\n") == {"lanewise"}
    assert imported("import torch.nn, lanewise as l") == {"torch", "lanewise"}


@pytest.mark.parametrize("path", ORACLES, ids=lambda path: path.stem)
def test_an_oracle_imports_nothing_of_the_package(path: Path) -> None:
    packages = imported(path.read_text(encoding="utf-8"))
    own = {other.stem for other in path.parent.glob("*.py")}
    assert "lanewise" not in packages
    # What it borrows from its neighbours is an oracle as well.
    assert packages & own <= {other.stem for other in ORACLES}
