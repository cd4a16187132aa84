"""What the evidence of a tuning race comes to: who won, why, and what its score is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lanewise.explain import Edge, Effects, edges, effects
from lanewise.lanes.candidate import Candidate
from lanewise.selection import Contender, Selection, corrected_score, select
from lanewise.statistics import CorrectedScore
from lanewise.training.judging import as_read
from lanewise.training.modules.teams import ModuleTeams, batch_of
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.tuning.answer.story import farther
from lanewise.tuning.answer.winner_words import corrected_words, labels, named, turned, winner_words
from lanewise.tuning.answer.worth import no_difference
from lanewise.tuning.checking import Judge
from lanewise.tuning.posing import Question


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """The winner of a race, ``seen [N, K]`` what it made of the rows that judge, with its first seed where these are
    apart, and how sure that is.

    ``selection`` names candidates by their ``labels``; ``alike`` says, in a sentence, where nobody is better than the
    default by more than is worth having. ``moved`` are the effects of settings in its family, ``ends`` those of its own
    that lie at an end of what was tried. ``turned`` says, in a sentence, where trainings were too long.
    """

    winner: Candidate
    seen: np.ndarray
    selection: Selection
    corrected: CorrectedScore
    alike: tuple[str, ...]
    labels: Mapping[str, str]
    moved: Effects | None
    ends: tuple[Edge, ...]
    turned: tuple[str, ...] = ()

    def words(self, plan: Plan, judge: Judge) -> tuple[str, ...]:
        """Who won and why, the plan, what the score is worth, and where the search may not have gone far enough."""
        return (
            *winner_words(plan, self.selection, self.winner, judge, self.alike),
            *self.corrected_words(plan, judge),
            *(end.words(farther(end)) for end in self.ends),
        )

    def corrected_words(self, plan: Plan, judge: Judge) -> list[str]:
        """What the score is worth once it is corrected for having been picked, and that there was a better one."""
        found = corrected_words(self.corrected, judge.metric, len(self.selection.standings), len(plan.candidates))
        return [*found, *self.turned]


def judged(plan: Plan, result: Result, question: Question, teams: ModuleTeams, *, stops: bool) -> Verdict:
    """The verdict on the confirmed candidates of ``result``, by the rows of ``question`` that judge.

    ``stops`` says whether candidates are judged where they were best.
    """
    rows, judge = question.rows, question.judge
    valid = rows.judged.numpy()
    contenders = _contenders(plan, result, valid)
    evidence: dict[str, Any] = {"y": question.y[valid], "metric": judge.final, "seed": 0}
    known = labels(result, arguments=teams.arguments)
    selection = named(select(contenders, **evidence, cost_unit=_cost_unit(teams)), known)
    won = next(item for item in result.confirmed if item.candidate.id == selection.winner)
    winner, metric = won.candidate, judge.metric
    moved = effects(result.traces, metric, model=winner.model, optimizer=winner.optimizer, seed=0)
    corrected = corrected_score(contenders, trained_rows=rows.trained, **evidence)
    error = (corrected.high - corrected.low) / 4  # a 95% interval is about four standard errors
    return Verdict(
        winner=winner,
        seen=won.predictions[..., 0] if judge.apart else won.predictions,
        selection=selection,
        corrected=corrected,
        alike=no_difference(
            selection, contenders, default=plan.candidates[0].id, error_of=partial(judge.error, question.y[valid])
        ),
        labels=known,
        moved=moved,
        ends=edges(result.traces, winner, metric, moved),
        turned=() if stops else turned(result.confirmed, winner, metric, grid=plan.grid, error=error, labels=known),
    )


def _contenders(plan: Plan, result: Result, valid: np.ndarray) -> list[Contender]:
    return [
        Contender(
            id=item.candidate.id,
            prediction=as_read(item.predictions[valid]),
            cost=plan.costs.get(item.candidate.id, float(plan.lengths.steps(batch_of(item.candidate)))),
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    ]


def _cost_unit(teams: ModuleTeams) -> str:
    """What costs count: steps, where models differ in size those that the default's model would take as long for."""
    return "steps of a model of the default's size" if teams.others else "steps"
