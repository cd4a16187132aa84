"""The plan of a tuning race: how long each candidate trains, decided before the first step that counts."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.search.policy import Policy, remaining_of, rungs_of
from lanewise.search.registry import policy_name
from lanewise.training.apart_team import workers_of
from lanewise.training.modules.seats import may_fork
from lanewise.training.modules.teams import Form, ModuleTeams, batch_of, form_of
from lanewise.training.planning.plan import GRID, Lengths, Plan
from lanewise.training.recorded_step import WORTH_RECORDING
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.going_on import kept_looks

SHORTEST = 20
"""Steps below which a training says nothing."""

ALLOTTED = 0.7
"""Share of what is left of a budget in seconds that is planned with."""

LEAST_LEFT = 0.25
"""Share of a budget in seconds that is there for a race however much was used before: it overruns, and says so."""

NAMED_SECONDS = 0.1
"""Seconds that were used before the plan from which on a refusal speaks of them."""

KEPT = 0.75
"""Share of its speed that a process is trusted to keep beside others: they share caches, memory and the clock."""

BATCHES = 3
"""In how many batches candidates are proposed."""

MEASURED_STEPS = 9
"""Of which the fastest third is taken: the first are slow, and a busy machine disturbs others."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a race is to do, and what it may cost: ``steps`` of each training or ``seconds`` for all.

    ``proposed`` counts candidates that enter on the way, beside those that are known. Where nobody said how many are
    raced, a budget that has no room for all has them begin with ``fewest`` of the candidates; None: all race. With
    ``early`` candidates are judged where they were best.
    """

    candidates: tuple[Candidate, ...]
    policy: Policy
    seeds: tuple[int, ...]
    workers: int
    folds: int = 1
    steps: int | None = None
    seconds: float | None = None
    proposed: int = 0
    fewest: int | None = None
    early: bool = False

    @property
    def again(self) -> bool:
        """Whether the winner is trained once more after the race: on all rows, or up to where it was best."""
        return self.folds > 1 or self.early

    @property
    def entrants(self) -> int:
        return len(self.candidates) + self.proposed

    def kept_looks(self, teams: ModuleTeams) -> tuple[float, ...]:
        """At which fractions of their length the screen keeps its lanes, for a confirmation that goes on with them."""
        return kept_looks(
            _looks(self)[0],
            policy=self.policy,
            candidates=self.candidates,
            entrants=self.entrants,
            runs=self.folds * len(self.seeds),
            steps=self.steps,
            teams=teams,
        )


class NoRoom(UsageError):
    """A budget in seconds has no room for all candidates, but for ``share`` of the shortest trainings of each."""

    share: float = 0.0


def plan_with_room(wanted: Wanted, teams: ModuleTeams, *, used: Callable[[], float]) -> tuple[Plan, tuple[float, ...]]:
    """The plan, with fewer candidates where all are too many and that is allowed, and the looks that keep their lanes.

    ``used`` says how many seconds of the budget are gone by now. Raises as :func:`plan_race`.
    """
    drawn = wanted.entrants
    while True:
        kept = wanted.kept_looks(teams)
        try:
            plan = plan_race(wanted, teams, goes_on=bool(kept), used=used())
        except NoRoom as error:
            if wanted.fewest is None or wanted.entrants <= wanted.fewest:
                raise
            left = max(wanted.fewest, min(int(error.share * wanted.entrants), wanted.entrants - 1))
            wanted = replace(wanted, candidates=wanted.candidates[:left])
            continue
        if wanted.entrants == drawn:
            return plan, kept
        said = (
            f"of the {drawn} candidates that are drawn where nobody says how many, the first {wanted.entrants} are "
            f"raced: the budget has no room for {SHORTEST} steps of each"
        )
        return replace(plan, words=(plan.words[0], said, *plan.words[1:])), kept


def plan_race(wanted: Wanted, teams: ModuleTeams, *, goes_on: bool = False, used: float = 0.0) -> Plan:
    """The plan. With a budget in steps no clock is read; with one in seconds the speed of a step is measured now.

    Of a budget in seconds so many are ``used`` already, by loading the program and trying the module.

    ``steps`` are those of the default; candidates of another batch size see as many rows. Where the confirmation
    ``goes_on`` with the lanes of the screen it has only the rest to train. Raises ``UsageError`` where the budget is
    too small.
    """
    rungs, left = _looks(wanted)
    confirmed = left[-1] if left else wanted.entrants
    if wanted.proposed and not rungs:
        message = (
            f"a Bayesian search learns from the first look of the policy, and {policy_name(wanted.policy)} looks at "
            f"nobody among {wanted.entrants} candidates on the way; give another policy, or more candidates"
        )
        raise UsageError(message)
    batch = batch_of(wanted.candidates[0])
    words = _ways_in_words(wanted.candidates, teams)
    if wanted.steps is not None:
        rows, predicted = wanted.steps * batch, 0.0
    else:
        stretches = _in_batches(_stretches(wanted.entrants, rungs, left, wanted.seeds), wanted)
        if goes_on:
            stretches[-1] = stretches[-1][0], 1.0 - rungs[-1]
        rows, predicted, per_step = _affordable(wanted, teams, _in_full(stretches, wanted), used=used)
        words.append(
            f"measured: {1e3 * per_step:.3g} ms for one step of all candidates that are still racing, on average"
        )
    made = Lengths(rows_seen=rows)
    length = _length_in_words(made.steps(batch), wanted.candidates)
    words.insert(0, f"{wanted.entrants} candidates, {length}, policy {policy_name(wanted.policy)}")
    if wanted.proposed:
        words.insert(1, f"{len(wanted.candidates)} of them cover the space, the others enter by what those before show")
    return Plan(
        candidates=wanted.candidates,
        rungs=rungs,
        confirm={wanted.candidates[0].model: confirmed},
        folds=wanted.folds,
        seeds=wanted.seeds,
        lengths=made,
        workers=wanted.workers,
        costs=_costs(wanted.candidates, teams, made),
        precision=str(teams.autocast or teams.blueprint.dtype).removeprefix("torch."),
        grid=GRID,
        predicted_seconds=predicted,
        words=tuple(words),
    )


def _affordable(
    wanted: Wanted, teams: ModuleTeams, stretches: Sequence[tuple[int, float]], *, used: float
) -> tuple[int, float, float]:
    """Rows that a budget in seconds has for each training, seconds of the race, and of a step of all in it.

    Raises :class:`NoRoom` where they are too few.
    """
    assert wanted.seconds is not None
    batch = batch_of(wanted.candidates[0])
    per_row, fixed = _measured(wanted, teams, stretches)
    left_over = max(wanted.seconds - used, LEAST_LEFT * wanted.seconds)
    rows = max(0, int((ALLOTTED * left_over - fixed) / per_row))
    if rows < SHORTEST * batch:
        needed = min(used, (1 - LEAST_LEFT) * wanted.seconds) + (per_row * SHORTEST * batch + fixed) / ALLOTTED
        spent = f", of which {used:.1f} s are used already," if used >= NAMED_SECONDS else ""
        message = (
            f"a budget of {wanted.seconds:g} s{spent} allows {rows // batch} steps for each of "
            f"{wanted.entrants} candidates, and {SHORTEST} are the least that says anything; give at least "
            f"{math.ceil(needed)}s, or fewer candidates"
        )
        refused = NoRoom(message)
        refused.share = rows / (SHORTEST * batch)
        raise refused
    return rows, per_row * rows + fixed, per_row * batch


def check_steps(steps: int) -> None:
    """``UsageError`` where a training of so few steps says nothing."""
    if steps < SHORTEST:
        message = f"a budget of {steps} steps says nothing; give at least {SHORTEST}steps for each training"
        raise UsageError(message)


def _looks(wanted: Wanted) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The rungs of the race and how many go on after each.

    Who is left after the last is trained from the start again, with all seeds on all folds; only a race of one fold and
    seed goes on from there, and is looked at like the others all the same. So where few are left, a rung saves nothing:
    what it costs to get to it would confirm those that it drops. Where the policy allows it, the race has the fewest of
    its rungs, and so confirms the most, of all numbers of them that cost no more than all do.
    """
    rungs, left = rungs_of(wanted.policy, wanted.entrants), remaining_of(wanted.policy, wanted.entrants)
    if not wanted.policy.ends_early:
        return rungs, left

    def cost(looks: int) -> float:
        stretches = _stretches(wanted.entrants, rungs[:looks], left[:looks], wanted.seeds)
        return sum(lanes * share for lanes, share in _in_full(stretches, wanted))

    least = min(1 if wanted.proposed else 0, len(rungs))
    looks = next(count for count in range(least, len(rungs) + 1) if cost(count) <= cost(len(rungs)))
    return rungs[:looks], left[:looks]


