"""The choices of a race: what was taken over what, by how much, and how sure that is.

Two candidates are compared on the same out-of-fold rows, and the difference is counted in paired standard
errors. Each choice sets the winner against the best candidate that chose otherwise, whatever else either
sets. A pair is told once: where it answers several questions, as a choice of their combination, and where the rival is
the default, as the choice against that alone. Where the two differ in more, that is said: such a lead is that of one
candidate over another, not the effect of one setting, which :mod:`lanewise.explain.effects` looks for over all
candidates.
A rival that only the screen saw was scored on one fold alone: such a choice has no standard error and says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from lanewise.explain.aspects import ASPECTS, Aspect, chosen_words, differing, first_listed, listed
from lanewise.explain.looks import diverged
from lanewise.explain.pairs import Judge, Lead, judge_of
from lanewise.formatting.certainty import TIE, certainty, errors_shown
from lanewise.formatting.figures import gap
from lanewise.formatting.labels import told_apart
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.statistics import Difference
from lanewise.training.race import Confirmed, Result
from lanewise.training.watching.trace import Trace

SINGLES = "single candidates"
"""Between whom the finer choices are where an ensemble won."""

OVER_DEFAULT = "Better than the default?"

TOGETHER = " (of two whole candidates: none of these settings alone explains the difference)"
"""What a verdict on several settings at once does not say."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One choice. ``difference``: by how much the chosen one is better, in the unit of the metric.

    Negative where it is not: a tie may go to the default or to the cheaper. ``standard_errors`` is the
    difference counted in paired standard errors. Both are None where there is no evidence. ``among`` says who was
    compared, where it is not the winner: an ensemble won, and the choice is between ``single candidates``.
    """

    question: str
    chosen: str
    over: str
    difference: float | None
    standard_errors: float | None
    verdict: str
    among: str = ""


@dataclass(frozen=True, kw_only=True)
class EnsembleTrial:
    """The ensemble of ``members`` candidates that was tried; ``ahead`` of the single winner, positive if better.

    ``over_default`` is its lead over the default, if there is one.
    """

    members: int
    ahead: Difference
    taken: bool
    over_default: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class _Rival:
    """The best candidate that answered otherwise, and how far the winner is ahead of it."""

    candidate: Candidate
    lead: Lead | None
    screened: str = ""


def decisions(
    result: Result,
    winner: str,
    *,
    y: ArrayLike,
    metric: Metric,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    costs: Mapping[str, float] | None = None,
    cheaper: str = "cheaper",
    ensemble: EnsembleTrial | None = None,
) -> tuple[Decision, ...]:
    """Every choice that the race has evidence for, the largest first: against the default, model, optimizer, settings.

    A difference is *clear* from two standard errors, *likely* from one, else a tie. The rivals are the best
    of those that ran, so their lead is a little flattered; a choice among few candidates is surer.

    Args:
        result: of the race.
        winner: id of the confirmed candidate that won.
        y: ``[N]``.
        metric: decided the race.
        seed: key of the bootstrap draws; with that of the selection, its errors come out again.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are drawn together, or None.
        costs: by id, those that decided ties.
        cheaper: what that of a tie is called that costs less.
        ensemble: what came of trying one.
    """
    judge = judge_of(result.confirmed, y=y, metric=metric, seed=seed, weight=weight, clusters=clusters)
    chosen = next(item for item in result.confirmed if item.candidate.id == winner)
    mixed = ensemble if ensemble is not None and ensemble.taken else None
    search = _Search(result=result, chosen=chosen, judge=judge, costs=costs or {}, cheaper=cheaper, taken=mixed is None)
    first, rival = search.against_default() if mixed is None else (_ensemble_against_default(result, mixed), "")
    alone = [*search.broad(told=rival), *search.fine(told=rival)]
    if mixed is not None:  # first what is handed over, then what is best without it
        told = bool(first) and mixed.over_default == mixed.ahead  # the one model is the default
        own = [] if told else [_ensemble(mixed, metric)]
        return (*first, *own, *(replace(one, among=SINGLES) for one in alone))
    return (*first, *alone, *([] if ensemble is None else [_ensemble(ensemble, metric)]))


class _Search:
    """Finds for each question the best rival of the winner, confirmed if there is one, else screened."""

    def __init__(
        self,
        *,
        result: Result,
        chosen: Confirmed,
        judge: Judge,
        costs: Mapping[str, float],
        cheaper: str,
        taken: bool,
    ) -> None:
        self.chosen = chosen
        self.taken = taken  # it is what is handed over; else an ensemble is
        self.judge = judge
        self.costs = costs
        self.cheaper = cheaper
        losses = [(judge.loss(item), item) for item in result.confirmed if item is not chosen]
        ranked = sorted((pair for pair in losses if np.isfinite(pair[0])), key=lambda pair: pair[0])
        self.rivals = [item for _, item in ranked]
        self.screen = [trace for trace in result.traces if trace.phase == "screen"]
        self.traces = result.traces
        self.lost = {trace.lane.candidate.id for trace in result.traces if diverged(trace)}
        self.leads: dict[str, Lead | None] = {}

    @property
    def winner(self) -> Candidate:
        return self.chosen.candidate

    def against_default(self) -> tuple[list[Decision], str]:
        """The winner over the default, or the default over its best challenger; and the other's id, empty for none."""
        rival = self._rival(lambda one: one.is_default or self.winner.is_default)
        if rival is None:
            return [], ""
        pair = (self.winner, rival.candidate)
        labels = told_apart((one.label, one.settings) for one in pair)
        names = [f"the default, {label}" if one.is_default else label for one, label in zip(pair, labels, strict=True)]
        alike = self._twin(rival.candidate)  # their labels tell one setting, and no question below tells the others
        aspects = [aspect.name for aspect in differing(*pair)] if alike else []
        also = f" (the two differ in {first_listed(aspects)})" if len(aspects) > 1 else ""
        decided = self._decided(OVER_DEFAULT, names[0], names[1], rival, also=also)
        return [decided], rival.candidate.id

    def broad(self, *, told: str) -> list[Decision]:
        """Model family, and the optimizer within it."""
        found = []
        rival = self._rival(lambda one: one.model != self.winner.model)
        if _untold(rival, told):
            found.append(self._decided("Which model?", self.winner.model, rival.candidate.model, rival))
        rival = self._rival(lambda one: self._kin(one) and one.optimizer != self.winner.optimizer)
        if _untold(rival, told):
            found.append(self._decided("Which optimizer?", self.winner.optimizer, rival.candidate.optimizer, rival))
        return found

    def fine(self, *, told: str) -> list[Decision]:
        """Settings, among candidates of the winner's model and optimizer; a question per rival."""
        of_rival: dict[str, tuple[_Rival, list[Aspect]]] = {}
        for aspect in ASPECTS:
            rival = self._rival(lambda one, aspect=aspect: self._twin(one) and aspect.differs(self.winner, one))
            if _untold(rival, told):
                of_rival.setdefault(rival.candidate.id, (rival, []))[1].append(aspect)
        found = []
        for rival, asked in of_rival.values():
            others = [aspect.name for aspect in differing(self.winner, rival.candidate) if aspect not in asked]
            names = listed([aspect.name for aspect in asked])
            question = f"Which combination of {names}?" if len(asked) > 1 else f"Which {names}?"
            chosen = chosen_words(asked, self.winner, rival.candidate)
            over = chosen_words(asked, rival.candidate, self.winner)
            also = f" (the two also differ in {first_listed(others)})" if others else TOGETHER if len(asked) > 1 else ""
            found.append(self._decided(question, chosen, over, rival, also=also))
        return found

    def _kin(self, one: Candidate) -> bool:
        return one.model == self.winner.model

    def _twin(self, one: Candidate) -> bool:
        return self._kin(one) and one.optimizer == self.winner.optimizer

    def _rival(self, fits: Callable[[Candidate], bool]) -> _Rival | None:
        for item in self.rivals:
            if fits(item.candidate):
                return _Rival(candidate=item.candidate, lead=self._lead(item))
        screened = [trace for trace in self.screen if fits(trace.lane.candidate) and not self._is_winner(trace)]
        if screened:
            return self._screened(screened)
        lost = [t.lane.candidate for t in self.traces if fits(t.lane.candidate) and t.lane.candidate != self.winner]
        return _Rival(candidate=lost[0], lead=None, screened="the other diverged") if lost else None

    def _lead(self, item: Confirmed) -> Lead | None:
        id = item.candidate.id
        if id not in self.leads:
            self.leads |= {id: None, **self.judge.leads(self.chosen, [item])}
        return self.leads[id]

    def _screened(self, traces: Sequence[Trace]) -> _Rival:
        """The one that lasted longest, of these the best; compared where both had trained equally long."""
        sign = self.judge.metric.sign
        alive = [trace for trace in traces if trace.lane.candidate.id not in self.lost]
        sound = [trace for trace in alive if np.isfinite(trace.scores[-1:]).any()]
        if not sound:
            words = "the other diverged" if len(traces) == 1 else f"all {len(traces)} others diverged"
            return _Rival(candidate=traces[0].lane.candidate, lead=None, screened=words)
        best = min(sound, key=lambda trace: (-trace.fractions[-1], sign * trace.scores[-1]))
        own = next((trace for trace in self.screen if self._is_winner(trace)), None)
        both = _together(own, best) if own is not None else None
        if both is None:
            return _Rival(candidate=best.lane.candidate, lead=None, screened="no evidence on the same rows")
        fraction, mine, other = both
        lead = Lead(ahead=sign * (other - mine), error=None)
        share = "the whole training" if fraction >= 1 else f"{fraction:.0%} of the training"
        side = "better" if lead.ahead > 0 else "worse" if lead.ahead < 0 else "level"
        return _Rival(
            candidate=best.lane.candidate, lead=lead, screened=f"screen only: {side} on one fold after {share}"
        )

    def _is_winner(self, trace: Trace) -> bool:
        one = trace.lane.candidate
        return self._twin(one) and dict(one.settings) == dict(self.winner.settings)

    def _decided(self, question: str, chosen: str, over: str, rival: _Rival, *, also: str = "") -> Decision:
        lead = rival.lead
        words = rival.screened or "no score to compare with"
        if lead is not None and not rival.screened:
            words = verdict(lead, tie=self._tie(rival.candidate, lead))
        return Decision(
            question=question,
            chosen=chosen,
            over=over,
            difference=None if lead is None else lead.ahead,
            standard_errors=None if lead is None else lead.in_errors,
            verdict=words + also,
        )

    def _tie(self, rival: Candidate, lead: Lead) -> str:
        verb = "was" if self.taken else "would be"  # where an ensemble won
        if self.winner.is_default:
            return f"a tie: the default {verb} kept"
        mine, other = self.costs.get(self.winner.id), self.costs.get(rival.id)
        if mine is not None and other is not None and mine < other:
            return f"a tie: the {self.cheaper} {verb} taken"
        if lead.ahead > 0:
            return f"a tie: the better score {verb} taken"
        return "a tie: the other is not as clearly better than the default" if lead.ahead < 0 else "a tie"


