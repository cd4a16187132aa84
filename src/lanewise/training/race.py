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
from lanewise.lanes.roster import Lane
from lanewise.metrics import Metric
from lanewise.search.policy import Decision, Policy, Standing, decision_of
from lanewise.training.copying import copy_of, hand_over, kinds_of
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.judging import Confirmed, Judge
from lanewise.training.planning.plan import Plan
from lanewise.training.stretch import Look, Stretch
from lanewise.training.team import Evidence, Former, Team
from lanewise.training.trace import Fate, Trace
from lanewise.training.workers.side_by_side import SideBySide

Shown = list[Evidence]
"""What all looks at one team have shown."""

SAVE_EVERY_SECONDS = 5.0
"""Between two checkpoints of a team; it decides what a kill costs, never what comes out."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a race has shown."""

    confirmed: tuple[Confirmed, ...]
    traces: tuple[Trace, ...]
    rungs: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A sign of life for whoever watches: how far the race is and who leads."""

    phase: str
    done: float
    lanes: int
    candidates: int
    leader: str = ""
    score: float = float("nan")
    spread: float = float("nan")


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


@dataclass(kw_only=True)
class Race:
    """Runs a plan over one problem.

    ``y [N]`` is the target in its own units, ``weight [N]`` or None, ``clusters [N]`` label rows that belong together,
    or None. ``watch`` is called with a
    :class:`Pulse` after every look, from any thread but never from two at once. ``save_every`` is for tests
    that want to kill a race between two saves. ``ended`` is given the teams at the end of the confirmation, before
    they are let go.
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

    def __post_init__(self) -> None:
        self._traces: dict[tuple[str, str], Trace] = {}
        self._lock = threading.Lock()
        self._judge = Judge(
            metric=self.metric, y=self.y, weight=self.weight, data=self.builder.data, clusters=self.clusters
        )
        self._copies: dict[int, int] = {}
        self._numbers = {candidate.id: number for number, candidate in enumerate(self.plan.candidates)}
        self._candidates: dict[str, Candidate] = {candidate.id: candidate for candidate in self.plan.candidates}
        self._cost: dict[str, float] = {}
        self._unsteady: set[str] = set()
        self._done = 0.0
        self._threads = SideBySide(self.plan.workers + getattr(self.builder, "waiting", 0))

    def run(self) -> Result:
        """Screen if the plan has rungs, then confirm."""
        started = time.monotonic()
        survivors, words = self._screen() if self.plan.rungs else (list(self.plan.candidates), [])
        screened = time.monotonic()
        confirmed = self._confirm(survivors)
        seconds = {"screen": screened - started, "confirm": time.monotonic() - screened}
        if not confirmed:
            raise TrainingError(self._why_nobody())
        traces = tuple(self._traces.values())
        return Result(confirmed=tuple(confirmed), traces=traces, rungs=tuple(words), seconds=seconds)

    # -- screen -----------------------------------------------------------------------------------

    def _screen(self) -> tuple[list[Candidate], list[str]]:
        lanes = [Lane(candidate=candidate, fold=0, seed=self.plan.seeds[0]) for candidate in self.plan.candidates]
        teams = self.builder.form(lanes, "screen")
        left = {lane.id: lane for lane in lanes}
        best: dict[str, float] = {}
        words: list[str] = []
        for rung, fraction in enumerate(self.plan.rungs):
            found = self._stretch("screen", teams, (fraction,), share=fraction / sum(self.plan.rungs))
            evidence = {item.lane.id: item for items in found for item in items}
            self._lose("screen", teams, [lane for lane in left.values() if lane.id not in evidence])
            left = {name: lane for name, lane in left.items() if name in evidence}
            if not left:
                break
            for name, item in evidence.items():
                best[name] = _better(best.get(name), self._judge.loss(item))
            names = list(left)
            decision = decision_of(self.policy, self._standing(rung, names, best, evidence, teams))
            words.append(f"after {fraction:.0%} of the full length {decision.words}")
            kept = {names[place] for place in decision.keep}
            self._end("screen", [left[name] for name in names if name not in kept], fate="pruned")
            going = {name: left[name] for name in names if name in kept}
            going |= self._copied(decision, [left[name] for name in names], teams, fraction)
            left = {lane.id: lane for lane in going.values()}
            for team in teams:
                team.keep(left)
            teams = [team for team in teams if team.lanes]
        for team in teams:
            team.keep(())
        order = sorted(left, key=lambda name: np.nan_to_num(best.get(name, np.nan), nan=np.inf))
        survivors = self._survivors([self._candidates[left[name].candidate.id] for name in order])
        going = {candidate.id for candidate in survivors}
        for lane in left.values():
            goes = self._candidates[lane.candidate.id].id in going
            self._end("screen", [lane], fate="confirmed" if goes else "pruned")
        return survivors, words

    def _copied(
        self, decision: Decision, lanes: Sequence[Lane], teams: Sequence[Team], fraction: float
    ) -> dict[str, Lane]:
        """Let copies take the rows of those that give way; the new lanes by the names of the old ones."""
        found: dict[str, Lane] = {}
        for copy in decision.copies:
            source, target = lanes[copy.source], lanes[copy.target]
            number = self._numbers[target.candidate.id]
            self._copies[number] = self._copies.get(number, 0) + 1
            candidate = copy_of(
                self._candidates[source.candidate.id],
                fraction=fraction,
                factor=copy.factor,
                id=f"{self.plan.candidates[number].id}-copy{self._copies[number]}",
            )
            self._candidates[candidate.id], self._numbers[candidate.id] = candidate, number
            found[target.id] = replace(target, candidate=candidate)
            hand_over(teams, source.id, target.id, found[target.id], factor=copy.factor)
        return found

    def _standing(
        self,
        rung: int,
        names: Sequence[str],
        best: Mapping[str, float],
        evidence: Mapping[str, Evidence],
        teams: Sequence[Team],
    ) -> Standing:
        families = list(dict.fromkeys(evidence[name].lane.candidate.model for name in names))
        candidates = [evidence[name].lane.candidate for name in names]
        return Standing(
            rung=rung,
            scores=np.array([best[name] for name in names]),
            losses=self._losses([evidence[name] for name in names]),
            families=np.array([families.index(candidate.model) for candidate in candidates]),
            protected=np.array([candidate.is_default for candidate in candidates]),
            numbers=np.array([self._numbers[candidate.id] for candidate in candidates]),
            entrants=len(self.plan.candidates),
            kinds=kinds_of(names, teams),
        )

    def _losses(self, evidence: Sequence[Evidence]) -> np.ndarray | None:
        """Losses ``[M, N]`` of the validation rows, for a policy that reads them."""
        if not self.policy.reads_losses:
            return None
        found = [self._judge.unit_losses(item) for item in evidence]
        known = [losses for losses in found if losses is not None]
        return np.stack(known) if len(known) == len(found) else None

    def _survivors(self, ordered: Sequence[Candidate]) -> list[Candidate]:
        """The best of each family, as many as the plan confirms, and the default."""
        taken: dict[str, int] = {}
        result = []
        for candidate in ordered:
            if candidate.is_default:
                result.append(candidate)
            elif taken.get(candidate.model, 0) < self.plan.confirm.get(candidate.model, 0):
                taken[candidate.model] = taken.get(candidate.model, 0) + 1
                result.append(candidate)
        return result

    # -- confirm ----------------------------------------------------------------------------------

    def _confirm(self, candidates: Sequence[Candidate]) -> list[Confirmed]:
        lanes = [
            Lane(candidate=candidate, fold=fold, seed=seed)
            for candidate in candidates
            for fold in range(self.plan.folds)
            for seed in self.plan.seeds
        ]
        with self._lock:
            self._done = 0.0
        teams = self.builder.form(lanes, "confirm")
        found = self._stretch("confirm", teams, self.plan.grid, share=1.0)
        self._lose("confirm", teams, [])
        self.ended(teams)
        for team in teams:
            team.keep(())
        looks: dict[str, dict[tuple[int, int], list[Evidence]]] = {}
        for items in found:
            for item in items:
                by_group = looks.setdefault(item.lane.candidate.id, {})
                by_group.setdefault(item.lane.group, []).append(item)
        whole = self.plan.folds * len(self.plan.seeds)
        lanes_of = {id: list(own) for id, own in itertools.groupby(lanes, key=lambda lane: lane.candidate.id)}
        confirmed = []
        for candidate in candidates:
            groups = looks.get(candidate.id, {})
            complete = len(groups) == whole and all(len(items) == len(self.plan.grid) for items in groups.values())
            sound = complete and candidate.id not in self._unsteady
            seconds = self._cost.get(candidate.id, 0.0)
            item = self._judge.confirmed(candidate, groups, self.plan.grid, seconds=seconds) if sound else None
            self._end("confirm", lanes_of[candidate.id], fate="confirmed" if item else "diverged")
            if item:
                confirmed.append(item)
        return confirmed

    # -- shared -----------------------------------------------------------------------------------

    def _stretch(self, phase: str, teams: Sequence[Team], fractions: Sequence[float], *, share: float) -> list[Shown]:
        part = Part(phase=phase, key=f"{phase}-{fractions[0]:.4f}", teams=teams, fractions=fractions, share=share)
        return self.together([part])[0]

    def together(self, parts: Sequence[Part]) -> list[list[Shown]]:
        """Advance the teams of all parts side by side; for each part the evidence of its teams, in their order."""
        tasks: list[Callable[[], Shown]] = []
        for part in parts:
            lanes = sum(len(team.lanes) for team in part.teams)
            unit = part.share / (len(part.fractions) * max(lanes, 1))
            for place, team in enumerate(part.teams):
                for lane in team.lanes:  # in this order, whichever team is looked at first
                    self._trace(part.phase, lane)
                stretch = Stretch(
                    team=team,
                    fractions=part.fractions,
                    key=f"{part.key}-{place}",
                    journal=self.journal,
                    save_every=self.save_every,
                    halted=self._threads.halted,
                    abandoned=self._threads.abandoned,
                    train_score=self._judge.train_score,
                )
                tasks.append(partial(self._run, part.phase, stretch, unit))
        shown = iter(self._threads.run(tasks))
        return [[next(shown) for _ in part.teams] for part in parts]

    def _run(self, phase: str, stretch: Stretch, unit: float) -> Shown:
        lanes = {lane.id: lane for lane in stretch.team.lanes}

        def seen(look: Look) -> None:
            self._record(phase, look)
            self._note(phase, lanes, look.repairs)
            self._tell(phase, len(lanes) * unit)

        found = stretch.run(seen)
        with self._lock:
            for lane in lanes.values():
                cost = self._cost.get(lane.candidate.id, 0.0)
                self._cost[lane.candidate.id] = cost + stretch.seconds / len(lanes)
        return found

    def _record(self, phase: str, look: Look) -> None:
        for item in look.evidence:
            score = self._judge.loss(item) * self.metric.sign
            with self._lock:
                trace = self._trace(phase, item.lane)
                trace.fractions.append(item.fraction)
                trace.scores.append(score)
                trace.train_losses.append(item.train_loss)
                trace.train_scores.append(item.train_score)

    def _note(self, phase: str, lanes: Mapping[str, Lane], repairs: Mapping[str, Sequence[Event]]) -> None:
        """A repaired lane is a new candidate from now on; the original counts as diverged.

        A candidate that diverges on some fold only when it is confirmed is not to be relied on: it is retired.
        """
        with self._lock:
            for name, events in repairs.items():
                lane = lanes[name]
                self._trace(phase, lane).events += events
                if phase != "screen":
                    self._unsteady.add(lane.candidate.id)
                    continue
                for event in events:
                    before = self._candidates[lane.candidate.id]
                    again = f"{lane.candidate.id}-slower{len(before.events) + 1}"
                    self._candidates[lane.candidate.id] = before.repaired(event, id=again)

    def _trace(self, phase: str, lane: Lane) -> Trace:
        return self._traces.setdefault((phase, lane.id), Trace(lane=lane, phase=phase))

    def _lose(self, phase: str, teams: Sequence[Team], lanes: Sequence[Lane]) -> None:
        """The fate of ``lanes`` that gave no evidence, and why lanes were lost."""
        self._end(phase, lanes, fate="diverged")
        for team in teams:
            why = team.lost()
            for lane in team.lanes:
                self._trace(phase, lane).lost = why.get(lane.id, "")

    def _end(self, phase: str, lanes: Sequence[Lane], *, fate: Fate) -> None:
        with self._lock:
            for lane in lanes:
                trace = self._trace(phase, lane)
                trace.fate = "diverged" if phase == "screen" and trace.events else fate

    def _why_nobody(self) -> str:
        """Why every candidate failed, in one line with what to do."""
        reasons = list(dict.fromkeys(trace.lost for trace in self._traces.values() if trace.lost))
        said = f" ({'; '.join(reasons[:2])})" if reasons else ""
        return f"every candidate failed on some fold{said}; lower the learning rates or check the data for huge values"

    def _tell(self, phase: str, done: float) -> None:
        with self._lock:
            self._done += done
            alive = [trace for trace in self._traces.values() if trace.phase == phase and trace.fate == "running"]
            label, score, spread = self._leader(alive)
            pulse = Pulse(
                phase=phase,
                done=min(self._done, 1.0),
                lanes=len(alive),
                candidates=len({trace.lane.candidate.id for trace in alive}),
                leader=label,
                score=score,
                spread=spread,
            )
            self.watch(pulse)

    def _leader(self, traces: Sequence[Trace]) -> tuple[str, float, float]:
        """Label, mean score and spread over lanes of the best candidate seen on as many folds as any other."""
        latest: dict[str, list[float]] = {}
        labels: dict[str, str] = {}
        for trace in traces:
            if trace.scores and np.isfinite(trace.scores[-1]):
                latest.setdefault(trace.lane.candidate.id, []).append(trace.scores[-1])
                labels[trace.lane.candidate.id] = trace.lane.candidate.label
        widest = max(map(len, latest.values()), default=0)
        full = {name: scores for name, scores in latest.items() if len(scores) == widest}
        if not full:
            return "", float("nan"), float("nan")
        best = min(full, key=lambda name: self.metric.sign * float(np.mean(full[name])))
        return labels[best], float(np.mean(full[best])), float(np.std(full[best]))


def _better(known: float | None, score: float) -> float:
    return score if known is None or np.isnan(known) else float(np.fmin(known, score))
