"""Who is confirmed after a screen, and on how many folds and seeds, decided once more with the time that is then left.

A plan is made before anything is trained: it cannot know who survives, and a wide network costs twenty times what a
narrow one does. So the process that made a plan for a budget in seconds amends it once: between screen and
confirmation, or without a screen when the folds and seeds that it had room for are trained. The amended plan is kept;
whoever resumes or repeats the run reads it, and never the clock.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lanewise.data.wording import counted
from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.training.planning.plan import Plan, lonely_cost
from lanewise.training.watching.trace import Trace

MOST_CONFIRMED = {"lightgbm": 5, "mlp": 5, "linear": 3, "forest": 3, "tree": 1}
"""Candidates of a family beyond which confirming more gains little."""

REFITTED, LEAST_REFITTED = 0.5, 2
"""Share of the confirmed candidates that is trained once more, the winner and the default or an ensemble; and how many
at least."""

SLOWEST, FASTEST = 4.0, 0.5
"""Bounds of what a screen tells of costs: short trainings carry what is paid once, and the machine's moods."""


ROOM = 0.85
"""Share of the time that is left that more folds and seeds may fill: what is left of a race is known now, but for the
machine's moods."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Ids of those that are confirmed, on the first ``folds``, with ``seeds``."""

    confirmed: tuple[str, ...]
    folds: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Amending:
    """Amends a plan when ``left()`` wall seconds are left for confirmation and refit; ``keep`` stores the result.

    ``agreed`` is told what this process would confirm and says what all that race together do; ``tell`` is told in
    words what has changed.
    """

    left: Callable[[], float]
    agreed: Callable[[Confirmation], Confirmation]
    keep: Callable[[Plan], None]
    tell: Callable[[str], object] = str

    def __call__(
        self, plan: Plan, ordered: Sequence[Candidate], last: Sequence[Candidate], slowness: Mapping[str, float]
    ) -> Plan:
        """The plan with those named that are confirmed, of the candidates ``ordered`` by what the screen showed.

        ``last`` are those whom only its last rung has dropped, in their order. ``slowness`` is what the lanes of each
        family took, as a multiple of what the plan had thought.
        """
        own = self.agreed(confirmation(plan, ordered, last, slowness=slowness, seconds=self.left()))
        amended = replace(plan, confirmed=own.confirmed, folds=own.folds, seeds=own.seeds)
        return self._kept(plan, replace(amended, thought_of=len(best_of_families(plan, ordered))))

    def longer(self, plan: Plan, traces: Iterable[Trace], *, seconds: float) -> Plan:
        """The plan on more folds and seeds, where there was no screen and ``seconds`` went by for those it had."""
        own = self.agreed(extension(plan, traces, took=seconds, seconds=self.left()))
        if (own.folds, own.seeds) == (plan.folds, plan.seeds):
            return plan
        amended = replace(plan, folds=own.folds, seeds=own.seeds, begun=(plan.folds, len(plan.seeds)))
        return self._kept(plan, amended)

    def _kept(self, thought: Plan, plan: Plan) -> Plan:
        words = amended_words(thought, plan)
        plan = replace(plan, amended=tuple(words))
        self.keep(plan)
        for line in words:
            self.tell(line)
        return plan


def confirmation(
    plan: Plan,
    ordered: Sequence[Candidate],
    last: Sequence[Candidate] = (),
    *,
    slowness: Mapping[str, float],
    seconds: float,
) -> Confirmation:
    """Who is confirmed in ``seconds`` of wall time as :func:`confirmable` says, on more folds and seeds if they fit.

    Folds that the plan had no room for come before candidates that it had not thought of, and seeds after them.
    """
    known = {one.id: one for one in (*ordered, *last)}

    def fits(more: Plan, ids: Sequence[str]) -> bool:
        costs = {id: _seconds_of_lane(more, known[id], slowness) for id in ids}
        return wall_seconds(more, [known[id] for id in ids], costs) <= ROOM * seconds

    thought = confirmable(plan, ordered, slowness=slowness, seconds=seconds, most=plan.confirm)
    folds = range(plan.parts, plan.folds, -1)
    plan = next((more for more in (replace(plan, folds=count) for count in folds) if fits(more, thought)), plan)
    ids = confirmable(plan, ordered, last, slowness=slowness, seconds=seconds)
    seeds = (plan.wished_seeds[:count] for count in range(len(plan.wished_seeds), len(plan.seeds), -1))
    plan = next((more for more in (replace(plan, seeds=own) for own in seeds) if fits(more, ids)), plan)
    return Confirmation(confirmed=ids, folds=plan.folds, seeds=plan.seeds)


def confirmable(
    plan: Plan,
    ordered: Sequence[Candidate],
    last: Sequence[Candidate] = (),
    *,
    slowness: Mapping[str, float],
    seconds: float,
    most: Mapping[str, int] = MOST_CONFIRMED,
) -> tuple[str, ...]:
    """Ids of those that can be confirmed and refitted in ``seconds`` of wall time, by what the screen showed.

    The default and the best candidate go whatever they cost. After them the best of every family that fits, then the
    next best ones, as many as the plan thought of, and with time left over the ``most`` that are worth it. With what is
    left then it is the same with the ``last``.
    """
    everyone = (*ordered, *last)
    costs = {one.id: _seconds_of_lane(plan, one, slowness) for one in everyone}
    taken = [one for one in ordered if one.is_default or one is ordered[0]]
    families = dict.fromkeys((one.model for one in everyone), 1)
    for among, wanted in itertools.product((ordered, last), (families, plan.confirm, most)):
        for one in among:
            own = sum(other.model == one.model and not other.is_default for other in taken)
            if one in taken or own >= wanted.get(one.model, 0):
                continue
            if wall_seconds(plan, [*taken, one], costs) <= seconds:
                taken.append(one)
    return tuple(one.id for one in everyone if one in taken)