def verdict(lead: Lead, *, tie: str = "a tie") -> str:
    """What a lead is worth, in words.

    >>> verdict(Lead(ahead=0.3, error=0.1)), verdict(Lead(ahead=0.3, error=0.2)), verdict(Lead(ahead=-0.1, error=0.2))
    ('clear', 'likely', 'a tie')
    """
    if lead.error is None:
        return "not enough rows to tell"
    if lead.error == 0:
        return "no difference" if lead.ahead == 0 else "clear" if lead.ahead > 0 else "the other scored better"
    steps = lead.ahead / lead.error
    if abs(steps) <= TIE:
        return tie
    return "the other scored better" if steps < 0 else certainty(steps)


def _untold(rival: _Rival | None, told: str) -> TypeGuard[_Rival]:
    """Whether there is a rival, and not the one that was ``told`` before: one comparison is told once."""
    return rival is not None and rival.candidate.id != told


def _together(own: Trace, other: Trace) -> tuple[float, float, float] | None:
    """The last share of the training that both reached, and both scores there."""
    mine, others = (dict(zip(trace.fractions, trace.scores, strict=True)) for trace in (own, other))
    shared = [f for f in mine if f in others and np.isfinite([mine[f], others[f]]).all()]
    return (max(shared), mine[max(shared)], others[max(shared)]) if shared else None


