"""Whether a confirmation goes on with the lanes of the screen: where that changes no bit, decided before the race."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.search.policy import Policy, remaining_of
from lanewise.training.apart_team import workers_of
from lanewise.training.divisible import out_of_memory
from lanewise.training.modules.teams import Form, ModuleTeams, Way, all_of, batch_of, form_of
from lanewise.training.planning.plan import GRID
from lanewise.training.workers.side_by_side import threads_per_product

MOST_KEPT = 2**30
"""Bytes of weights that a screen keeps at the most, for the looks of a confirmation."""

WORTH_TRYING = 4000
"""Steps of lanes in a race from which it is tried whether lanes round alike; the trial takes some hundred."""

TRIED_STEPS, TRIED_LENGTH = 2, 20
"""Steps of the trial, and of the training whose first they are."""

COMPANIES = frozenset([1, 2, 3, 5])
"""Numbers of lanes in stacks that are compared with a full one: a confirmation has few."""


def kept_looks(
    rungs: Sequence[float],
    *,
    policy: Policy,
    candidates: Sequence[Candidate],
    entrants: int,
    runs: int,
    steps: int | None,
    teams: ModuleTeams,
) -> tuple[float, ...]:
    """At which fractions of their length a screen with those ``rungs`` keeps its lanes; none where nobody goes on.

    Confirmed lanes go on where each of them was screened: candidates with several ``runs``, over folds or seeds, would
    be in stacks of which some lanes begin later. Copies have their past in other lanes, workers that train apart are
    not taken apart, and ranks would have to exchange what their lanes are. ``entrants`` race, those that enter on the
    way included, for ``steps`` each where that is known; where what they have to keep is too large, or where a lane
    rounds otherwise in other company, all begin at the start.
    """
    apart = any(workers_of(candidate) > 1 for candidate in candidates)
    if not rungs or policy.copies or apart or runs > 1 or teams.ranks > 1:
        return ()
    found = tuple(fraction for fraction in GRID if fraction <= rungs[-1])
    if not found or _bytes_kept(found, rungs, policy, entrants, teams) > MOST_KEPT:
        return ()
    stacked = [way for part in all_of(teams) for way in part.ways.values() if not way.looped]
    small = steps is not None and entrants * steps < WORTH_TRYING
    if stacked and (small or teams.device.type != "cpu"):
        return ()
    return found if all(_rounds_alike(teams, own) for own in _kinds(teams, candidates)) else ()


def _bytes_kept(
    found: Sequence[float], rungs: Sequence[float], policy: Policy, entrants: int, teams: ModuleTeams
) -> int:
    # Beside those that the policy keeps the default stays.
    alive = [entrants, *(min(entrants, left + 1) for left in remaining_of(policy, entrants))]
    rows = sum(alive[sum(rung < fraction for rung in rungs)] for fraction in found)
    layouts = [part.blueprint.layout for part in all_of(teams)]
    widest = max(own.width + sum(part.size for part in own.statistics) for own in layouts)
    return rows * widest * teams.blueprint.dtype.itemsize


def _kinds(teams: ModuleTeams, candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Those that could share a stack."""
    found: dict[tuple[Form, int], list[Candidate]] = {}
    for own in candidates:
        found.setdefault((form_of(own, teams.arguments), batch_of(own)), []).append(own)
    return list(found.values())


def _rounds_alike(teams: ModuleTeams, candidates: Sequence[Candidate]) -> bool:
    """Whether a lane has the same bits after a few steps in every row of a full stack, and in smaller ones.

    Lanes that are trained one by one have. A product of many matrices may depend on where in memory each begins: so a
    stack is filled with one candidate of each rule, and all of its rows must come out the same. Gradients are compared
    beside weights: at a small rate these lose the last bits of a step. Where there is no room for the trial nobody
    goes on.
    """
    part, batch = teams.of(candidates[0]), batch_of(candidates[0])
    way = part.ways[batch]
    if way.looped:
        return True
    # All of them are in one stack, or in one for each worker.
    full = {max(2, min(way.width, -(-len(candidates) // among))) for among in (1, teams.workers)}
    slowest = {
        own.optimizer: own for own in sorted(candidates, key=lambda own: own.number("lr"), reverse=True)
    }.values()
    try:
        with threads_per_product(1):
            return all(_alike_in_any(part, way, own, sorted(full | COMPANIES, reverse=True)) for own in slowest)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False


def _alike_in_any(part: ModuleTeams, way: Way, candidate: Candidate, counts: Sequence[int]) -> bool:
    first: Tensor | None = None
    for count in counts:
        lanes = [Lane(candidate=replace(candidate, id=f"{candidate.id}-{n}"), fold=0, seed=0) for n in range(count)]
        stack = part.stack(lanes, way, length=TRIED_LENGTH)
        stack.advance(TRIED_STEPS / TRIED_LENGTH)
        rows = torch.cat([stack.buffer.rows, stack.buffer.gradients], 1)
        first = rows[0] if first is None else first
        if not all(_same_bits(row, first) for row in rows):
            return False
    return True


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())  # a rate may be so high that numbers are gone at once
