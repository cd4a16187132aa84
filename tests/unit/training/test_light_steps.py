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
lanewise.minimize(lambda x: ((x - 3) ** 2).sum(), x0=[0.0, 1.0])
"""


def test_what_is_not_needed_is_not_loaded() -> None:
    """A race does without SciPy, whose special functions and optimizers take 0.7 seconds, most of what it takes itself.

    Neither its gradients nor those of a minimum load the algebra that torch compiles with.
    """
    told = "\nprint('loaded:', [name for name in ('scipy', 'sympy') if name in sys.modules])\n"
    work = f"import lanewise, sys\n{RACE}{told}{MINIMUM}{told}"
    found = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True, timeout=300)
    after_the_race, after_the_minimum = (line for line in found.stdout.splitlines() if line.startswith("loaded:"))
    assert after_the_race == "loaded: []", found.stderr
    assert "sympy" not in after_the_minimum, found.stderr
