"""There is one training step: no other place asks for gradients of a loss to train with."""

import ast
from pathlib import Path

import lanewise

SOURCE = Path(lanewise.__file__).parent
ALLOWED = {
    "training/step.py": "the step",
    "training/solver_team.py": "the objective of the solvers",
    "training/planning/mesh_steps.py": "steps on meshes that doctor times and throws away",
    "one_model/measured.py": "one step of a copy that is timed for a mesh, and thrown away",
    "testing/models.py": "the conformance suite compares gradients",
}


def test_backward_is_called_in_the_step_and_nowhere_else() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    found = {
        path.relative_to(SOURCE).as_posix()
        for path, text in texts.items()
        if "backward" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward"
    }
    assert found == set(ALLOWED)
