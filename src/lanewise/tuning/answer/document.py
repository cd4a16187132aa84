"""The run document of a tuning race, as the report reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from lanewise._version import __version__
from lanewise.explain import decisions, sensitivity
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.selection import Selection, Standing
from lanewise.statistics import CorrectedScore, bootstrap_interval
from lanewise.training.judging import Confirmed, as_read
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.training.watching.trace import Trace


def document_of(
    *,
    plan: Plan,
    result: Result,
    selection: Selection,
    metric: Metric,
    final: Metric,
    y: np.ndarray,
    valid: np.ndarray,
    stops: bool,
    train_rows: int,
    words: Sequence[str],
    warnings: Sequence[str],
    digests: Mapping[str, str],
    corrected: CorrectedScore,
    weights: Mapping[str, int],
) -> dict[str, Any]:
    """Race, leaderboard, learning rates and choices; ``final`` is the metric of all trainings of a
    candidate together; ``valid`` names the validation rows among all ``y [N]``. ``stops`` says whether candidates are
    judged where they were best.

    ``digests`` are checksums of the trained weights, by the id of the lane; ``corrected`` is the score to expect of the
    winner; ``weights`` counts what each candidate trains, by id.
    """
    by_id = {candidate.id: candidate for candidate in (*plan.candidates, *(own.candidate for own in result.confirmed))}
    winner = by_id[selection.winner]
    default = plan.candidates[0]
    judged = _on_rows(result, valid)
    confirmed = {own.candidate.id: own for own in judged.confirmed}
    made = decisions(judged, winner.id, y=y[valid], metric=final, seed=0, costs=plan.costs)
    board = [_row(standing, confirmed[standing.id], winner, final, y[valid]) for standing in selection.standings]
    whole = {}
    if stops:
        curves = [(own.candidate.id, list(own.curve)) for own in result.confirmed]
        whole["judged"] = [{"candidate": id, "x": list(plan.grid), "valid": curve} for id, curve in curves]
        board = [{**row, "stop": confirmed[row["id"]].stop} for row in board]
    best = next(row for row in board if row["id"] == winner.id)
    return {
        "version": __version__,
        "target": winner.model,
        "summary": list(words),
        "warnings": list(warnings),
        "metric": {"name": metric.name, "direction": metric.direction, "words": metric.words},
        "rows": {"train": train_rows},
        "candidates": len(plan.candidates),
        "lanes": len(result.traces),
        "seconds": sum(result.seconds.values()),
        "winner": _card(winner),
        "default": _card(default),
        "validation": {metric.name: {"value": best["score"], "low": best["low"], "high": best["high"]}},
        "corrected": {metric.name: {"value": corrected.value, "low": corrected.low, "high": corrected.high}},
        "race": {
            "phases": [],
            "curves": [_curve(place, trace, winner, digests) for place, trace in enumerate(result.traces)],
            "sensitivity": [asdict(series) for series in sensitivity(result.traces, metric)],
            **whole,
            "leaderboard": board,
            "tradeoffs": [{**row, "weights": weights[row["id"]]} for row in board],
            "decisions": [asdict(decision) for decision in made],
        },
    }


def _on_rows(result: Result, valid: np.ndarray) -> Result:
    confirmed = tuple(replace(own, predictions=own.predictions[valid]) for own in result.confirmed)
    return replace(result, confirmed=confirmed)


def _card(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "label": candidate.label,
        "model": candidate.model,
        "optimizer": candidate.optimizer,
        "hyperparameters": dict(candidate.settings),
    }


def _status(candidate: Candidate, winner: Candidate, fate: str) -> str:
    if candidate.id == winner.id:
        return "winner"
    if candidate.is_default:
        return "default"
    return fate if fate in ("confirmed", "diverged") else "pruned"


def _curve(place: int, trace: Trace, winner: Candidate, digests: Mapping[str, str]) -> dict[str, Any]:
    candidate = trace.lane.candidate
    return {
        "lane": place,
        "phase": trace.phase,
        "candidate": candidate.id,
        "label": candidate.label,
        "optimizer": candidate.optimizer,
        "seed": trace.lane.seed,
        "status": _status(candidate, winner, trace.fate),
        "x": trace.fractions,
        "valid": trace.scores,
        "train": trace.train_losses,
        "weights_sha256": digests.get(trace.lane.id) if trace.phase == "confirm" else None,
    }


def _row(standing: Standing, own: Confirmed, winner: Candidate, metric: Metric, y: np.ndarray) -> dict[str, Any]:
    behind, candidate = standing.behind_winner, own.candidate
    interval = bootstrap_interval(metric, y, as_read(own.predictions), seed=0, draws=200)
    return {
        **_card(candidate),
        "rank": standing.rank,
        "score": standing.score,
        "low": interval.low,
        "high": interval.high,
        "seconds": own.seconds,
        "difference": metric.sign * behind.mean,
        "standard_error": behind.standard_error,
        "tie": standing.tied,
        "status": _status(candidate, winner, "confirmed"),
    }
