"""What ``torch.compile`` brings to a race of ``lanewise.tune`` whose budget is a time.

The plan of the same race is made with compiling and without, in turns. Each measures the steps of this machine and says
how many of them every candidate trains in the budget; what was spent on compiling is missing there. So the ratio of the
two is the gain of the whole race, which is not run. Each plan is made in a process of its own, with no
compiled code of the module on the disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import torch
from architectures import ARCHITECTURES
from turns import ratio

from lanewise.models.compiled import eagerly
from lanewise.models.module import without_batching_rules
from lanewise.tuning import compiling
from lanewise.tuning.racing import decided
from lanewise.tuning.tune import asked

RACED = ("encoder", "gpt", "llama", "gru", "residual-perceptron")

BATCHES = 32
"""Batches that there are to train on."""

CANDIDATES = [{"optimizer": "adamw", "lr": rate} for rate in (3e-4, 1e-3, 3e-3, 1e-2)]


def planned(name: str, budget: str) -> tuple[int, str]:
    """Steps of each candidate in a race of four learning rates, and what its plan says of compiling."""
    own = ARCHITECTURES[name]
    x, y = own.rows()
    given: dict[str, Any] = {"train": (torch.cat([x] * BATCHES), torch.cat([y] * BATCHES)), "valid": (x, y)}
    given |= {"loss": own.loss, "candidates": CANDIDATES, "batch_size": own.batch, "budget": budget}
    posed = asked(own.make, **given)
    with eagerly(), without_batching_rules():
        plan = decided(posed, posed.teams).plan
    words = [words for words in plan.words if "compil" in words]
    return plan.lengths.steps(own.batch), words[0] if words else "torch.compile was not tried"


def apart(name: str, budget: str, *, compiles: bool) -> tuple[int, str]:
    """What a process of its own plans, with no compiled code on the disk."""
    side = "compiled" if compiles else "plain"
    command = [sys.executable, __file__, "--only", name, "--budget", budget, "--side", side]
    with tempfile.TemporaryDirectory() as cache:
        own = {"TORCHINDUCTOR_CACHE_DIR": cache}
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
    steps, words = json.loads(done.stdout.splitlines()[-1])
    return steps, words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="30min", help="of the race, a time (default 30min)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of taking turns (default 3)")
    parser.add_argument("--only", choices=ARCHITECTURES, help="one architecture only")
    parser.add_argument("--side", choices=["plain", "compiled"], help=argparse.SUPPRESS)  # planned in this process
    given = parser.parse_args()
    if given.side:
        if given.side == "plain":
            compiling.LEAST = float("inf")
        print(json.dumps(planned(given.only, given.budget)))
        return 0
    print(f"torch {torch.__version__}, races of {given.budget}, {given.rounds} rounds: steps compiled / as it is\n")
    for name in [given.only] if given.only else RACED:
        steps: dict[bool, list[float]] = {True: [], False: []}
        said = ""
        for turn in range(given.rounds):
            for compiles in (True, False) if turn % 2 == 0 else (False, True):
                count, words = apart(name, given.budget, compiles=compiles)
                steps[compiles].append(count)
                said = words if compiles else said
        print(f"{name}: {ratio(steps[True], steps[False])} as many steps; {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
