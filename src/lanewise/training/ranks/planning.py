"""One plan for all ranks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lanewise.distributed.fitting import divisors
from lanewise.distributed.ranks import Ranks
from lanewise.training.planning.measuring import cores
from lanewise.training.planning.plan import Plan

T = TypeVar("T")

MOST_WORKERS = 8
"""Workers beyond which a process gains little, where their number is not stated."""


def workers_here(stated: int | None, ranks: Ranks) -> int:
    """Workers of this rank: as stated, else its share of the cores of its host."""
    return stated or max(1, min(cores() // ranks.place.local_size, MOST_WORKERS))


def why_lanes(plan: Plan, ranks: int) -> str:
    """Why ``ranks`` that no mesh was stated for are all along lane, and what to ask for where some would be idle.

    Nothing is measured: a mesh decides how sums round, so the default must not depend on the clock.
    """
    confirmed = min(len(plan.candidates), sum(plan.confirm.values())) if plan.rungs else len(plan.candidates)
    lanes = confirmed * plan.folds * len(plan.seeds)
    fewest, phase = min([(lanes, "confirmation"), *([(len(plan.candidates), "screen")] if plan.rungs else [])])
    if fewest >= ranks:
        return (
            f"mesh lane={ranks}: {fewest:,} lanes or more are split over {ranks} ranks, which tell each other nothing "
            "during a step"
        )
    groups = max(divisor for divisor in divisors(ranks) if divisor <= max(fewest, 1))
    other = ",".join([*([f"lane={groups}"] if groups > 1 else []), f"data={ranks // groups}"])
    idle = "1 rank is idle" if ranks - fewest == 1 else f"{ranks - fewest} ranks are idle"
    return (
        f"mesh lane={ranks}, but the {phase} has {fewest} lane{'s' if fewest > 1 else ''}, so that {idle} then; "
        f"--mesh {other} shares batches, which pays where the gradient of a batch takes longer than its exchange "
        "(lanewise doctor --mesh measures both)"
    )


def shared_plan(ranks: Ranks, file: Path | None, make: Callable[[Path | None], Plan]) -> tuple[Plan, bool]:
    """The plan of rank 0, and whether it was there before, as :func:`shared`."""
    return shared(ranks, file, make, said=Plan.to_json, heard=Plan.from_json)


def shared(
    ranks: Ranks,
    file: Path | None,
    make: Callable[[Path | None], T],
    *,
    said: Callable[[T], Any],
    heard: Callable[[Any], T],
) -> tuple[T, bool]:
    """What rank 0 has decided, and whether that was there before; that rank alone reads ``file``, or writes it.

    ``make`` is given the file. What is not there yet is decided on all ranks at once, so that what rank 0 measures
    is what things cost while the others work as well. ``said`` gives it as JSON has it, ``heard`` reads that.
    """
    there = file is not None and file.exists()
    if ranks.size == 1:
        return make(file), there
    known = ranks.broadcast(b"known" if there else b"")
    own = b""
    if ranks.leads:
        own = json.dumps(said(make(file))).encode()
    elif not known:
        make(None)
    return heard(json.loads(ranks.broadcast(own))), bool(known)
