"""One plan for all ranks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lanewise.distributed.fitting import divisors
from lanewise.distributed.ranks import Ranks
from lanewise.training.planning.plan import Plan
from lanewise.training.workers.cores import cores

T = TypeVar("T")

MOST_WORKERS = 8
"""Workers beyond which a process gains little, where their number is not stated."""


def workers_here(stated: int | None, ranks: Ranks) -> int:
    """Workers of this rank: as stated, else its share of the cores of its host."""
    return stated or max(1, min(cores() // ranks.place.local_size, MOST_WORKERS))


@dataclass(frozen=True, kw_only=True)
class Idle:
    """``ranks`` that have nothing to do in a ``phase`` of ``lanes`` lanes, were they all along lane."""

    ranks: int
    phase: str
    lanes: int

    @property
    def groups(self) -> int:
        """How many groups of ranks could share batches, each with a lane of its own."""
        return max(divisor for divisor in divisors(self.ranks) if divisor <= max(self.lanes, 1))

    @property
    def degree(self) -> int:
        """How many ranks would share a batch then."""
        return self.ranks // self.groups


def idle_of(plan: Plan, ranks: int) -> Idle | None:
    """Where a race has fewer lanes than there are ranks; None: nowhere."""
    lanes, phase = _fewest(plan)
    return Idle(ranks=ranks, phase=phase, lanes=lanes) if lanes < ranks else None


def _fewest(plan: Plan) -> tuple[int, str]:
    """The fewest lanes that there are at once, and when."""
    confirmed = min(len(plan.candidates), sum(plan.confirm.values())) if plan.rungs else len(plan.candidates)
    lanes = confirmed * plan.folds * len(plan.seeds)
    return min([(lanes, "confirmation"), *([(len(plan.candidates), "screen")] if plan.rungs else [])])


def why_lanes(plan: Plan, ranks: int, *, shares: str | None = None, gpus: bool = False) -> str:
    """Why ``ranks`` that no mesh was stated for are all along lane, and what to ask for where some would be idle.

    ``shares`` says what was measured of that: see :func:`~lanewise.training.ranks.sharing.sharing_words`. It decides
    nothing: a mesh decides how sums round, so the default must not depend on the clock. On ``gpus`` no batch is shared.
    """
    idle = idle_of(plan, ranks)
    if idle is None:
        return (
            f"mesh lane={ranks}: {_fewest(plan)[0]:,} lanes or more are split over {ranks} ranks, which tell each "
            "other nothing during a step"
        )
    other = ",".join([*([f"lane={idle.groups}"] if idle.groups > 1 else []), f"data={idle.degree}"])
    free = ranks - idle.lanes
    said = (
        f"mesh lane={ranks}, but the {idle.phase} has {idle.lanes} lane{'s' if idle.lanes > 1 else ''}, so that "
        f"{'1 rank is' if free == 1 else f'{free} ranks are'} idle then"
    )
    if gpus:
        return f"{said}; {idle.lanes} would do, for ranks share batches on processors only"
    words = shares or (
        "which pays where the gradient of a batch takes longer than its exchange (lanewise doctor --mesh measures both)"
    )
    return f"{said}; --mesh {other} shares batches, {words}"


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