def priced(plan: Plan, teams: ModuleTeams) -> Plan:
    """The plan with the costs of all its candidates, those that entered on the way included."""
    return replace(plan, costs=_costs(plan.candidates, teams, plan.lengths))


def _costs(candidates: Sequence[Candidate], teams: ModuleTeams, made: Lengths) -> dict[str, float]:
    return {own.id: _cost(own, teams, made) for own in candidates}


def _length_in_words(steps: int, candidates: Sequence[Candidate]) -> str:
    """How long each trains, in ``steps`` of the first's batches: all see as many rows."""
    first, *others = map(batch_of, candidates)
    if all(own == first for own in others):
        return f"{steps:,} steps each"
    return f"{steps:,} steps of {first:,} rows each, or as many rows in other batches"


def _ways_in_words(candidates: Sequence[Candidate], teams: ModuleTeams) -> list[str]:
    """How lanes are run, by batch size, and of how many models where others of that size are run otherwise."""
    sizes: dict[str, set[int]] = {}
    models: dict[str, set[Form]] = {}
    for candidate in candidates:
        size = batch_of(candidate)
        words = teams.of(candidate).ways[size].words
        sizes.setdefault(words, set()).add(size)
        models.setdefault(words, set()).add(form_of(candidate, teams.arguments))
    said, all_models = list[str](), set[Form]().union(*models.values())
    for words, own in sizes.items():
        shared = any(own & theirs for other, theirs in sizes.items() if other != words)
        of = f", {len(models[words])} of {len(all_models)} models" if shared else ""
        said.append(f"batch size{'s' * (len(own) > 1)} {', '.join(map(str, sorted(own)))}{of}: {words}")
    return said


