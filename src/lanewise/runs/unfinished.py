"""What a run without a result has shown so far, from its plan and its checkpoints; this loads nothing of weight."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lanewise.errors import StoreError
from lanewise.formatting.metric_labels import LOWER
from lanewise.lanes.candidate import Candidate
from lanewise.runs.run import Run
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.modelfile import load_manifest
from lanewise.storage.strict_json import parse_json
from lanewise.training.planning.plan import Plan

PHASES = ("screen", "confirm", "refit")
UNITS = {"lightgbm": "rounds", "forest": "trees", "tree": "tree", "lbfgs": "iterations"}
"""What the length of a training is counted in, by family or optimizer; in steps where it is neither."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The last look at one lane."""

    phase: str
    lane: str
    fraction: float
    steps: int
    score: float | None

    @property
    def candidate(self) -> str:
        """The id of the lane's candidate, before fold and seed."""
        return self.lane.rsplit(".", 2)[0]


def unfinished(run: Run) -> dict[str, Any] | None:
    """The document of a run that was stopped or is at work: every candidate that was looked at, the best first.

    A candidate stands where it was looked at last: those of the confirmation before those that only the screen has
    seen. Its ``score`` is the mean over its ``lanes``, ``trained`` their part of the full length. ``left`` counts those
    that the screen kept, None where that is not known (yet). None where nothing was planned yet.
    """
    try:
        content = parse_json(run.plan.read_bytes(), source=f"the plan of run {run.id}")
    except OSError:
        return None
    plan = Plan.from_json(content.get("plan", content))  # a tune keeps more beside its plan
    states = list(_states(run))
    last: dict[tuple[str, str], _Seen] = {}
    for item in (item for phase, state in states for item in _seen(phase, state)):
        key = item.phase, item.lane  # of a screen every rung has states of its own
        last[key] = max(last.get(key, item), item, key=lambda one: one.fraction)
    seen = list(last.values())
    metric = next((_metric(state) for _, state in states if state.get("metric")), None)
    known = {candidate.id: candidate for candidate in plan.candidates}
    cards = [_card(known.get(id), id, seen, plan) for id in dict.fromkeys(item.candidate for item in seen)]
    phases = [phase for phase, _ in states]
    phase = max(phases, key=PHASES.index, default="screen" if plan.rungs else "confirm")
    return {
        "schema_version": 1,
        "run": run.id,
        "kind": run.config.get("kind", "fit"),
        "created": run.created,
        "status": run.status,
        "target": run.target,
        "phase": phase,
        "metric": metric,
        "planned": len(plan.candidates),
        "left": _left(plan, phase, cards),
        "candidates": sorted(cards, key=lambda card: _place(card, metric or {})),
        "resume": f"lanewise resume {run.id}" if run.status == "interrupted" else None,
    }


def _left(plan: Plan, phase: str, cards: Sequence[Mapping[str, Any]]) -> int | None:
    """How many the screen kept: as the plan says, else once all were looked at; before that a team may wait for it."""
    if plan.confirmed or not plan.rungs:
        return len(plan.confirmed) or None
    return sum(card["phase"] == "confirm" for card in cards) or None if phase == "refit" else None


def _metric(state: Mapping[str, Any]) -> dict[str, str]:
    """The metric that the states of teams name; those of an earlier version leave out its direction."""
    name = str(state["metric"])
    return {"name": name, "direction": str(state.get("direction") or ("min" if name in LOWER else "max"))}


def _states(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The phase and the newest state of every team that has saved one; who is at work may replace them meanwhile."""
    for folder in sorted(run.checkpoints.glob("*")):
        phase = next((name for name in PHASES if folder.name.startswith(name)), None)
        for step in reversed(Checkpoints(folder).steps() if phase else ()):
            try:
                manifest = load_manifest(folder / f"step-{step:012d}")
            except StoreError:
                continue
            yield str(phase), manifest["state"]
            break


def _seen(phase: str, state: Mapping[str, Any]) -> list[_Seen]:
    """The looks at the lanes of one team; a refit has no rows to be looked at."""
    return [
        _Seen(
            phase=phase,
            lane=item["lane"],
            fraction=item["fraction"],
            steps=round(item["fraction"] * state.get("length", 0)),
            score=item.get("score"),
        )
        for item in state["evidence"]
        if phase != "refit"
    ]


def _card(candidate: Candidate | None, id: str, seen: Sequence[_Seen], plan: Plan) -> dict[str, Any]:
    """What is known of one candidate; one that was proposed on the way is not in the plan, and has no settings here."""
    own = [item for item in seen if item.candidate == id]
    phase = max((item.phase for item in own), key=PHASES.index)
    own = [item for item in own if item.phase == phase]
    scores = [item.score for item in own if item.score is not None]
    unit = "steps" if candidate is None else UNITS.get(candidate.model, UNITS.get(candidate.optimizer, "steps"))
    return {
        "id": id,
        "label": id if candidate is None else candidate.label,
        "default": candidate is not None and candidate.is_default,
        "model": None if candidate is None else candidate.model,
        "optimizer": None if candidate is None else candidate.optimizer,
        "hyperparameters": {} if candidate is None else dict(candidate.settings),
        "phase": phase,
        "lanes": len(own),
        "of_lanes": plan.folds * len(plan.seeds) if phase == "confirm" else 1,
        "trained": sum(item.fraction for item in own) / len(own),
        "steps": round(sum(item.steps for item in own) / len(own)),
        "unit": unit,
        "score": sum(scores) / len(scores) if scores else None,
    }


def _place(card: Mapping[str, Any], metric: Mapping[str, str]) -> tuple[Any, ...]:
    """Confirmed before screened, those on more lanes and trained longer first, then by score."""
    score = card["score"]
    sign = -1 if metric.get("direction") == "max" else 1
    seen = (-PHASES.index(card["phase"]), -card["lanes"], -round(card["trained"], 2))
    return (*seen, score is None, 0 if score is None else sign * score)
