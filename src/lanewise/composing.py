"""Puts what a fit found into the one document that ``--json``, the report and the run store share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lanewise._version import __version__
from lanewise.deploy.predictor import Predictor
from lanewise.evaluation import Cutoff, Evaluation, dummy_prediction, evaluate
from lanewise.explain.decisions import EnsembleTrial, decisions
from lanewise.explain.effects import effects
from lanewise.explain.sensitivity import sensitivity
from lanewise.lanes.candidate import Candidate
from lanewise.reporting.document import SCHEMA_VERSION
from lanewise.runs.run import Run
from lanewise.selection import Contender, EnsembleComparison, Selection
from lanewise.settings import FitSettings
from lanewise.statistics import CorrectedScore, bootstrap_interval
from lanewise.training.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.race import Confirmed, Trace
from lanewise.training.race import Result as RaceResult
from lanewise.training.refit import Refitted

CURVE_POINTS = 24
"""Points of a loss curve that the document keeps: a race has hundreds of curves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What the evidence of a race decided: the winner, or the ensemble in its place.

    ``weights`` are those of the model's members by candidate id; ``rows`` the rows that out-of-fold
    predictions exist for.
    """

    contenders: tuple[Contender, ...]
    selection: Selection
    corrected: CorrectedScore
    ensemble: EnsembleComparison | None
    weights: Mapping[str, float]
    rows: np.ndarray

    @property
    def is_ensemble(self) -> bool:
        return len(self.weights) > 1


@dataclass(frozen=True, kw_only=True)
class Unrecorded:
    """Stands for the run of a fit that no run store keeps, as those of the scikit-learn estimators."""

    created: str
    command: str
    id: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """Everything that a fit has when its model is saved."""

    run: Run | Unrecorded
    settings: FitSettings
    problem: Problem
    plan: Plan
    result: RaceResult
    choice: Choice
    refitted: Mapping[str, Refitted]
    predictor: Predictor
    cutoff: Cutoff | None
    sha256: str
    seconds: float


def as_scored(problem: Problem, predictions: np.ndarray) -> np.ndarray:
    """Predictions in the form of the metrics: ``[N, K]`` for classes, ``[N]`` for numbers."""
    return predictions if problem.task.is_classification else predictions[:, 0]


def compose(stage: Stage) -> dict[str, Any]:
    """The run document: see :mod:`lanewise.reporting.document` for its keys."""
    problem = stage.problem
    estimates = _evaluations(stage)
    metric = problem.metric
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run": stage.run.id,
        "created": stage.run.created,
        "version": __version__,
        "command": stage.run.command or "lanewise.fit(...)",
        "source": problem.dataset.source,
        "target": problem.task.target,
        "task": problem.task.kind,
        "metric": {"name": metric.name, "direction": metric.direction, "words": metric.words},
        "classes": list(problem.task.classes),
        "seed": stage.settings.seed,
        "seconds": stage.seconds,
        "candidates": len(stage.plan.candidates),
        "lanes": len(stage.result.traces) + sum(len(item.members) for item in stage.refitted.values()),
        "model_sha256": stage.sha256,
        "warnings": [finding.message for finding in problem.findings if finding.severity == "warning"],
        "winner": _winner(stage),
        "default": _card(next(c for c in stage.plan.candidates if c.is_default)),
        "summary": list(_summary(stage, estimates.get("model"))),
        "cross_validation": _cross_validation(stage),
        "test": estimates["model"].estimates() if estimates else {},
        "baselines": {name: found.estimates() for name, found in estimates.items() if name != "model"},
        "rows": {
            "train": len(problem.train),
            "test": len(problem.test),
            "set_aside": len(problem.y) - len(problem.train) - len(problem.test),
        },
        "race": _race(stage),
        "effects": _effects(stage),
        "ensemble": _ensemble(stage),
        "findings": [asdict(finding) for finding in problem.findings],
        "columns": _columns(problem),
        "threshold": _threshold(stage.cutoff),
        "events": _events(stage),
        **(estimates["model"].details() if estimates else {}),
    }
    return document


def _candidate(stage: Stage, id: str) -> Candidate:
    return next(item.candidate for item in stage.result.confirmed if item.candidate.id == id)


def _card(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "label": candidate.label,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "hyperparameters": dict(candidate.settings),
    }


def _winner(stage: Stage) -> dict[str, Any]:
    if not stage.choice.is_ensemble:
        return _card(_candidate(stage, stage.choice.selection.winner))
    members = {name: round(weight, 4) for name, weight in stage.choice.weights.items()}
    return {
        "id": "ensemble",
        "label": f"ensemble of {len(members)} candidates",
        "model": "ensemble",
        "optimizer": "greedy selection",
        "hyperparameters": members,
    }


def model_prediction(stage: Stage) -> np.ndarray:
    """Predictions of the final model for the test rows, in the form of the metrics."""
    parts = [weight * stage.refitted[name].test for name, weight in stage.choice.weights.items()]
    return as_scored(stage.problem, np.sum(parts, axis=0))


def _evaluations(stage: Stage) -> dict[str, Evaluation]:
    """The final model, the default and a guess on the untouched test rows; nothing where no row is held out."""
    problem = stage.problem
    if not len(problem.test):
        return {}
    y = problem.y[problem.test]
    weight = None if problem.weight is None else problem.weight[problem.test]
    default = next(c.id for c in stage.plan.candidates if c.is_default)
    own = None if problem.weight is None else problem.weight[problem.train]
    predictions = {
        "model": model_prediction(stage),
        "dummy": dummy_prediction(problem.task, problem.y[problem.train], own, len(y)),
    }
    if default in stage.refitted:
        predictions["default"] = as_scored(problem, stage.refitted[default].test)
    threshold = stage.predictor.threshold
    return {
        name: evaluate(
            problem.task,
            y,
            predicted,
            weight,
            seed=stage.settings.seed,
            threshold=threshold if name == "model" else 0.5,
        )
        for name, predicted in predictions.items()
    }


def _cross_validation(stage: Stage) -> dict[str, dict[str, float]]:
    """The corrected score of the deciding metric; with an ensemble, the score of the crossed comparison."""
    found = stage.choice.corrected
    return {stage.problem.metric.name: {"value": found.value, "low": found.low, "high": found.high}}


def _summary(stage: Stage, test: Evaluation | None) -> list[str]:
    choice, metric = stage.choice, stage.problem.metric
    found, rows = choice.corrected, "out of fold"
    if test is not None:
        found, rows = test.scores[metric.name], "on the untouched test rows"
    score = f"{metric.name} {found.value:.4g} ({found.low:.4g} to {found.high:.4g}) {rows}"
    lines = [f"{_winner(stage)['label']} wins: {score}.", *choice.selection.reasons]
    if choice.ensemble is not None:
        lines.append(choice.ensemble.reason)
    return lines


def _race(stage: Stage) -> dict[str, Any]:
    result = stage.result
    evidence = _evidence(stage)
    trial = None
    if stage.choice.ensemble is not None:
        members = int((np.asarray(stage.choice.ensemble.weights) > 0).sum())
        trial = EnsembleTrial(members=members, ahead=stage.choice.ensemble.ahead, taken=stage.choice.is_ensemble)
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
        "curves": [_curve(stage, place, trace) for place, trace in enumerate(result.traces)],
        "sensitivity": [asdict(series) for series in sensitivity(result.traces, stage.problem.metric)],
        "leaderboard": _leaderboard(stage),
        "decisions": [
            asdict(decision)
            for decision in decisions(
                result,
                stage.choice.selection.winner,
                **evidence,
                costs=stage.plan.costs,
                ensemble=trial,
            )
        ],
    }


def _evidence(stage: Stage) -> dict[str, Any]:
    problem = stage.problem
    return {
        "y": problem.y,
        "metric": problem.metric,
        "seed": stage.settings.seed,
        "weight": problem.weight,
        "clusters": problem.clusters,
    }


def _status(stage: Stage, candidate: Candidate, fate: str) -> str:
    if candidate.id in stage.choice.weights:
        return "winner"
    if candidate.is_default:
        return "default"
    return fate if fate in ("confirmed", "diverged") else "pruned"


def _curve(stage: Stage, place: int, trace: Trace) -> dict[str, Any]:
    candidate = trace.lane.candidate
    step = max(1, len(trace.fractions) // CURVE_POINTS)
    return {
        "lane": place,
        "candidate": candidate.id,
        "label": candidate.label,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "fold": trace.lane.fold,
        "seed": trace.lane.seed,
        "status": _status(stage, candidate, trace.fate),
        "x": trace.fractions[::step],
        "valid": trace.scores[::step],
        "train": trace.train_losses[::step],
    }


def _leaderboard(stage: Stage) -> list[dict[str, Any]]:
    problem, choice = stage.problem, stage.choice
    y, weight = problem.y[choice.rows], None if problem.weight is None else problem.weight[choice.rows]
    predictions = {contender.id: contender.prediction for contender in choice.contenders}
    confirmed: Mapping[str, Confirmed] = {item.candidate.id: item for item in stage.result.confirmed}
    rows = []
    for standing in choice.selection.standings:
        item = confirmed[standing.id]
        interval = bootstrap_interval(
            problem.metric, y, predictions[standing.id], seed=stage.settings.seed, weight=weight, draws=200
        )
        behind = standing.behind_winner
        rows.append(
            {
                "rank": standing.rank,
                **_card(item.candidate),
                "score": standing.score,
                "low": interval.low,
                "high": interval.high,
                "difference": problem.metric.sign * behind.mean,
                "standard_error": behind.standard_error,
                "tie": standing.tied,
                "status": _status(stage, item.candidate, "confirmed"),
                "seconds": item.seconds,
            }
        )
    return rows


def _effects(stage: Stage) -> list[dict[str, Any]]:
    winner = _candidate(stage, stage.choice.selection.winner)
    found = effects(
        stage.result.traces,
        stage.problem.metric,
        model=winner.model,
        optimizer=winner.optimizer,
        seed=stage.settings.seed,
    )
    return [] if found is None else [asdict(effect) for effect in found.effects]


def _ensemble(stage: Stage) -> dict[str, Any] | None:
    trial, choice = stage.choice.ensemble, stage.choice
    if trial is None:
        return None
    weights = zip(choice.contenders, trial.weights, strict=True)
    members = [
        {"id": contender.id, "label": _candidate(stage, contender.id).label, "weight": float(weight)}
        for contender, weight in weights
        if weight > 0
    ]
    return {
        "members": sorted(members, key=lambda member: -member["weight"]),
        "score": trial.ensemble,
        "difference": trial.ahead.mean,
        "standard_error": trial.ahead.standard_error,
        "taken": choice.is_ensemble,
    }


def _columns(problem: Problem) -> list[dict[str, Any]]:
    frame = problem.dataset.frame
    roles = dict.fromkeys(problem.features, "feature") | {problem.task.target: "target"}
    return [
        {
            "name": name,
            "kind": kind,
            "missing": frame[name].null_count(),
            "role": roles.get(name, "set aside"),
            "reason": problem.set_aside.get(name),
        }
        for name, kind in problem.dataset.kinds.items()
    ]


def _threshold(cutoff: Cutoff | None) -> dict[str, Any] | None:
    return None if cutoff is None else asdict(cutoff)


def _events(stage: Stage) -> list[dict[str, Any]]:
    found = []
    for place, trace in enumerate(stage.result.traces):
        for event in trace.events:
            words = f"{event.cause}; went back to {event.restored:.0%} and on at {event.rate_factor:g} times the rate"
            label = trace.lane.candidate.label
            found.append({"step": round(event.fraction * 100), "lane": place, "label": label, "words": words})
    return found
