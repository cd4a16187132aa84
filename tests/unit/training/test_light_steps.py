"""A step loads nothing that it does not need: what torch imports at the first one, every short race would pay for."""

import subprocess
import sys

RACE = """
import torch
rows = torch.randn(40, 3)
target = (rows[:, 0] > 0).long()
lanewise.tune(
    lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)), train=(rows, target),
    valid=(rows, target), loss=torch.nn.CrossEntropyLoss(), candidates=[{"lr": 0.1}, {"lr": 0.2}], budget="20steps",
)
"""

MINIMUM = """
import lanewise
lanewise.minimize(lambda x: ((x - 3) ** 2).sum(), x0=[0.0, 1.0])
"""


def test_gradients_do_not_load_the_algebra_that_torch_compiles_with() -> None:
    told = "\nimport sys\nprint('loaded:', 'sympy' in sys.modules)\n"
    work = MINIMUM + told + RACE + told
    found = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True, timeout=300)
    lines = [line for line in found.stdout.splitlines() if line.startswith("loaded:")]
    assert lines == ["loaded: False"] * 2, found.stderr


def test_a_race_loads_no_scipy() -> None:
    """Its special functions and its optimizers take 0.7 seconds, most of what is told of such a race."""
    work = f"import lanewise, sys\n{RACE}\nprint('loaded:', sorted(name for name in sys.modules if name == 'scipy'))\n"
    found = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.splitlines()[-1] == "loaded: []", found.stderr
