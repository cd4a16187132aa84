"""The document and the report of a fit that is trained: what it found, and what it took."""

from collections.abc import Mapping
from typing import Any

from lanewise.composing import compose, families_without_room
from lanewise.data.wording import counted
from lanewise.explain import Cost, Usage
from lanewise.fitting.stages import Trained
from lanewise.reporting.document import finite_or_null
from lanewise.reporting.reading import overrun_warning
from lanewise.reporting.report import reported
from lanewise.reporting.words import duration, listing
from lanewise.runs.run import Run
from lanewise.runs.stage_times import StageTimes
from lanewise.settings.fit import FitSettings
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.ranks.choosing import mesh_words

MUCH_UNSPENT = 0.1
"""Share of a budget from which it is said why it was left."""

ALL_PLANNED = "all families, folds and seeds were in the race, and it took no longer"


def documented(
    run: Run,
    problem: Problem,
    settings: FitSettings,
    trained: Trained,
    *,
    sha256: str,
    times: StageTimes,
    before: Usage,
    elsewhere: tuple[Cost, ...],
    resumed: bool,
) -> dict[str, Any]:
    """What ``run`` found, with its report written; ``sha256`` is that of the saved model.

    ``before`` is what the process had used when the fit began, ``elsewhere`` what other ranks used for all of it.
    """
    stage = trained.stage(
        run,
        problem,
        settings,
        sha256=sha256,
        seconds=times.elapsed(),
        before=before,
        elsewhere=elsewhere,
    )
    document = compose(stage)
    times.end("evaluate")
    document["seconds"] = document["hardware"]["seconds"] = times.elapsed()
    document["hardware"]["seconds_by_stage"] = times.seconds
    document["hardware"]["resumed"] = resumed
    if trained.crew.axis is not None or (trained.plan.mesh and trained.crew.ranks.size > 1):
        document["hardware"]["mesh"] = str(trained.crew.mesh)
        document["hardware"] |= trained.crew.exchanged
    if why := mesh_words(trained.plan, trained.crew):
        document["hardware"]["mesh_why"] = why
    # A repeat plans nothing, and takes what it takes.
    if "repeats" not in run.config and (unspent := _unspent(document, trained.plan, settings)):
        document["hardware"]["unspent"] = unspent
    document["warnings"] += filter(None, [_overrun(document, trained.plan)])
    return reported(finite_or_null(document), run.report)


def _unspent(document: Mapping[str, Any], plan: Plan, settings: FitSettings) -> str:
    """Why a good part of a budget in seconds was left, and what the plan had no room for; empty where it was not so."""
    budget, seconds = document["hardware"]["budget_seconds"], document["hardware"]["seconds"]
    if document["hardware"].get("resumed"):  # what went before is not counted
        return ""
    more = [*families_without_room(plan, settings), *(["more folds"] if plan.folds < plan.parts else [])]
    more += ["more seeds"] if len(plan.seeds) < len(plan.wished_seeds) else []
    if not budget or budget - seconds < MUCH_UNSPENT * budget:
        return ""
    why = f"by its estimates the plan had no room for {listing(more)}" if more else ALL_PLANNED
    return f"{duration(budget - seconds)} of the budget were left: {why}"


def _overrun(document: Mapping[str, Any], plan: Plan) -> str:
    """That the run took longer than its budget, and whether no plan could have kept it; empty where it did not."""
    words = overrun_warning(document)
    if not words or not plan.least or any(plan.begun):  # with time left over it was not the least any more
        return words
    who = f"{counted(len(plan.candidates), 'candidate')} on {counted(plan.folds, 'fold')}"
    budget, seconds = (duration(document["hardware"][name]) for name in ("budget_seconds", "seconds"))
    return f"a budget of {budget} cannot be kept here: the least that gives an honest result, {who}, took {seconds}"
