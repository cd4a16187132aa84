"""What lanes of trees cost on this machine: a few are grown for a moment, the others are reckoned from those."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.trials import at_once
from lanewise.training.selecting import columns_read
from lanewise.training.team import Team
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.team import race_spec

TRIAL_SECONDS, OTHERS_SECONDS = 0.1, 0.05
"""How long rounds or trees of the first candidate, and of some others, are grown to see what each takes, of as many as
there are room for."""

OTHERS = 6
"""Candidates beside the first that are timed too: on a small table trees end long before they have the leaves that they
may have, and what a round takes says little of one with other settings."""


@dataclass(frozen=True, kw_only=True)
class TreeCosts:
    """Seconds of a full training by candidate, of what is done ``once`` per fold, and of a ``look`` at a lane."""

    lanes: Mapping[str, float]
    once: float
    look: float


def measured_trees(
    pool: Sequence[Candidate],
    builder: TeamBuilder,
    allowance: Allowance,
    *,
    look: Callable[[Team], float],
    until: float,
) -> TreeCosts:
    """The first of ``pool`` is timed in any case, and others from the least to the most work as far as there is time.

    The rest is reckoned from that whose rounds, or trees, are most like its own. ``look`` times one at a team.
    """
    data, first = builder.data, pool[0]
    rows, columns, outputs = len(data.folds[0].train), data.width.dense, data.width.outputs
    specs = {one.id: race_spec(Lane(candidate=one, fold=0, seed=0)) for one in pool}
    work = {
        one.id: specs[one.id].expected_cost(rows=rows, columns=columns_read(one, columns), outputs=outputs)
        for one in pool
    }
    # One on each worker: alone it would have the memory and the caches for itself.
    teams = builder.form([Lane(candidate=first, fold=0, seed=seed) for seed in range(builder.workers_here)], "trial")
    length = specs[first.id].full_length
    measured = at_once(teams, lambda team: rounds(team, length, allowance, until=until))
    each = statistics.fmean(round for _, round in measured)
    begun = min(first for first, _ in measured)  # charged for every fold: one that had to wait must not decide that
    looked = look(teams[0])
    _drop(teams)
    if length == 1:
        lanes = {id: begun * own / work[first.id] for id, own in work.items()}
        return TreeCosts(lanes=lanes, once=0.0, look=looked)
    each_work = {id: work[id] / spec.full_length for id, spec in specs.items()}
    known = {first.id: each}
    # Of a large table what is reckoned holds, and another fold would be sorted into bins for each of them.
    if each < OTHERS_SECONDS and 2 * begun < allowance.left(until):
        known |= _others(pool, builder, allowance, each_work, until=until)
    lanes = {id: specs[id].full_length * _reckoned(id, known, each_work) for id in specs}
    # Sorting the cells of a fold into bins is done once: all lanes of a worker share them.
    return TreeCosts(lanes=lanes, once=max(begun - each, 0.0), look=looked)


def _others(
    pool: Sequence[Candidate],
    builder: TeamBuilder,
    allowance: Allowance,
    work: Mapping[str, float],
    *,
    until: float,
) -> dict[str, float]:
    """Seconds of a round or tree of some of ``pool`` but its first, spread by their ``work``, by candidate."""
    ordered = sorted(pool[1:], key=lambda one: work[one.id])
    few = [ordered[place * (len(ordered) - 1) // max(OTHERS - 1, 1)] for place in range(min(OTHERS, len(ordered)))]
    spread = list({one.id: one for one in few}.values())
    found: dict[str, float] = {}
    starts = range(0, len(spread), builder.workers_here)
    for start in allowance.within(starts, until=until):
        together = spread[start : start + builder.workers_here]
        lanes = [Lane(candidate=one, fold=0, seed=0) for one in together]
        teams = builder.form(lanes, "trial")
        took = at_once(
            teams, lambda team: rounds(team, team.length, allowance, until=until, most_seconds=OTHERS_SECONDS)
        )
        found |= {one.id: each for one, (_, each) in zip(together, took, strict=True)}
        _drop(teams)
    return found


def _reckoned(id: str, known: Mapping[str, float], work: Mapping[str, float]) -> float:
    """What a round takes, if not ``known`` in proportion to that of the one with the most similar ``work``."""
    like = id if id in known else min(known, key=lambda other: abs(math.log(work[other] / work[id])))
    return known[like] * work[id] / work[like]


def _drop(teams: Sequence[Team]) -> None:
    for team in teams:
        team.keep(())


def rounds(
    team: Team, length: int, allowance: Allowance, *, until: float, most_seconds: float = TRIAL_SECONDS
) -> tuple[float, float]:
    """Seconds of the first round, with all that comes before it, and of each in the latter half of those that follow.

    More and more of them are grown at once, as in a race: one by one, each would carry a request to its worker, and the
    first ones carry what a process that was just forked touches for the first time.
    """
    started = time.perf_counter()
    team.advance(1 / length)
    first = time.perf_counter() - started
    seen, more = [(1, 0.0)], min(1, length - 1)
    while more:
        done, began = seen[-1]
        team.advance((done + more) / length)
        spent = time.perf_counter() - started - first
        seen.append((done + more, spent))
        if spent > most_seconds or 2 * (spent - began) > allowance.left(until):
            break
        more = min(2 * more, length - done - more)
    done, spent = seen[-1]
    before, began = [mark for mark in seen if 2 * mark[0] <= done + 1][-1]
    return first, (spent - began) / max(done - before, 1)
