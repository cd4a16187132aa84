"""What the evidence of a tuning race comes to: who won, why, and what its score is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.selection import Contender, Selection, corrected_score, select
from lanewise.statistics import CorrectedScore
from lanewise.training.modules.teams import ModuleTeams, batch_of
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.tuning.checking import Judge
from lanewise.tuning.posing import Question
from lanewise.tuning.winner_words import corrected_words, labels, named, winner_words
from lanewise.tuning.worth import no_difference


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """The winner of a race, ``seen [N]`` what it made of the rows that judge, and how sure that is.

    ``selection`` names candidates by their ``labels``; ``alike`` says, in a sentence, where nobody is better than the
    default by more than is worth having.
    """

    winner: Candidate
    seen: np.ndarray
    selection: Selection
    corrected: CorrectedScore
    alike: tuple[str, ...]
    labels: Mapping[str, str]

    def words(self, plan: Plan, judge: Judge) -> tuple[str, ...]:
        """The winner and why it won, the plan, and what its score is worth."""
        return (*winner_words(plan, self.selection, self.winner, judge, self.alike), *self.corrected_words(plan))

    def corrected_words(self, plan: Plan) -> list[str]:
        """What the score is worth once it is corrected for having been picked."""
        return corrected_words(self.corrected, len(self.selection.standings), len(plan.candidates))


def judged(plan: Plan, result: Result, question: Question, teams: ModuleTeams) -> Verdict:
    """The verdict on the confirmed candidates of ``result``, by the rows of ``question`` that judge."""
    rows = question.rows
    contenders = _contenders(plan, result, rows.judged.numpy())
    evidence: dict[str, Any] = {"y": np.zeros(len(rows.judged)), "metric": question.judge.metric, "seed": 0}
    known = labels(result, arguments=teams.arguments)
    selection = named(select(contenders, **evidence, cost_unit=_cost_unit(teams)), known)
    won = next(item for item in result.confirmed if item.candidate.id == selection.winner)
    return Verdict(
        winner=won.candidate,
        seen=won.predictions[:, 0],
        selection=selection,
        corrected=corrected_score(contenders, trained_rows=rows.trained, **evidence),
        alike=no_difference(selection, contenders, default=plan.candidates[0].id),
        labels=known,
    )


def _contenders(plan: Plan, result: Result, valid: np.ndarray) -> list[Contender]:
    return [
        Contender(
            id=item.candidate.id,
            prediction=item.predictions[valid, 0],
            cost=plan.costs.get(item.candidate.id, float(plan.lengths.steps(batch_of(item.candidate)))),
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    ]


def _cost_unit(teams: ModuleTeams) -> str:
    """What costs count: steps, where models differ in size those that the default's model would take as long for."""
    return "steps, counted in the size of the default's model" if teams.others else "steps"
