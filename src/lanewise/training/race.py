"""A race: screen, then confirm. What happens is decided by the plan and the evidence, never by the clock."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from lanewise.errors import TrainingError
from lanewise.lanes.candidate import Candidate, Event
from lanewise.lanes.roster import Lane, grid_of
from lanewise.metrics import Metric
from lanewise.search.policy import Decision, Policy, Standing, decision_of
from lanewise.training.copying import Held, copy_of, hand_over, kinds_of
from lanewise.training.entering import NobodyElse, Proposer, tried
from lanewise.training.genes import settings_from
from lanewise.training.going_on import go_on, passed
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.judging import Confirmed, Judge, looks_by_candidate
from lanewise.training.planning.amending import Amending, best_of_families, slowness_of
from lanewise.training.planning.plan import Plan
from lanewise.training.ranks.spreading import Spreading, alone
from lanewise.training.standing import better, standing_of
from lanewise.training.stretch import Look, Stretch
from lanewise.training.team import Evidence, Former, Team
from lanewise.training.traces import Traces
from lanewise.training.watching.pulse import Pulse
from lanewise.training.watching.trace import Trace, seconds_of, why_nobody
from lanewise.training.workers.side_by_side import SideBySide

Shown = list[Evidence]
"""What all looks at one team have shown."""

SAVE_EVERY_SECONDS = 5.0
"""Between two checkpoints of a team; it decides what a kill costs, never what comes out."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """What a race has shown: all predictions and curves, too many to print."""

    confirmed: tuple[Confirmed, ...]
    traces: tuple[Trace, ...]
    rungs: tuple[str, ...]
    seconds: Mapping[str, float]

    def __repr__(self) -> str:
        candidates = len({trace.lane.candidate.id for trace in self.traces})
        said = f"Result: {candidates} candidates in {len(self.traces)} trainings, {len(self.confirmed)} confirmed"
        return "\n".join([said, *(f"  {line}" for line in self.rungs)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Teams that advance through the same ``fractions``; their checkpoints are kept under ``key``.

    ``share`` of the progress of the phase is theirs.
    """

    phase: str
    key: str
    teams: Sequence[Team]
    fractions: Sequence[float]
    share: float = 1.0


def unwanted(teams: Sequence[Team]) -> None:
    """What happens to the confirmed lanes when nobody wants them as they are."""
    del teams


def anybody(candidate: Candidate) -> bool:
    """Whether a copy may have these settings, where nothing forbids any."""
    del candidate
    return True


