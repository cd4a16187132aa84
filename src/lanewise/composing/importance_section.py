"""The part of the run document about how much each column matters to the final model."""

from dataclasses import asdict
from typing import Any

import numpy as np

from lanewise.composing.stage import Stage, as_scored, respond
from lanewise.data.dataset import Dataset
from lanewise.data.wording import counted
from lanewise.deploy.attention import attention
from lanewise.deploy.reordering import ReorderedRows
from lanewise.explain import Importance, permutation_importance
from lanewise.explain.importance import MOST_COLUMNS, Reordered, shortlist
from lanewise.models.saved_trees import SavedTrees

IMPORTANCE_SHARE, IMPORTANCE_SECONDS = 0.1, (3.0, 30.0)
"""What the importance of the columns may take where the plan does not say: a share of the race, within bounds."""

SECONDS_PER_CALL = 1e-3
SECONDS_PER_ROW, SECONDS_PER_FEATURE, SECONDS_PER_WEIGHT = 5e-6, 2e-8, 1e-10
SECONDS_PER_TREE = {"lightgbm": 9e-8, "forest": 3e-7, "tree": 3e-7}
"""What a prediction of a row takes about, and more per feature, weight and tree: no clock, so a run repeats."""


def importance_section(stage: Stage) -> dict[str, Any]:
    """The importance of the columns, the most important first, and in words which were not measured."""
    problem = stage.problem
    rows = problem.test if len(problem.test) else problem.train
    each = _seconds_per_row(stage)
    predictions, per_call = _seconds(stage) / each, SECONDS_PER_CALL / each
    figures = attention(stage.predictor)
    columns = shortlist(problem.features, figures, predictions=predictions, rows=len(rows), per_call=per_call)
    found = permutation_importance(
        lambda dataset: respond(stage, dataset),
        problem.dataset,
        rows,
        problem.y,
        problem.metric,
        columns=columns,
        seed=stage.settings.seed,
        weight=problem.weight,
        reordering=lambda dataset: _reordering(stage, dataset),
        predictions=predictions,
        per_call=per_call,
    )
    unread = [Importance(column=name, value=0.0, low=0.0, high=0.0) for name in problem.features if not figures[name]]
    shown = sorted([*found, *unread[: max(0, MOST_COLUMNS - len(found))]], key=_place)
    left = len(problem.features) - len(columns) - len(unread)
    words = f"The time was too short to shuffle {counted(left, 'column')} that little of the model is about."
    return {"importance": [asdict(one) for one in shown], "importance_words": words if left else ""}


def _place(one: Importance) -> float:
    return -one.value if np.isfinite(one.value) else np.inf


def _reordering(stage: Stage, dataset: Dataset) -> Reordered:
    rows = ReorderedRows(predictor=stage.predictor, dataset=dataset)
    return lambda column, orders: as_scored(stage.problem, rows.responses(column, orders))


def _seconds(stage: Stage) -> float:
    """What importance may take, as planned: it decides how much work that is, and no clock is asked."""
    if stage.plan.explaining_seconds is not None:
        return stage.plan.explaining_seconds
    return float(np.clip(IMPORTANCE_SHARE * stage.plan.predicted_seconds, *IMPORTANCE_SECONDS))


def _trees_of(saved: SavedTrees) -> int:
    """Boosting grows a tree for every output, a round."""
    return saved.text.count("\nTree=") if saved.kind == "lightgbm" else int(saved.meta["rounds"])


def _seconds_per_row(stage: Stage) -> float:
    each = SECONDS_PER_ROW + SECONDS_PER_FEATURE * stage.predictor.layout.dense_width
    for member in stage.predictor.members:
        if member.fitted.trees is not None:
            each += SECONDS_PER_TREE[member.fitted.trees.kind] * _trees_of(member.fitted.trees)
        if member.fitted.tensors is not None:
            each += SECONDS_PER_WEIGHT * sum(tensor.numel() for tensor in member.fitted.tensors.values())
    return each