def best_of_families(plan: Plan, ordered: Iterable[Candidate]) -> list[Candidate]:
    """The best of each family, as many as the plan confirms, and the default."""
    taken: dict[str, int] = {}
    found = []
    for candidate in ordered:
        if candidate.is_default:
            found.append(candidate)
        elif taken.get(candidate.model, 0) < plan.confirm.get(candidate.model, 0):
            taken[candidate.model] = taken.get(candidate.model, 0) + 1
            found.append(candidate)
    return found


def extension(plan: Plan, traces: Iterable[Trace], *, took: float, seconds: float) -> Confirmation:
    """The folds and seeds that a confirmation without a screen has in ``seconds`` of wall time, its refit included.

    Those that it began with ``took`` so long, which says what others take; the refit is reckoned as that of those whose
    lanes took longest, one after another. Folds come before seeds.
    """
    lanes = plan.folds * len(plan.seeds)
    spent: dict[str, float] = {}
    for trace in traces:
        spent[trace.lane.candidate.id] = spent.get(trace.lane.candidate.id, 0.0) + trace.seconds
    refitted = max(LEAST_REFITTED, round(REFITTED * len(spent)))
    dearest = sum(sorted(spent.values())[-refitted:]) / lanes

    def fits(folds: int, seeds: int) -> bool:
        more = took * (folds * seeds - lanes) / lanes
        again = dearest * seeds * plan.parts / max(plan.parts - 1, 1)
        return more + again <= ROOM * seconds

    folds, seeds = plan.folds, plan.seeds
    folds = next((count for count in range(plan.parts, folds, -1) if fits(count, len(seeds))), folds)
    wished = (plan.wished_seeds[:count] for count in range(len(plan.wished_seeds), len(seeds), -1))
    seeds = next((own for own in wished if fits(folds, len(own))), seeds)
    return Confirmation(confirmed=tuple(one.id for one in plan.candidates), folds=folds, seeds=seeds)


def amended_words(thought: Plan, plan: Plan) -> list[str]:
    """What an amended plan does otherwise than it had ``thought``."""
    words = list[str]()
    if plan.confirms_another_number:
        own = counted(len(plan.confirmed), "candidate")
        is_ = "is" if len(plan.confirmed) == 1 else "are"
        words.append(f"with the time left {own} {is_} confirmed, where the plan was for {plan.thought_of}")
    times, before = (f"{counted(one.folds, 'fold')} with {counted(len(one.seeds), 'seed')}" for one in (plan, thought))
    if times != before:
        words.append(f"with the time left each candidate is trained on {times}, where the plan was for {before}")
    return words


def slowness_of(plan: Plan, traces: Iterable[Trace]) -> dict[str, float]:
    """What the lanes of each family took in the screen, as a multiple of what the plan had thought.

    The few that go on from its first rung share no stack with many: that is no slowness, and a confirmation counts what
    lanes in small stacks take for itself.
    """
    families: dict[str, list[Trace]] = {}
    for trace in traces:
        families.setdefault(trace.lane.candidate.model, []).append(trace)
    first = plan.rungs[0]
    found: dict[str, float] = {}
    for model, own in families.items():
        reached = [trace.fractions[-1] if trace.fractions else 0.0 for trace in own]
        going = sum(max(share - first, 0.0) for share in reached) / max(1.0 - first, 1e-9)
        thought = 0.0
        for trace, share in zip(own, reached, strict=True):
            id = original_of(trace.lane.candidate.id)
            few = lonely_cost(plan.single.get(id, 1.0), lanes=going, workers=plan.workers)
            trained = min(share, first) + few * max(share - first, 0.0)
            thought += trained * plan.costs[id] + len(trace.fractions) * plan.look_costs.get(id, 0.0)
        if thought > 0:
            found[model] = sum(trace.seconds for trace in own) / thought
    return found


def wall_seconds(plan: Plan, candidates: Sequence[Candidate], costs: Mapping[str, float]) -> float:
    """Wall seconds that confirmation and refit of ``candidates`` take; ``costs`` are seconds of a lane.

    A lane trains in one thread: those of a stacked candidate go side by side, and those of its refit after them.
    """
    lanes = lanes_of(plan, len(candidates))
    total = sum(costs[one.id] * lanes for one in candidates)
    runs, seeds = plan.folds * len(plan.seeds), len(plan.seeds)
    rounds = min(-(-runs // plan.workers) + -(-seeds // plan.workers), lanes)
    longest = max((costs[one.id] * rounds for one in candidates if one.model in STACKED), default=0.0)
    return max(total / plan.workers, longest)


def lanes_of(plan: Plan, confirmed: int) -> float:
    """Lanes of a fold that each of so many ``confirmed`` costs: all folds and seeds, and its share of the refit."""
    share = min(1.0, max(REFITTED, LEAST_REFITTED / max(confirmed, 1)))
    parts = plan.parts or plan.folds
    again = share * len(plan.seeds) * parts / max(parts - 1, 1)  # on the rows of all of them
    return plan.folds * len(plan.seeds) + again


def _seconds_of_lane(plan: Plan, candidate: Candidate, slowness: Mapping[str, float]) -> float:
    return plan.confirming(original_of(candidate.id)) * min(max(slowness.get(candidate.model, 1.0), FASTEST), SLOWEST)


def original_of(id: str) -> str:
    """The id in the plan of a candidate that may have been rewound to a lower rate since."""
    return id.split("-slower", maxsplit=1)[0]