def _ensemble_against_default(result: Result, trial: EnsembleTrial) -> list[Decision]:
    """What is handed over is the ensemble, so it is the ensemble that the default is compared with."""
    default = next((item.candidate for item in result.confirmed if item.candidate.is_default), None)
    if default is None or trial.over_default is None:
        return []
    names = (f"an ensemble of {trial.members}", f"the default, {default.label}")
    return [_weighed(OVER_DEFAULT, names, trial.over_default)]


def _ensemble(trial: EnsembleTrial, metric: Metric) -> Decision:
    names = (f"an ensemble of {trial.members}", "one model")
    question = "An ensemble or one model?"
    if trial.taken:
        return _weighed(question, names, trial.ahead)
    ahead = trial.ahead.mean
    scored = "alike" if ahead == 0 or not np.isfinite(ahead) else gap(metric.name, ahead)
    scored += " better" if ahead > 0 else " worse" if ahead < 0 else ""
    tie = f"a tie: the ensemble scored {scored}, within one standard error, so one model was kept"
    kept = _weighed(question, (names[1], names[0]), trial.ahead, sign=-1.0, tie=tie)
    over_default = trial.over_default
    beats_default = over_default is None or over_default.mean > over_default.standard_error
    if trial.ahead.mean > trial.ahead.standard_error and not beats_default:
        return replace(kept, verdict=f"one model was kept, as the ensemble {_over_default(over_default)}")
    return kept


