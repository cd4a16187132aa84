"""Puts what a fit found into the one document that ``--json``, the report and the run store share."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lanewise._version import __version__
from lanewise.composing.against_guess import (
    few_test_groups,
    more_groups,
    over_guess,
    some_beat_guess,
)
from lanewise.composing.importance_section import importance_section
from lanewise.composing.interval_words import interval_words
from lanewise.composing.on_test import evaluations, guess_at_half
from lanewise.composing.passed_over import passed_over
from lanewise.composing.race_section import (
    card,
    choices,
    edge_section,
    effect_section,
    effects_of,
    ensemble_section,
    event_section,
    race_section,
)
from lanewise.composing.sample_words import sample_words, winner_rows
from lanewise.composing.selection_section import columns_read, reads_words, selection_section, sparsity
from lanewise.composing.stage import Stage, families_without_room, respond
from lanewise.composing.standing_in import default_words, standing_in
from lanewise.data.dataset import Dataset
from lanewise.evaluation import Evaluation
from lanewise.explain import (
    Diagnosis,
    Fit,
    Outcome,
    Score,
    diagnose,
    one_at_a_time_seconds,
    spent,
    summary,
    total,
    trainings,
    usage,
)
from lanewise.explain.aspects import listed
from lanewise.explain.cost import Solo
from lanewise.explain.looks import diverged
from lanewise.formatting.labels import counted_once, told_apart
from lanewise.reporting.document import SCHEMA_VERSION
from lanewise.reporting.reading import LEAKS
from lanewise.settings.budget import parse_budget
from lanewise.statistics import Difference
from lanewise.training.device import device_name, device_of
from lanewise.training.planning.left_out import no_room
from lanewise.training.planning.proposals import DEFAULT_ROUNDS
from lanewise.training.problem import Problem
from lanewise.training.products import one_thread_each
from lanewise.training.watching.trace import looks
from lanewise.training.workers.process import counted_again

TRAIN_SAMPLE = 4000
"""Training rows that the training score of an ensemble is taken on; a single winner has those of its looks."""

SHORTEST_ADVISED = 60.0
"""Seconds of budget that are advised at the least where a shorter one confirmed nothing but the default."""


@one_thread_each()
def compose(stage: Stage) -> dict[str, Any]:
    """The run document: see :mod:`lanewise.reporting.document` for its keys."""
    problem = stage.problem
    estimates = evaluations(stage)
    metric = problem.metric
    made = choices(stage)
    guess = guess_at_half(stage)
    moved = effects_of(stage, guess)
    effects, upshot = effect_section(moved)
    ends = edge_section(stage, moved)
    lead = over_guess(stage)
    diagnosis = _diagnosis(stage, guess, estimates, lead)
    return {
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
        "positive": problem.task.positive,
        "weighed_by": _weighed_by(stage) or None,
        "seed": stage.settings.seed,
        "seconds": stage.seconds,
        "candidates": len(stage.plan.candidates),
        "lanes": len(stage.result.traces) + sum(len(item.members) for item in stage.refitted.values()),
        "model_sha256": stage.sha256,
        # Last which workers died: that changed nothing.
        "warnings": [*_warnings(stage), *counted_again(stage.replaced)],
        "winner": _winner(stage),
        "default": _default(stage),
        "summary": _summary(stage, estimates, lead, (*([upshot] if upshot else []), *(end["words"] for end in ends))),
        "cross_validation": _cross_validation(stage),
        "test": estimates["model"].estimates() if estimates else {},
        "baselines": {name: found.estimates() for name, found in estimates.items() if name != "model"},
        "rows": _rows(stage),
        "race": race_section(stage, made, ends),
        "effects": effects,
        "ensemble": ensemble_section(stage),
        "diagnosis": None if diagnosis is None else asdict(diagnosis),
        **importance_section(stage),
        "selection": selection_section(stage),
        "findings": [asdict(finding) for finding in problem.findings],
        "columns": _columns(problem),
        "threshold": None if stage.cutoff is None else asdict(stage.cutoff),
        "hardware": _hardware(stage),
        "events": event_section(stage),
        **(estimates["model"].details() if estimates else {}),
    }


def _rows(stage: Stage) -> dict[str, int | None]:
    """How many rows trained, tested and were set aside; of a streamed table also how many trained the winner."""
    problem = stage.problem
    return {
        "train": problem.training_rows,
        "test": len(problem.test),
        "set_aside": _rows_read(problem) - problem.training_rows - len(problem.test),
        **({} if problem.rest is None else {"winner": winner_rows(stage)}),
    }


def _warnings(stage: Stage) -> list[str]:
    """What to keep in mind, first what makes every score here untrue, last the families that were not tried."""
    found = [finding for finding in stage.problem.findings if finding.severity == "warning"]
    words = [finding.message for finding in sorted(found, key=lambda one: one.code not in LEAKS)]
    missing = families_without_room(stage.plan, stage.settings)
    if missing:
        words.append(f"the budget left no room for {listed(missing)}: {no_room(stage.plan)}")
    held, parts = stage.plan.folds, len(stage.problem.folds)
    if held < parts:
        words.append(f"the budget left room for {held} of {parts} folds: fewer rows judge the candidates")
    usual = standing_in(stage)
    if usual is not None and not usual.left_out:
        words.append(
            f"the budget left no room for {usual.family} at its full length: its candidates were trained shorter"
        )
    rounds = int(stage.default.number("rounds", DEFAULT_ROUNDS))
    if rounds < DEFAULT_ROUNDS:
        own = f"the default, {stage.default.model}"
        words.append(f"the budget left room for {rounds} rounds of {own}, instead of {DEFAULT_ROUNDS}")
    return words


def _winner(stage: Stage) -> dict[str, Any]:
    if not stage.choice.is_ensemble:
        return card(stage.winner, stage.plan.lengths, winner_and_default(stage)[0])
    members = {name: round(weight, 4) for name, weight in stage.choice.weights.items()}
    return {
        "id": "ensemble",
        "label": winner_and_default(stage)[0],
        "model": "ensemble",
        "optimizer": "greedy selection",
        "hyperparameters": members,
    }


def _default(stage: Stage) -> dict[str, Any]:
    usual = standing_in(stage)
    known = {} if usual is None else {"stands_in_for": usual.family, "why": usual.why}
    return {**card(stage.default, stage.plan.lengths, winner_and_default(stage)[1]), **known}


def winner_and_default(stage: Stage) -> tuple[str, str]:
    """What the winner and the default are called beside each other."""
    if stage.choice.is_ensemble:
        return f"ensemble of {len(stage.choice.weights)} candidates", stage.default.label
    winner, default = told_apart((one.label, one.settings) for one in (stage.winner, stage.default))
    return winner, default


def _cross_validation(stage: Stage) -> dict[str, dict[str, float]]:
    """The score of the deciding metric, corrected for having picked the best of many.

    For an ensemble it is moved by what the ensemble gained over the single winner on rows that chose neither.
    """
    found, mixed = stage.choice.corrected, stage.choice.ensemble
    gained = mixed.ensemble - mixed.single if stage.choice.is_ensemble and mixed is not None else 0.0
    return {
        stage.problem.metric.name: {
            "value": found.value + gained,
            "low": found.low + gained,
            "high": found.high + gained,
        }
    }


def _summary(
    stage: Stage, estimates: dict[str, Evaluation], lead: Difference | None, moved: tuple[str, ...]
) -> list[str]:
    """The result in plain sentences; choices and warnings have sections of their own."""
    problem, choice = stage.problem, stage.choice
    name = problem.metric.name
    scores = {who: Score.of(found.scores[name]) for who, found in estimates.items() if name in found.scores}
    ahead = choice.selection.standing(choice.selection.winner).ahead_of_default
    if choice.is_ensemble:
        ahead = None if choice.ensemble is None else choice.ensemble.over_default
    winner, default = winner_and_default(stage)
    default_won = stage.winner.is_default and not choice.is_ensemble
    outcome = Outcome(
        target=problem.task.target,
        positive=problem.task.positive,
        winner=winner,
        is_default=default_won,
        test=scores.get("model"),
        rows=len(problem.test),
        weighed=_weighed_by(stage),
        trained=sum(finding.count or 0 for finding in problem.findings if finding.code == "trained_on_test"),
        guess=scores.get("dummy"),
        over_guess=lead,
        some_beat=some_beat_guess(stage, lead),
        ranks=_ranks(estimates, name),
        alone=len(stage.plan.candidates) == 1 and len(stage.result.confirmed) == 1,
        default=default,
        stand_in=default_words(stage, default),
        default_test=scores.get("default"),
        over_default=ahead,
        ties=() if choice.is_ensemble else _ties(stage),
        effects=moved,
        threshold=stage.cutoff.headline if stage.cutoff else "",
        widths=interval_words(stage.predictor.interval),
        sample=sample_words(stage),
        reads=reads_words(stage),
        cut_short=_cut_short(stage),
        scored_best=passed_over(stage),
        mixed=choice.is_ensemble,
        as_asked=choice.is_ensemble and choice.ensemble is not None and not choice.ensemble.worthwhile,
        few_groups=few_test_groups(problem),
        more_groups=more_groups(problem),
    )
    return summary(outcome, problem.metric)


def _ranks(estimates: Mapping[str, Evaluation], deciding: str) -> Score | None:
    """How well the final model orders the test rows, where another metric decides."""
    found = estimates["model"].scores.get("roc_auc") if "model" in estimates and deciding != "roc_auc" else None
    return None if found is None else Score.of(found)


def _weighed_by(stage: Stage) -> str:
    """By what the rows of every score are weighed; empty where all count alike."""
    settings = stage.settings
    column = [repr(settings.weight)] if settings.weight else []
    known = listed([*column, *(["class"] if settings.class_weights else [])])
    return known or ("" if stage.problem.weight is None else "sample weights")


def _cut_short(stage: Stage) -> str:
    """That the budget left room to confirm the default alone, and which to try; empty where it left more.

    Others that diverged had their chance.
    """
    given = stage.settings.budget
    seconds, steps = parse_budget(given) if given else (None, None)
    lost = {trace.lane.candidate.id for trace in stage.result.traces if diverged(trace)}
    sound = [one for one in stage.plan.candidates if one.id not in lost]
    alone = steps is None and len(stage.plan.candidates) == 1 and stage.settings.candidates != 1
    if len(stage.result.confirmed) > 1 or (len(sound) < 2 and not alone):
        return ""
    more = f"{4 * steps}steps" if steps else f"{max(SHORTEST_ADVISED, 4 * seconds):g}s" if seconds else "10min"
    if stage.plan.left_out:
        more = f"{stage.plan.advised_seconds:.0f}s"  # as the warning says
    return f"{f'a budget of {given}' if given else 'the usual budget'} left room to confirm it alone; try {more}"


def _ties(stage: Stage) -> tuple[str, ...]:
    """The candidates that tie with the winner, told from it and from each other."""
    selection = stage.choice.selection
    tied = [stage.candidate(id) for id in selection.ties if id not in stage.choice.weights]
    labels = told_apart((one.label, one.settings) for one in (stage.winner, *tied))
    return tuple(counted_once(labels[1:]))


def _some(dataset: Dataset, rows: np.ndarray) -> Dataset:
    return Dataset(frame=dataset.frame[rows], kinds=dataset.kinds, source=dataset.source)


def _diagnosis(
    stage: Stage, guess: float, estimates: Mapping[str, Evaluation], lead: Difference | None
) -> Diagnosis | None:
    problem, choice = stage.problem, stage.choice
    item = next(one for one in stage.result.confirmed if one.candidate.id == choice.selection.winner)
    found = choice.corrected
    # An ensemble is set beside its own out-of-fold score; it has no curve, and learned all training rows.
    mixed = choice.ensemble if choice.is_ensemble else None
    metric = problem.metric
    test = estimates["model"].scores if "model" in estimates else {}
    rival = estimates["dummy"].scores if "dummy" in estimates else {}
    fit = Fit(
        train=item.train_curve[stage.plan.grid.index(item.stop)] if mixed is None else _train_score(stage),
        valid=found.value if mixed is None else mixed.ensemble,
        guess=guess,
        curve=item.curve if mixed is None else (),
        fractions=stage.plan.grid if mixed is None else (),
        error=(found.high - found.low) / 3.92,
        behind=bool(test) and metric.sign * test[metric.name].value >= metric.sign * rival[metric.name].value,
        r2=test["r2"].value if "r2" in test else math.nan,
        ahead=lead is not None and lead.low > 0,
        at_half=metric.uses_threshold and stage.predictor.threshold != 0.5,
    )
    if mixed is not None:
        return diagnose(fit, metric, None)
    read = columns_read(stage)
    kept = None if read is None else (len(read), len(problem.features))
    sparse = sparsity(stage)
    removed = None if sparse is None else (len(sparse.unread), sparse.columns)
    return diagnose(fit, metric, stage.winner, stop=item.stop, columns=removed, read=kept)


def _train_score(stage: Stage) -> float:
    """Score of the final model on a sample of the rows that it was trained on."""
    problem = stage.problem
    rng = np.random.default_rng(stage.settings.seed)
    rows = np.sort(rng.permutation(problem.train)[:TRAIN_SAMPLE])
    weight = problem.weights_of(rows)
    return problem.metric.score(problem.y[rows], respond(stage, _some(problem.dataset, rows)), weight)


def _hardware(stage: Stage) -> dict[str, Any]:
    """What ran where and what it cost, beside what a plain loop over the same trainings would have cost."""
    plan = stage.plan
    solo = [
        Solo(steps=amount, seconds_per_step=stage.solo_costs[id])
        for id, amount in trainings(stage.result.traces).items()
        if id in stage.solo_costs
    ]
    solo += [
        Solo(steps=count, seconds_per_step=plan.solo_looks[id])
        for id, count in looks(stage.result.traces).items()
        if id in plan.solo_looks
    ]
    hardware: dict[str, Any] = {
        "device": device_name(device_of(stage.settings.device)),
        "threads": plan.workers,
        "precision": plan.precision,
        "seconds": stage.seconds,
        "budget_seconds": parse_budget(stage.settings.budget)[0] if stage.settings.budget else None,
        "predicted_memory_bytes": plan.predicted_bytes or None,
        "race_cpu_seconds": None if stage.race_cost is None else stage.race_cost.cpu_seconds,
        "one_at_a_time_seconds": one_at_a_time_seconds(solo) if solo else None,
    }
    if stage.before is not None:
        cost = total([spent(stage.before, usage()), *stage.elsewhere])
        hardware["cpu_seconds"] = cost.cpu_seconds
        hardware["peak_memory_bytes"] = cost.peak_memory_bytes
        hardware |= {"energy_wh": cost.energy_wh, "energy_words": cost.energy_words}
    if stage.elsewhere:
        hardware["ranks"] = 1 + len(stage.elsewhere)
    return hardware


def _rows_read(problem: Problem) -> int:
    rest = problem.dataset.rest
    return len(problem.y) + (0 if rest is None else rest.rows)


def _columns(problem: Problem) -> list[dict[str, Any]]:
    frame, rest = problem.dataset.frame, problem.dataset.rest
    roles = dict.fromkeys(problem.features, "feature") | {problem.task.target: "target"}
    return [
        {
            "name": name,
            "kind": kind,
            "missing": frame[name].null_count() + (0 if rest is None else rest.facts[name].missing),
            "role": roles.get(name, "set aside"),
            "reason": problem.set_aside.get(name),
        }
        for name, kind in problem.dataset.kinds.items()
    ]