def _cost(candidate: Candidate, teams: ModuleTeams, made: Lengths) -> float:
    """Of equally good ones the cheaper wins: fewer steps over the same rows, in a model of no more weights."""
    weights, usual = teams.of(candidate).blueprint.layout.width, teams.blueprint.layout.width
    return made.steps(batch_of(candidate)) * (weights / usual)


def _stretches(
    candidates: int, rungs: Sequence[float], left: Sequence[int], seeds: Sequence[int]
) -> list[tuple[int, float]]:
    """How many lanes train over which share of the full length, one stretch after another.

    ``left`` go on after each rung, and the default.
    """
    found, alive, before = [], candidates, 0.0
    for rung, after in zip(rungs, left, strict=True):
        found.append((alive, rung - before))
        before, alive = rung, min(candidates, after + 1)
    return [*found, (alive * len(seeds), 1.0)]


def _in_batches(stretches: Sequence[tuple[int, float]], wanted: Wanted) -> list[tuple[int, float]]:
    """The first stretch batch after batch, where candidates enter on the way."""
    (_, share), *others = stretches
    if not wanted.proposed:
        return list(stretches)
    entering = [(batch, share) for batch in batches(wanted.proposed) if batch]
    return [(len(wanted.candidates), share), *entering, *others]


def batches(count: int) -> list[int]:
    """How many of ``count`` candidates are proposed in each batch.

    >>> batches(11)
    [3, 4, 4]
    """
    found = []
    for left in range(BATCHES, 0, -1):
        found.append((count - sum(found)) // left)
    return found


def _in_full(stretches: Sequence[tuple[int, float]], wanted: Wanted) -> list[tuple[int, float]]:
    """The last stretch on every fold, and after it the winner where it is trained once more."""
    *screened, (confirmed, share) = stretches
    return [*screened, (confirmed * wanted.folds, share), *([(1, 1.0)] if wanted.again else [])]


def _measured(wanted: Wanted, teams: ModuleTeams, stretches: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds per row that a full training has, for all stretches together, and seconds that all looks take.

    Measured in one process with one thread, and counted for as many as there are ranks, and workers where stacks can
    have processes of their own; threads are not counted on, for they wait for each other in Python.
    A stack of few lanes costs more per lane than a full one, so each stretch is measured at its own width.
    """
    together = teams.ranks * (teams.workers_here if may_fork(teams) else 1)
    per_row, look = 0.0, 0.0
    kinds: dict[tuple[Form, int, int], list[Candidate]] = {}
    for candidate in wanted.candidates:
        kind = form_of(candidate, teams.arguments), batch_of(candidate), workers_of(candidate)
        kinds.setdefault(kind, []).append(candidate)
    with threads_per_product(1):
        for (form, batch, _), own in kinds.items():
            part, known = teams.others.get(form, teams), dict[int, float]()
            for lanes, share in stretches:
                mine = max(1, round(lanes * len(own) / len(wanted.candidates)))
                width = min(part.ways[batch].width, -(-mine // together))
                if width not in known:
                    known[width], seen = timed(own, part, batch, width)
                    look = max(look, seen)
                rounds = -(-mine // (width * together)) / (KEPT if together > 1 else 1.0)
                per_row += known[width] / batch * rounds * share
    looks = len(wanted.candidates) * (len(GRID) * len(wanted.seeds) * wanted.folds)
    return per_row, look * looks


def timed(own: Sequence[Candidate], teams: ModuleTeams, batch: int, width: int) -> tuple[float, float]:
    """Seconds of a step of one stack of ``width`` lanes, and of a look at one of them."""
    lanes = [Lane(candidate=own[place % len(own)], fold=0, seed=place // len(own)) for place in range(width)]
    # On a GPU a step is recorded after the first few, where enough are to come.
    count = MEASURED_STEPS if teams.device.type == "cpu" else 2 * WORTH_RECORDING
    stack = teams.team(lanes, teams.ways[batch], length=count)
    times = sorted(_seconds(lambda step=step: stack.advance(step / count)) for step in range(1, count + 1))
    _seconds(stack.evidence)
    return times[count // 3], _seconds(stack.evidence) / width


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
