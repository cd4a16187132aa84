"""The part of the run document about the race: curves, leaderboard, choices, effects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from lanewise.composing.stage import Stage
from lanewise.explain import Edge, Effects, EnsembleTrial, decisions, edges, effects, sensitivity
from lanewise.explain.aspects import value_words
from lanewise.explain.confirmed_words import confirmed_words
from lanewise.explain.decisions import Decision
from lanewise.formatting.labels import told_apart
from lanewise.lanes.candidate import Candidate
from lanewise.statistics import bootstrap_interval
from lanewise.training.planning.plan import Lengths
from lanewise.training.planning.proposals import searched
from lanewise.training.race import Confirmed, Result
from lanewise.training.trees.team import raced_settings
from lanewise.training.watching.trace import Trace

NEAR = 1.25
"""Factor within which a rate counts as lying at the end of the range that a race searches."""
CURVE_POINTS = 24
"""Points of a loss curve that the document keeps: a race has hundreds of curves."""


def card(candidate: Candidate, lengths: Lengths, label: str = "") -> dict[str, Any]:
    """What names a candidate, by ``label`` if it is told from another there, and trains it again for these lengths."""
    return {
        "id": candidate.id,
        "label": label or candidate.label,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "hyperparameters": raced_settings(candidate, lengths),
    }


def race_section(stage: Stage, made: tuple[Decision, ...], ends: list[dict[str, Any]]) -> dict[str, Any]:
    """Phases, curves, sensitivity, what lies at an end of what was tried, leaderboard and choices."""
    result = stage.result
    phases = [
        {
            "name": name,
            "lanes": sum(trace.phase == name for trace in result.traces),
            "candidates": len({trace.lane.candidate.id for trace in result.traces if trace.phase == name}),
            "seconds": seconds,
        }
        for name, seconds in result.seconds.items()
        if any(trace.phase == name for trace in result.traces)
    ]
    return {
        "phases": phases,
        "rungs": [*result.rungs, *confirmed_words(result, stage.plan)],
        "curves": [_curve(stage, place, trace) for place, trace in enumerate(result.traces)],
        "judged": [_judged(item, stage.plan.grid) for item in result.confirmed if item.judged],
        "sensitivity": [asdict(series) for series in sensitivity(result.traces, stage.problem.metric)],
        "edges": ends,
        "leaderboard": _leaderboard(stage),
        "decisions": [asdict(decision) for decision in made],
    }


def choices(stage: Stage) -> tuple[Decision, ...]:
    """What was chosen over what, with the evidence for it."""
    problem, trial = stage.problem, None
    ensemble = stage.choice.ensemble
    if ensemble is not None:
        members = int((np.asarray(ensemble.weights) > 0).sum())
        trial = EnsembleTrial(
            members=members,
            ahead=ensemble.ahead,
            taken=stage.choice.is_ensemble,
            over_default=ensemble.over_default,
        )
    return decisions(
        _as_judged(stage),
        stage.choice.selection.winner,
        y=problem.y,
        metric=problem.metric,
        seed=stage.settings.seed,
        weight=problem.weight,
        clusters=problem.clusters,
        costs={contender.id: contender.cost for contender in stage.choice.contenders},
        cheaper="simpler",
        ensemble=trial,
    )


def _as_judged(stage: Stage) -> Result:
    """The result with predictions for the rows that decided, and for no others."""
    rows = stage.choice.rows
    confirmed = []
    for item in stage.result.confirmed:
        predictions = np.full_like(item.predictions, np.nan)
        predictions[rows] = item.predictions[rows]
        confirmed.append(replace(item, predictions=predictions))
    return replace(stage.result, confirmed=tuple(confirmed))


def _status(stage: Stage, candidate: Candidate, fate: str) -> str:
    if candidate.id in stage.choice.weights:
        return "member" if stage.choice.is_ensemble else "winner"
    if candidate.is_default:
        return "default"
    return fate if fate in ("confirmed", "diverged") else "pruned"


def _curve(stage: Stage, place: int, trace: Trace) -> dict[str, Any]:
    candidate = trace.lane.candidate
    last = len(trace.fractions) - 1
    kept = [*range(0, last, max(1, last // CURVE_POINTS)), last] if last >= 0 else []
    return {
        "lane": place,
        "phase": trace.phase,
        "candidate": candidate.id,
        "label": candidate.label,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "fold": trace.lane.fold,
        "seed": trace.lane.seed,
        "status": _status(stage, candidate, trace.fate),
        "x": [trace.fractions[at] for at in kept],
        "valid": [trace.scores[at] for at in kept],
        "train": [trace.train_scores[at] for at in kept],
    }


def _judged(item: Confirmed, grid: Sequence[float]) -> dict[str, Any]:
    """The way of a whole candidate: its score by the rows that judge, and the mean score of its lanes on training rows.

    Where it was stopped it ends at the score of the leaderboard, or next to it: there each fold stops by the others.
    """
    return {
        "candidate": item.candidate.id,
        "x": list(grid),
        "valid": list(item.judged),
        "train": list(item.train_curve),
    }


def _leaderboard(stage: Stage) -> list[dict[str, Any]]:
    problem, choice = stage.problem, stage.choice
    y, weight = problem.y[choice.rows], problem.weights_of(choice.rows)
    clusters = None if problem.clusters is None else problem.clusters[choice.rows]
    predictions = {contender.id: contender.prediction for contender in choice.contenders}
    confirmed: Mapping[str, Confirmed] = {item.candidate.id: item for item in stage.result.confirmed}
    rows = []
    for standing in choice.selection.standings:
        item = confirmed[standing.id]
        interval = bootstrap_interval(
            problem.metric,
            y,
            predictions[standing.id],
            seed=stage.settings.seed,
            weight=weight,
            groups=clusters,
            draws=200,
        )
        behind = standing.behind_winner
        rows.append(
            {
                "rank": standing.rank,
                **card(item.candidate, stage.plan.lengths),
                "score": standing.score,
                "low": interval.low,
                "high": interval.high,
                "difference": problem.metric.sign * behind.mean,
                "standard_error": behind.standard_error,
                "tie": standing.tied,
                "status": _status(stage, item.candidate, "confirmed"),
                "seconds": item.seconds,
                "stop": item.stop,
            }
        )
    return rows


def edge_section(stage: Stage, found: Effects | None) -> list[dict[str, Any]]:
    """The winner's settings at an end of what was tried; an ensemble has none of its own."""
    if stage.choice.is_ensemble:
        return []
    ends = edges(stage.result.traces, stage.winner, stage.problem.metric, found)
    return [end.told(_farther(end, stage.winner)) for end in ends]