@dataclass(kw_only=True)
class Race:
    """Runs a plan over one problem.

    ``y [N]`` is the target in its own units, ``weight [N]`` or None, ``clusters [N]`` label rows that belong together,
    or None. ``watch`` is called with a :class:`Pulse` after every look, from any thread but never from two at once.
    ``save_every`` is for tests that want to kill a race between two saves. ``ended`` is given the teams at the end of
    the confirmation, before they go. ``proposer`` adds candidates to the plan while the screen is at its first rung.
    ``amend`` decides once more, after the screen, who is confirmed, or without one on how many folds and seeds.
    ``spreading`` says on which rank a team of ``builder`` is trained. With ``forecasts`` the policy is told what to
    expect of candidates; with ``apart`` the mean of the scores of all seeds counts, and with ``early`` candidates of a
    single fold are judged where they were best. A copy whose changes are not ``allowed`` goes on as its source is.
    """

    plan: Plan
    builder: Former
    policy: Policy
    metric: Metric
    y: np.ndarray
    weight: np.ndarray | None
    watch: Callable[[Pulse], None]
    journal: Journal = field(default_factory=NoJournal)
    save_every: float = field(default_factory=lambda: SAVE_EVERY_SECONDS)
    ended: Callable[[Sequence[Team]], None] = unwanted
    clusters: np.ndarray | None = None
    proposer: Proposer = field(default_factory=NobodyElse)
    amend: Amending | None = None
    spreading: Spreading = field(default_factory=alone)
    forecasts: bool = False
    apart: bool = False
    early: bool = False
    allowed: Callable[[Candidate], bool] = anybody
    judging: Callable[[Plan], np.ndarray] | None = None

    def __post_init__(self) -> None:
        self._traces = Traces(self.metric, self.watch)
        self._lock = threading.Lock()
        self._judge = Judge(
            metric=self.metric,
            y=self.y,
            weight=self.weight,
            data=self.builder.data,
            clusters=self.clusters,
            apart=self.apart,
            early=self.early,
        )
        self._copies: dict[int, int] = {}
        self._numbers = {candidate.id: number for number, candidate in enumerate(self.plan.candidates)}
        self._candidates: dict[str, Candidate] = {candidate.id: candidate for candidate in self.plan.candidates}
        self._unsteady: set[str] = set()
        self._held: dict[str, Held] = {}
        share = self.spreading.share(self.plan.workers)
        self._threads = SideBySide(share + getattr(self.builder, "waiting", 0))

    def run(self) -> Result:
        """Screen if the plan has rungs, then confirm."""
        started = time.monotonic()
        survivors, words = self._screen() if self.plan.rungs else (list(self.plan.candidates), [])
        screened = time.monotonic()
        confirmed = self._confirm(survivors)
        seconds = {"screen": screened - started, "confirm": time.monotonic() - screened}
        traces = self._traces.in_order(self._numbers)
        if not confirmed:
            raise TrainingError(why_nobody(traces, folds=self.plan.folds))
        return Result(confirmed=tuple(confirmed), traces=traces, rungs=(*words, *self.plan.amended), seconds=seconds)

    # -- screen -----------------------------------------------------------------------------------

    def _screen(self) -> tuple[list[Candidate], list[str]]:
        teams, found, words = self._enter()
        left = {lane.id: lane for lane in self._screened(self.plan.candidates)}
        best, promise = dict[str, float](), dict[str, float]()
        last = dict[str, Lane]()
        for rung, fraction in enumerate(self.plan.rungs):
            if rung:
                found = self._stretch("screen", teams, (fraction,), share=fraction / sum(self.plan.rungs))
            evidence = {item.lane.id: item for items in found for item in items}
            self._traces.lose("screen", teams, [lane for lane in left.values() if lane.id not in evidence])
            left = {name: lane for name, lane in left.items() if name in evidence}
            if not left:
                break
            for name, item in evidence.items():
                best[name] = better(best.get(name), self.metric.sign * item.score)
            names = list(left)
            standing = self._standing(rung, [evidence[name] for name in names], best, teams)
            decision, promise = decision_of(self.policy, standing), dict(zip(names, standing.promise, strict=True))
            words.append(f"after {f'{fraction:.0%} of ' if fraction < 1 else ''}the full length {decision.words}")
            kept = {names[place] for place in decision.keep}
            self._traces.end("screen", [left[name] for name in names if name not in kept], fate="pruned")
            going = {name: left[name] for name in names if name in kept}
            going |= self._copied(decision, [left[name] for name in names], teams, fraction)
            last = {name: left[name] for name in names if name not in going}
            left = {lane.id: lane for lane in going.values()}
            for team in teams:
                team.keep(left)
            teams = [team for team in teams if team.lanes]
        survivors = self._survivors(*(self._ordered(lanes, promise) for lanes in (left, last)))
        self._held = passed(teams, {lane.id for lane in self._screened(survivors)})
        for team in teams:
            team.keep(())
        going = {candidate.id for candidate in survivors}
        for lane in (*left.values(), *last.values()):
            goes = self._candidates[lane.candidate.id].id in going
            self._traces.end("screen", [lane], fate="confirmed" if goes else "pruned")
        return survivors, words

    def _ordered(self, lanes: Mapping[str, Lane], promise: Mapping[str, float]) -> list[Candidate]:
        order = sorted(lanes, key=lambda name: np.nan_to_num(promise.get(name, np.nan), nan=np.inf))
        return [self._candidates[lanes[name].candidate.id] for name in order]

    def _screened(self, candidates: Sequence[Candidate]) -> list[Lane]:
        return [Lane(candidate=candidate, fold=0, seed=self.plan.seeds[0]) for candidate in candidates]

    def _enter(self) -> tuple[list[Team], list[Shown], list[str]]:
        """Train everybody up to the first rung: those of the plan, then batch after batch of those proposed."""
        fraction, fresh, batch = self.plan.rungs[0], self.plan.candidates, 0
        teams, found = list[Team](), list[Shown]()
        while fresh:
            entered = self.builder.form(self._screened(fresh), "screen")
            share = (not batch) * fraction / sum(self.plan.rungs)
            found += self._stretch("screen", entered, (fraction,), share=share, batch=batch)
            teams, batch = [*teams, *entered], batch + 1
            losses = {item.lane.candidate.id: self.metric.sign * item.score for items in found for item in items}
            fresh = self.proposer.propose(batch, tried(self.plan.candidates, self._candidates, losses))
            self.plan = replace(self.plan, candidates=(*self.plan.candidates, *fresh))
            self._candidates |= {candidate.id: candidate for candidate in fresh}
            self.builder = self.proposer.former(self.builder, fresh)
        self._numbers = {candidate.id: number for number, candidate in enumerate(self.plan.candidates)}
        words = f"{batch - 1} batches of candidates were proposed by what those before had shown at {fraction:.0%}"
        return teams, found, [words] * (batch > 1)

    def _copied(
        self, decision: Decision, lanes: Sequence[Lane], teams: Sequence[Team], fraction: float
    ) -> dict[str, Lane]:
        """Let copies take the rows of those that give way; the new lanes by the names of the old ones."""
        found: dict[str, Lane] = {}
        for copy in decision.copies:
            source, target = lanes[copy.source], lanes[copy.target]
            number = self._numbers[target.candidate.id]
            self._copies[number] = self._copies.get(number, 0) + 1
            name = f"{self.plan.candidates[number].id}-copy{self._copies[number]}"
            copied = partial(copy_of, self._candidates[source.candidate.id], fraction=fraction, id=name)
            factor, candidate = copy.factor, copied(factor=copy.factor, changes=settings_from(copy.changes))
            if not self.allowed(candidate):
                factor, candidate = 1.0, copied(factor=1.0)
            self._candidates[candidate.id], self._numbers[candidate.id] = candidate, number
            found[target.id] = replace(target, candidate=candidate)
            hand_over(teams, source.id, target.id, found[target.id], factor=factor)
        return found

    def _standing(
        self, rung: int, items: Sequence[Evidence], best: Mapping[str, float], teams: Sequence[Team]
    ) -> Standing:
        names, candidates = [item.lane.id for item in items], [item.lane.candidate for item in items]
        return standing_of(
            candidates,
            [self._candidates[own.id] for own in candidates],
            rung=rung,
            fraction=self.plan.rungs[rung],
            scores=np.array([best[name] for name in names]),
            losses=self._judge.all_losses(items) if self.policy.reads_losses else None,
            numbers=self._numbers,
            entrants=len(self.plan.candidates),
            kinds=kinds_of(names, teams),
            forecasts=self.forecasts,
        )

    def _survivors(self, ordered: Sequence[Candidate], last: Sequence[Candidate]) -> list[Candidate]:
        """Those that are confirmed.

        With time left over it may be some of the ``last`` too, whom only the last rung has dropped: they were trained
        as long as the others.
        """
        usual = best_of_families(self.plan, ordered)
        if self.amend is not None and ordered and not self.plan.confirmed:
            self.plan = self.amend(self.plan, ordered, last, slowness_of(self.plan, self._traces.values()))
        if not self.plan.confirmed:
            return usual
        return [candidate for candidate in (*ordered, *last) if candidate.id in self.plan.confirmed]

    # -- confirm ----------------------------------------------------------------------------------

    def _confirm(self, candidates: Sequence[Candidate]) -> list[Confirmed]:
        folds, seeds = self.plan.begun if any(self.plan.begun) else (self.plan.folds, len(self.plan.seeds))
        lanes = grid_of(candidates, range(folds), self.plan.seeds[:seeds])
        started = time.monotonic()
        found = self._train(lanes)
        if self.amend is not None and not self.plan.rungs:
            self.plan = self.amend.longer(self.plan, self._traces.values(), seconds=time.monotonic() - started)
        looks, trained = looks_by_candidate(itertools.chain(*found)), {lane.id for lane in lanes}
        # Who is lost already is not confirmed, whatever other folds would show.
        left = [one for one in candidates if self._is_sound(one.id, looks, folds * seeds)]
        whole = grid_of(left, range(self.plan.folds), self.plan.seeds)
        if more := [lane for lane in whole if lane.id not in trained]:
            lanes += more
            looks = looks_by_candidate(itertools.chain(*found, *self._train(more, batch=1)))
        lanes_of: dict[str, list[Lane]] = {}
        for lane in lanes:
            lanes_of.setdefault(lane.candidate.id, []).append(lane)
        confirmed, seconds = [], seconds_of(self._traces.values())
        judging = None if self.judging is None else self.judging(self.plan)
        for candidate in candidates:
            own, item = lanes_of[candidate.id], None
            if self._is_sound(candidate.id, looks, self.plan.folds * len(self.plan.seeds)):
                took, groups = seconds.get(candidate.id, 0.0), looks[candidate.id]
                item = self._judge.confirmed(candidate, groups, self.plan.grid, seconds=took, judging=judging)
            self._traces.end("confirm", own, fate="confirmed" if item else "diverged")
            if item:
                confirmed.append(item)
        return confirmed

    def _is_sound(self, id: str, looks: Mapping[str, Mapping[tuple[int, int], Sequence[Evidence]]], lanes: int) -> bool:
        """Whether every one of so many lanes of a candidate came to its end, and none was set back."""
        groups = looks.get(id, {})
        complete = len(groups) == lanes and all(len(items) == len(self.plan.grid) for items in groups.values())
        return complete and id not in self._unsteady

    def _train(self, lanes: Sequence[Lane], *, batch: int = 0) -> list[Shown]:
        """What the looks at lanes of the confirmation have shown, which are trained in full."""
        self._traces.begin()
        teams = self.builder.form(lanes, "confirm")
        begun, self._held = go_on(teams, self._held), {}
        self._traces.enter("confirm", lanes, begun)
        found = self._stretch("confirm", teams, self.plan.grid, share=1.0, batch=batch)
        self._traces.lose("confirm", teams, [])
        self.ended(teams)
        for team in teams:
            team.keep(())
        return found

    # -- shared -----------------------------------------------------------------------------------

    def _stretch(
        self, phase: str, teams: Sequence[Team], fractions: Sequence[float], *, share: float, batch: int = 0
    ) -> list[Shown]:
        key = f"{phase}-{fractions[0]:.4f}" + (f"-batch{batch}" if batch else "")
        part = Part(phase=phase, key=key, teams=teams, fractions=fractions, share=share)
        return self.together([part])[0]

    def together(self, parts: Sequence[Part]) -> list[list[Shown]]:
        """Advance the teams of all parts side by side; for each part the evidence of its teams, in their order."""
        stretches: list[Stretch] = []
        own: dict[str, tuple[str, float]] = {}
        for part in parts:
            lanes = sum(len(team.lanes) for team in part.teams)
            unit = part.share / (len(part.fractions) * max(lanes, 1))
            for place, team in enumerate(part.teams):
                self._traces.enter(part.phase, team.lanes)  # in this order, whichever team is looked at first
                stretch = Stretch(
                    team=team,
                    fractions=part.fractions,
                    key=f"{part.key}-{place}",
                    journal=self.journal,
                    save_every=self.save_every,
                    halted=self._threads.halted,
                    abandoned=self._threads.abandoned,
                    metric=self.metric.name,
                    direction=self.metric.direction,
                    score=self._judge.score,
                    train_score=self._judge.train_score,
                )
                stretches.append(stretch)
                own[stretch.key] = part.phase, unit
        shown = iter(self.spreading.run(self._threads, stretches, lambda one: self._run(*own[one.key], one)))
        return [[next(shown) for _ in part.teams] for part in parts]

    def _run(self, phase: str, unit: float, stretch: Stretch) -> Shown:
        lanes = {lane.id: lane for lane in stretch.team.lanes}

        def seen(look: Look) -> None:
            self._traces.see(phase, look)
            self._note(phase, lanes, look.repairs)
            self._traces.tell(phase, len(lanes) * unit, fresh=look.fresh)

        found = stretch.run(seen)
        self._traces.ran(phase, list(lanes.values()), stretch)
        return found

    def _note(self, phase: str, lanes: Mapping[str, Lane], repairs: Mapping[str, Sequence[Event]]) -> None:
        """A repaired lane is a new candidate from now on; the original counts as diverged.

        A candidate that diverges on some fold only when it is confirmed is not to be relied on: it is retired.
        """
        for name, events in repairs.items():
            lane = lanes[name]
            self._traces.repaired(phase, lane, events)
            with self._lock:
                if phase != "screen":
                    self._unsteady.add(lane.candidate.id)
                    continue
                for event in events:
                    before = self._candidates[lane.candidate.id]
                    again = f"{lane.candidate.id}-slower{len(before.events) + 1}"
                    self._candidates[lane.candidate.id] = before.repaired(event, id=again)
