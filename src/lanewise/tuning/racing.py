"""A question that can be raced, and its race: plan, run, selection, result."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from lanewise.explain import Usage, spent, usage
from lanewise.lanes.candidate import Candidate
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import StackedModule
from lanewise.reporting.document import finite_or_null
from lanewise.search.registry import policy_name
from lanewise.selection import Contender, Selection, select
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.module_seats import seated
from lanewise.training.module_teams import ModuleTeams, batch_of, choose_way
from lanewise.training.plan import Lengths, Plan
from lanewise.training.race import Pulse, Race, Result
from lanewise.training.team import Team, never
from lanewise.tuning.checking import Judge
from lanewise.tuning.document import document_of
from lanewise.tuning.drop_ins import steady_rate
from lanewise.tuning.fingerprint import digest, fingerprint, sha256_of
from lanewise.tuning.planning import Wanted, plan_race
from lanewise.tuning.result import TuneResult
from lanewise.tuning.storing import Keeping, read_plan, write_plan
from lanewise.tuning.story import told


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """A question that can be raced: all that was given, checked, and the candidates."""

    blueprint: Blueprint
    data: TrainingData
    loss: Callable[[Tensor, Tensor], Tensor]
    judge: Judge
    wanted: Wanted
    full_length: int | None
    before: Usage

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a stored race must find again to go on."""
        return fingerprint(self.blueprint, self.data, self.loss, seed=self.wanted.seeds[0])

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it is no data: another answer to any of these is another race."""
        own = self.wanted
        return {
            "model": own.candidates[0].model,
            "metric": self.judge.metric.name,
            "policy": policy_name(own.policy),
            "seeds": list(own.seeds),
            "steps": own.steps,
            "seconds": own.seconds,
            "candidates": sha256_of([asdict(candidate) for candidate in own.candidates]),
        }


def race(posed: Posed, watch: Callable[[Pulse], None] | None, keeping: Keeping) -> TuneResult:
    """Plan, unless there is a plan, and race by it."""
    teams = teams_of(posed, stop=keeping.stop)
    if keeping.plan_file is not None and keeping.plan_file.exists():
        plan, ways = read_plan(keeping.plan_file)
    else:
        ways = {batch: choose_way(teams, batch) for batch in dict.fromkeys(map(batch_of, posed.wanted.candidates))}
        plan = plan_race(posed.wanted, replace(teams, ways=ways))
        if keeping.plan_file is not None:
            write_plan(keeping.plan_file, plan, ways)
    teams = replace(teams, ways=ways, lengths=plan.lengths, workers=plan.workers)
    # Copies are made between lanes of one process.
    with nullcontext(teams) if posed.wanted.policy.copies else seated(teams, plan) as placed:
        return _run(posed, plan, placed, watch, keeping)


def teams_of(posed: Posed, *, stop: Callable[[], bool] = never) -> ModuleTeams:
    """Forms the lanes of the question; how long they are and how they are run is yet to be planned."""
    return ModuleTeams(
        blueprint=posed.blueprint,
        data=posed.data,
        loss=posed.loss,
        score=posed.judge.score,
        lengths=Lengths(rows_seen=1),
        ways={},
        workers=posed.wanted.workers,
        stop=stop,
    )


def _run(
    posed: Posed, plan: Plan, teams: ModuleTeams, watch: Callable[[Pulse], None] | None, keeping: Keeping
) -> TuneResult:
    judge, policy = posed.judge, posed.wanted.policy
    kept: dict[str, Fitted] = {}
    digests: dict[str, str] = {}

    def keep(ended: Sequence[Team]) -> None:
        for team in ended:
            lost = team.lost()
            for lane in team.lanes:
                if lane.id in lost:
                    continue
                fitted = team.export(lane.id)
                digests[lane.id] = digest(fitted.tensors or {})
                if lane.seed == plan.seeds[0]:
                    kept[lane.candidate.id] = fitted

    own = Race(
        plan=plan,
        builder=teams,
        policy=policy,
        metric=judge.metric,
        y=np.zeros(teams.data.rows),
        weight=None,
        watch=watch or (lambda pulse: None),
        journal=keeping.journal,
        ended=keep,
    )
    with keeping.stop.polled():
        result = own.run()
    valid = teams.data.folds[0].valid.numpy()
    selection = _selected(plan, result, judge, valid)
    won = next(item.candidate for item in result.confirmed if item.candidate.id == selection.winner)
    tensors = kept[won.id].tensors
    assert tensors is not None
    words = (*_words(plan, selection, won, judge), *result.rungs)
    document = document_of(
        plan=plan,
        result=result,
        selection=selection,
        metric=judge.metric,
        valid=valid,
        train_rows=len(teams.data.folds[0].train),
        words=words,
        warnings=tuple(dict.fromkeys(teams.notes)),
        digests=digests,
    )
    document = told(
        document,
        plan=plan,
        result=result,
        selection=selection,
        metric=judge.metric,
        winner=won,
        cost=spent(posed.before, usage()),
        full_length=posed.full_length,
    )
    return TuneResult(
        model=StackedModule(teams.blueprint).solo(tensors).eval(),
        winner=won,
        selection=selection,
        plan=plan,
        race=result,
        metric=judge.metric,
        batch_size=batch_of(won),
        words=words,
        warnings=tuple(document["warnings"]),
        document=finite_or_null(document),
    )


def _selected(plan: Plan, result: Result, judge: Judge, valid: np.ndarray) -> Selection:
    contenders = [
        Contender(
            id=item.candidate.id,
            prediction=item.predictions[valid, 0],
            cost=plan.costs.get(item.candidate.id, float(plan.lengths.steps(batch_of(item.candidate)))),
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    ]
    return select(contenders, y=np.zeros(len(valid)), metric=judge.metric, seed=0)


def _words(plan: Plan, selection: Selection, won: Candidate, judge: Judge) -> tuple[str, ...]:
    standing = selection.standing(won.id)
    settings = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in won.settings.items()
    )
    repairs = [
        f"it {event.cause} and was set back; its rate is {steady_rate(won):.3g} since then, and is handed over so"
        for event in [event for event in won.events if event.rewinds][-1:]
    ]
    return (
        f"{won.optimizer} wins with a validation {judge.metric.name} of {standing.score:.4g}",
        settings,
        *repairs,
        *_copies(won),
        *selection.reasons,
        *plan.words,
    )


def _copies(won: Candidate) -> list[str]:
    """How the winner came about, if copies of better lanes took the place of others."""
    found = [
        f"at {event.fraction:.0%} the rate times {event.rate_factor:g}" for event in won.events if not event.rewinds
    ]
    return [f"its rate was changed on the way: {', '.join(found)}; its schedule repeats that"] if found else []