def _farther(end: Edge, winner: Candidate) -> str:
    """What to do about a setting at an end: more candidates, unless a race tries none beyond it."""
    known = searched(winner.model, winner.optimizer, end.setting)
    if known is None:
        return ""
    up = end.side == "largest"
    limit = known[1] if up else known[0]
    if max(end.value, limit) <= NEAR * min(end.value, limit):
        return f"a race tries none {'above' if up else 'below'} {value_words(limit)}"
    return f"--candidates and a longer --budget try more, {'up' if up else 'down'} to {value_words(limit)}"


def effect_section(found: Effects | None) -> tuple[list[dict[str, Any]], str]:
    """How the score goes with each setting of the winner's family, and the upshot in a sentence.

    Only effects that survive the test: the others are noise that a chart would dress up.
    """
    return ([], "") if found is None else ([asdict(effect) for effect in found.effects if effect.evident], found.words)


def effects_of(stage: Stage, guess: float) -> Effects | None:
    """The effects of settings in the winner's family."""
    winner = stage.winner
    return effects(
        stage.result.traces,
        stage.problem.metric,
        model=winner.model,
        optimizer=winner.optimizer,
        seed=stage.settings.seed,
        guess=guess if np.isfinite(guess) else None,
    )


def ensemble_section(stage: Stage) -> dict[str, Any] | None:
    """The ensemble that was tried."""
    trial, choice = stage.choice.ensemble, stage.choice
    if trial is None:
        return None
    weights = zip(choice.contenders, trial.weights, strict=True)
    taken = [(stage.candidate(contender.id), float(weight)) for contender, weight in weights if weight > 0]
    labels = told_apart((one.label, one.settings) for one, _ in taken)
    members = [
        {"id": one.id, "label": label, "weight": weight} for label, (one, weight) in zip(labels, taken, strict=True)
    ]
    return {
        "members": sorted(members, key=lambda member: -member["weight"]),
        "score": trial.ensemble,
        "difference": trial.ahead.mean,
        "standard_error": trial.ahead.standard_error,
        "taken": choice.is_ensemble,
        "words": "score is on rows that chose none of its members, uncorrected; cross_validation is of the model that "
        "is handed over, corrected for having picked it",
    }


def event_section(stage: Stage) -> list[dict[str, Any]]:
    """Lanes that diverged and were rewound."""
    found = []
    for place, trace in enumerate(stage.result.traces):
        for event in trace.events:
            words = f"{event.cause}; went back to {event.restored:.0%} and on at {event.rate_factor:g} times the rate"
            label = trace.lane.candidate.label
            found.append({"step": round(event.fraction * 100), "lane": place, "label": label, "words": words})
    return found
