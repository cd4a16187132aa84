"""The race of a question: plan, run, selection, result."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from lanewise.distributed.mesh import AUTO
from lanewise.explain import gathered as costs_of
from lanewise.explain import spent, total, usage
from lanewise.explain.confirmed_words import confirmed_words
from lanewise.models.compiled import eagerly
from lanewise.models.module import without_batching_rules
from lanewise.reporting.document import finite_or_null
from lanewise.reporting.reading import overrun_warning
from lanewise.reporting.words import capitalized
from lanewise.training.data import ALL_ROWS
from lanewise.training.device import device_name
from lanewise.training.fitted import Fitted
from lanewise.training.judging import Confirmed
from lanewise.training.modules.seats import in_processes, may_fork, seated
from lanewise.training.modules.teams import ModuleTeams, all_of, batch_of, everywhere, form_of
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Race, Result
from lanewise.training.ranks.crew import Crew, crew_of
from lanewise.training.ranks.planning import shared
from lanewise.training.ranks.spread_proposer import SpreadProposer
from lanewise.training.ranks.spreading import Spreading, gathered, spread
from lanewise.training.refit import refit
from lanewise.training.team import Former, Team
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.answer.document import document_of
from lanewise.tuning.answer.learned import hopeless
from lanewise.tuning.answer.over_ranks import notes_of, ranks_of
from lanewise.tuning.answer.story import noticed, told, unspent
from lanewise.tuning.answer.tradeoffs import tradeoffs
from lanewise.tuning.answer.verdict import Verdict, judged
from lanewise.tuning.answer.winner_words import exchanged, until
from lanewise.tuning.averaging import Averaged, averaged
from lanewise.tuning.compiling import compiled_again, compiled_where_faster
from lanewise.tuning.constraint import allowed
from lanewise.tuning.fingerprint import digest
from lanewise.tuning.planned import Planned
from lanewise.tuning.planned_mesh import planned_with_mesh
from lanewise.tuning.planning import plan_with_room, priced
from lanewise.tuning.posed import Posed
from lanewise.tuning.posing import Question, by_ways, handed_over, on_all_rows, over_full, ways_of, with_ways
from lanewise.tuning.precision import autocast_of, in_precision
from lanewise.tuning.result import TuneResult
from lanewise.tuning.storing import Keeping


@eagerly()
@without_batching_rules()
def race(posed: Posed, watch: Callable[[Pulse], None] | None, keeping: Keeping) -> TuneResult:
    """Plan, unless there is a plan, and race by it."""
    ranks = keeping.ranks
    posed.times.end("read")
    crew = crew_of(ranks, posed.mesh, payload=posed.payload)
    teams = replace(everywhere(posed.teams, stop=keeping.stop), ranks=crew.size)
    making = partial(decided, posed, teams)
    planned, known = shared(ranks, keeping.plan_file, making, said=Planned.to_json, heard=Planned.from_json)
    teams = everywhere(by_ways(teams, planned.ways), autocast=autocast_of(planned.plan, teams))
    if posed.mesh == AUTO:
        planned = planned_with_mesh(planned, teams, posed.wanted, posed.payload, file=keeping.plan_file, ranks=ranks)
        crew = crew_of(ranks, planned.plan.mesh, payload=posed.payload, resumed=True)
    plan = planned.plan
    if known:
        teams = compiled_again(teams)
    posed.times.end("plan")
    teams = replace(everywhere(teams, axis=crew.axis), lengths=plan.lengths, workers=plan.workers, ranks=crew.size)
    if crew.size == 1:
        teams = everywhere(teams, kept_looks=planned.kept_looks)
    out = planned.shared_out
    teams = replace(teams, processes=not posed.alone and in_processes(teams, plan) if out is None else out)
    watch = watch if ranks.leads else None
    with seated(teams) if teams.processes and not posed.alone else nullcontext(teams) as placed:
        return _run(posed, plan, placed, crew, watch=watch, keeping=keeping)


def decided(posed: Posed, teams: ModuleTeams, file: Path | None = None) -> Planned:
    """What is decided before the first step: read if ``file`` has it, else decided, and written there."""
    if file is not None and file.exists():
        return Planned.read(file)
    wanted, question = posed.wanted, posed.question
    trying = partial(with_ways, question=question, candidates=wanted.candidates, seconds=wanted.seconds)
    teams, said = in_precision(posed.precision, teams, wanted.candidates, with_ways=trying)
    if wanted.seconds is not None and not posed.alone:
        teams, tried = compiled_where_faster(teams, wanted.candidates, seconds=wanted.seconds)
        said = (*said, *tried)
    plan, kept = plan_with_room(wanted, teams, used=lambda: time.monotonic() - posed.before.seconds)
    plan = replace(plan, words=(*plan.words, *said, *question.rows.words, *posed.words))
    # Ranks are there to be used, however small the race; processes of one rank only where that pays.
    compiled = any(way.compiled for part in all_of(teams) for way in part.ways.values())
    out = teams.ranks > 1 or (not posed.alone and (in_processes(teams, plan) or (compiled and may_fork(teams))))
    planned = Planned(plan=plan, ways=ways_of(teams, wanted.candidates), shared_out=out, kept_looks=kept)
    if file is not None:
        planned.write(file)
    return planned


@dataclass(kw_only=True, eq=False)
class _Exports:
    """The lanes at the end of a confirmation: weights of the first seed of each candidate, digests of all."""

    seed: int
    weights: dict[str, Fitted] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def take(self, ended: Sequence[Team]) -> None:
        for team in ended:
            lost = team.lost()
            for lane in team.lanes:
                if lane.id in lost:
                    continue
                fitted = team.export(lane.id)
                self.digests[lane.id] = digest(fitted.tensors or {})
                if lane.seed == self.seed:
                    self.weights[lane.candidate.id] = fitted


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ended:
    """A race that has ended: its plan with all that was proposed, its evidence, the verdict, digests of its lanes.

    ``stop`` is the share of the full length up to which the model was trained.
    """

    plan: Plan
    result: Result
    verdict: Verdict
    stop: float
    teams: ModuleTeams
    digests: Mapping[str, str]

    @cached_property
    def weights(self) -> dict[str, int]:
        """How many weights each confirmed candidate has."""
        confirmed = (own.candidate for own in self.result.confirmed)
        return {own.id: self.teams.of(own).blueprint.layout.width for own in confirmed}

    def averaged(self, question: Question) -> tuple[Averaged, ...]:
        """What candidates whose workers train apart exchange, and how they fare."""
        return averaged(
            self.result.confirmed,
            self.verdict.labels,
            plan=self.plan,
            weights=self.weights,
            itemsize=self.teams.blueprint.dtype.itemsize,
            valid=question.rows.judged.numpy(),
            judge=question.judge,
            y=question.y,
        )

    def words(self, again: Sequence[str], compared: Sequence[Averaged], question: Question) -> tuple[str, ...]:
        """All that there is to say; ``again`` says how far the winner was trained once more."""
        return (
            *self.verdict.words(self.plan, question.judge),
            *self.result.rungs,
            *confirmed_words(self.result, self.plan),
            *noticed(self.result.traces),
            *again,
            *exchanged(compared, question.judge),
        )


def _run(
    posed: Posed,
    plan: Plan,
    teams: ModuleTeams,
    crew: Crew,
    *,
    watch: Callable[[Pulse], None] | None,
    keeping: Keeping,
) -> TuneResult:
    rows = posed.question.rows
    exports = _Exports(seed=plan.seeds[0])
    raced = _race(posed, plan, teams, crew, watch=watch, keeping=keeping, exports=exports)
    with keeping.stop.polled():
        result = raced.run()
    posed.times.end("race", result.seconds)
    grown = gathered(raced.builder)
    assert isinstance(grown, ModuleTeams)
    teams, plan = grown, priced(raced.plan, grown)  # with what was proposed on the way
    verdict = judged(plan, result, posed.question, teams, stops=posed.wanted.again)
    won = verdict.winner
    best = next(item for item in result.confirmed if item.candidate.id == won.id)
    if rows.parting.folds or (posed.wanted.early and best.stop < 1):
        over, fold = (on_all_rows(teams, rows), ALL_ROWS) if rows.parting.folds else (teams, 0)
        with keeping.stop.polled():
            own = _refitted(raced, spread(over, crew), best, fold)
        posed.times.end("refit")
    else:
        own = exports.weights[won.id]
    assert own.tensors is not None
    ended = _Ended(plan=plan, result=result, verdict=verdict, stop=own.stop, teams=teams, digests=exports.digests)
    compared = ended.averaged(posed.question)
    again = until(own, rows)
    words = ended.words(again, compared, posed.question)
    document = _document(posed, ended, crew, words=words, compared=compared, again=again)
    posed.times.end("evaluate")
    document["hardware"] |= {
        "budget_seconds": posed.wanted.seconds,
        "seconds_by_stage": posed.times.seconds,
        "resumed": keeping.resumed,  # then the seconds are those since
    }
    if not keeping.resumed:  # what went before is not counted
        spent = {"seconds": document["hardware"]["seconds"], "raced": sum(result.seconds.values())}
        why = unspent(plan, budget=posed.wanted.seconds, **spent)
        document["hardware"] |= {"unspent": why} if why else {}
    document["warnings"] += filter(None, [overrun_warning(document)])
    return TuneResult(
        stop=own.stop,
        model=handed_over(teams.of(won).blueprint, own.tensors).eval(),
        groups=posed.question.groups,
        winner=won,
        selection=verdict.selection,
        plan=plan,
        race=result,
        metric=posed.question.judge.metric,
        batch_size=batch_of(won),
        arguments=dict(form_of(won, teams.arguments)),
        corrected=verdict.corrected,
        pareto=tradeoffs(result, verdict.selection, ended.weights, sign=posed.question.judge.metric.sign),
        words=words,
        averaged=compared,
        warnings=tuple(document["warnings"]),
        document=finite_or_null(document),
    )


def _race(
    posed: Posed,
    plan: Plan,
    teams: ModuleTeams,
    crew: Crew,
    *,
    watch: Callable[[Pulse], None] | None,
    keeping: Keeping,
    exports: _Exports,
) -> Race:
    return Race(
        plan=plan,
        builder=spread(teams, crew),
        policy=posed.wanted.policy,
        metric=posed.question.judge.metric,
        y=posed.question.y,
        weight=None,
        watch=watch or (lambda pulse: None),
        journal=keeping.journal,
        ended=exports.take,
        proposer=posed.proposer if crew.ranks.size == 1 else SpreadProposer(proposer=posed.proposer, crew=crew),
        spreading=Spreading(crew, plan.costs, stop=keeping.stop),
        forecasts=True,
        apart=posed.question.judge.apart,
        early=posed.wanted.early,
        allowed=partial(allowed, posed.where),
    )


def _document(
    posed: Posed,
    ended: _Ended,
    crew: Crew,
    *,
    words: tuple[str, ...],
    compared: Sequence[Averaged],
    again: Sequence[str],
) -> dict[str, Any]:
    """The document of the run, with the story that the report tells."""
    question, plan, verdict, teams = posed.question, ended.plan, ended.verdict, ended.teams
    rows, judge, won = question.rows, question.judge, verdict.winner
    shared_facts = {"plan": plan, "result": ended.result, "selection": verdict.selection, "metric": judge.metric}
    valid, reading = rows.judged.numpy(), judge.reading
    longer = not verdict.turned and ended.stop == 1
    unkeyed = dict.fromkeys([*rows.unkeyed, *(words for part in all_of(teams) for words in part.blueprint.unkeyed)])
    notes = (
        *unkeyed,
        *notes_of(teams, crew.ranks),
        *over_full(plan.candidates, len(rows.parting.parts[0][0])),
        *hopeless(won, verdict.seen, question.y, teams.of(won), judge, seed=plan.seeds[0], longer=longer),
        *((*reading.sparse(question.y[valid]), *reading.doubts(verdict.seen[valid])) if reading else ()),
    )
    document = document_of(
        **shared_facts,
        y=question.y,
        final=judge.final,
        valid=valid,
        stops=posed.wanted.again,
        train_rows=rows.count - len(valid) * (not rows.parting.folds),
        words=words,
        warnings=tuple(dict.fromkeys(notes)),
        digests=ended.digests,
        corrected=verdict.corrected,
        weights=ended.weights,
    )
    document |= {"averaged": [asdict(own) for own in compared]} if compared else {}
    document = told(
        document,
        **shared_facts,
        winner=won,
        cost=total(costs_of(crew.ranks, spent(posed.before, usage()))),
        full_length=posed.full_length,
        labels=verdict.labels,
        corrected=[
            *verdict.alike,
            *verdict.corrected_words(plan, judge),
            *map(capitalized, again),
            *exchanged(compared, judge),
        ],
        moved=verdict.moved,
        ends=verdict.ends,
    )
    document |= {"unkeyed": list(unkeyed)} if unkeyed else {}
    gpus = teams.device.type == "cuda"
    document["hardware"] |= {"device": device_name(teams.device), **ranks_of(crew, plan, posed.mesh, gpus=gpus)}
    return document


def _refitted(race: Race, builder: Former, won: Confirmed, fold: int) -> Fitted:
    """The winner trained once more on the rows of ``fold``, as far as was best on the rows held out."""
    plan = replace(race.plan, seeds=race.plan.seeds[:1])
    again = replace(race, plan=plan, builder=builder)
    name = won.candidate.id
    return refit(again, [won], needed=[name], fold=fold)[name].members[0]
