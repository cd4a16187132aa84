"""In which precision the products of a race are taken: as asked, or as is faster here."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.training.modules.teams import Form, ModuleTeams, batch_of, everywhere, form_of
from lanewise.training.planning.measuring import WORTH_IT
from lanewise.training.planning.plan import Plan
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.planning import timed

Precision = Literal["float32", "bfloat16", "float16", "auto"]

PRECISIONS: Final = ("float32", "bfloat16", "float16", "auto")

KINDS = 4
"""Kinds of stacks, at most, that are measured to tell which precision is faster."""


def check_precision(precision: str, device: torch.device | None) -> None:
    """Raise ``UsageError`` for a precision that there is not, or not on that device; None: nobody knows which."""
    if precision not in PRECISIONS:
        message = f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}"
        raise UsageError(message)
    if precision == "float16" and device is not None and device.type == "cpu":
        message = (
            "precision float16 is for GPUs, where products in it are fast; on the processor use bfloat16, or auto to "
            "have measured which is faster"
        )
        raise UsageError(message)


def check_casts(precision: str, teams: ModuleTeams) -> None:
    """Raise ``UsageError`` where products of the modules of ``teams`` cannot be rounded to ``precision``."""
    if precision in ("bfloat16", "float16"):
        for own in (teams, *teams.others.values()):
            if own.blueprint.dtype != torch.float32:
                dtype = str(own.blueprint.dtype).removeprefix("torch.")
                message = (
                    f"precision {precision} rounds the products of a module whose weights are float32, and this one's "
                    f"are {dtype}; convert it with .float(), or leave precision out"
                )
                raise UsageError(message)


def autocast_of(plan: Plan, teams: ModuleTeams) -> torch.dtype | None:
    """The dtype that products are rounded to by the plan; None: that of the weights."""
    found = getattr(torch, plan.precision)
    return None if found == teams.blueprint.dtype else found


def in_precision(
    precision: str,
    teams: ModuleTeams,
    candidates: Sequence[Candidate],
    *,
    with_ways: Callable[[ModuleTeams], ModuleTeams],
) -> tuple[ModuleTeams, tuple[str, ...]]:
    """The teams with how their lanes are run in ``precision``, and what the plan has to say of it.

    With ``auto`` a step is timed in float32 and in bfloat16, which is taken where it is clearly faster. ``with_ways``
    finds out how lanes of teams are run.
    """
    if precision == "float32" or (precision == "auto" and teams.blueprint.dtype != torch.float32):
        return with_ways(teams), ()
    if precision != "auto":
        return with_ways(everywhere(teams, autocast=getattr(torch, precision))), (_words(precision),)
    plain = with_ways(teams)
    try:
        low = with_ways(everywhere(teams, autocast=torch.bfloat16))
    except UsageError:  # in float32 it could be trained, and nobody asked for bfloat16
        return plain, ("the module cannot be trained under torch.autocast in bfloat16: all is float32",)
    seconds = {"float32": float("inf"), "bfloat16": float("inf")}
    for _ in range(2):  # in turns, so that a neighbour who comes or goes meanwhile slows down both
        for name, own in (("float32", plain), ("bfloat16", low)):
            seconds[name] = min(seconds[name], _seconds(own, candidates))
    ratio = seconds["float32"] / seconds["bfloat16"]
    if ratio >= WORTH_IT:
        return low, (f"a step in bfloat16 is {ratio:.2g} times as fast as in float32: {_words('bfloat16')}",)
    if ratio >= 1:
        said = f"a step in bfloat16 is {ratio:.2g} times as fast as in float32, and its rounding is worth {WORTH_IT:g}"
    else:
        said = f"a step in bfloat16 takes {1 / ratio:.2g} times as long as in float32"
    return plain, (f"{said}: all is float32",)


def _words(precision: str) -> str:
    scaled = ", with a loss scale for each lane" if precision == "float16" else ""
    return f"products of training are {precision} (torch.autocast), weights and optimizer state float32{scaled}"


def _seconds(teams: ModuleTeams, candidates: Sequence[Candidate]) -> float:
    """Seconds of a step of one stack of each kind of candidates, of the most frequent kinds."""
    kinds: dict[tuple[Form, int], list[Candidate]] = {}
    for own in candidates:
        kinds.setdefault((form_of(own, teams.arguments), batch_of(own)), []).append(own)
    frequent = sorted(kinds.items(), key=lambda kind: -len(kind[1]))[:KINDS]
    with threads_per_product(1):
        return sum(
            timed(own, teams.of(own[0]), batch, min(teams.of(own[0]).ways[batch].width, len(own)))[0]
            for (_, batch), own in frequent
        )
