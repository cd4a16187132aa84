"""One plan for all ranks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lanewise.distributed.ranks import Ranks
from lanewise.training.planning.measuring import cores
from lanewise.training.planning.plan import Plan

T = TypeVar("T")

MOST_WORKERS = 8
"""Workers beyond which a process gains little, where their number is not stated."""


def workers_here(stated: int | None, ranks: Ranks) -> int:
    """Workers of this rank: as stated, else its share of the cores of its host."""
    return stated or max(1, min(cores() // ranks.place.local_size, MOST_WORKERS))


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
