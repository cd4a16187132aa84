"""Which format the matrix products of networks have: bfloat16 only where that is clearly faster on this machine."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.measuring import WORTH_IT, has_bfloat16_units
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.trials import TRIAL_STEPS, first_team, trial
from lanewise.training.teams import DTYPES, TeamBuilder

TURNS = 4
"""Trials of each format, one after the other: a neighbour who comes or goes meanwhile slows down both."""


def best_precision(pool: Sequence[Candidate], builder: TeamBuilder, allowance: Allowance, *, until: float) -> str:
    """bfloat16 for the products of networks where it was measured to be clearly faster, else float32.

    A processor without units for it does every such product by way of float32: there nothing is measured, for a busy
    machine may tell anything.
    """
    if not pool or builder.dtype != torch.float32:
        return "float32"
    if not builder.on_gpu(pool[0]) and has_bfloat16_units() is False:
        return "float32"
    lanes = [Lane(candidate=candidate, fold=0, seed=0) for candidate in pool]
    teams = {name: first_team(replace(builder, compute=DTYPES[name]), lanes) for name in ("float32", "bfloat16")}
    turns = [
        {name: trial(team, TRIAL_STEPS) for name, team in teams.items()}
        for _ in allowance.within(range(TURNS), until=until)
    ]
    faster = clearly_faster([turn["bfloat16"] for turn in turns], [turn["float32"] for turn in turns])
    return "bfloat16" if faster else "float32"


def clearly_faster(seconds: Sequence[float], others: Sequence[float]) -> bool:
    """Whether trials took a good deal less than the ``others`` made in turns with them: the fastest, and most of them.

    >>> clearly_faster([1.0, 1.1, 5.0], [2.0, 2.0, 2.0]), clearly_faster([1.0, 3.0, 3.0], [2.0, 2.0, 2.0])
    (True, False)
    """
    if not seconds:
        return False
    gains = [other / own for own, other in zip(seconds, others, strict=True)]
    return min(statistics.median(gains), min(others) / min(seconds)) >= WORTH_IT


def told(plan: Plan) -> Plan:
    """The plan without a precision that nothing in it has: only networks have one."""
    return plan if any(one.model == "mlp" for one in plan.candidates) else replace(plan, precision="float32")