def _over_default(lead: Difference | None) -> str:
    """By how much an ensemble beats the default: too little, though it beats one model that was chosen as it was.

    >>> _over_default(Difference(mean=0.02, standard_error=0.1, low=0.0, high=0.0))
    'is only 0.2 standard errors better than the default, and it takes more than one'
    >>> _over_default(Difference(mean=0.1, standard_error=0.1, low=0.0, high=0.0))
    'is only 1 standard error better than the default, and it takes more than one'
    """
    steps = 0.0 if lead is None or not lead.standard_error else lead.mean / lead.standard_error
    if not steps > 0:
        return "is not better than the default"
    shown = errors_shown(steps)
    errors = "standard error" if shown == "1" else "standard errors"
    return f"is only {shown} {errors} better than the default, and it takes more than one"


def _weighed(
    question: str, names: tuple[str, str], ahead: Difference, *, sign: float = 1.0, tie: str = "a tie"
) -> Decision:
    """The first of ``names`` over the second, by a difference that is known already."""
    chosen, over = names
    error = ahead.standard_error
    lead = Lead(ahead=sign * ahead.mean, error=float(error) if np.isfinite(error) else None)
    known = bool(np.isfinite(lead.ahead))
    return Decision(
        question=question,
        chosen=chosen,
        over=over,
        difference=lead.ahead if known else None,
        standard_errors=lead.in_errors if known else None,
        verdict=verdict(lead, tie=tie) if known else "no score to compare with",
    )
