"""On which rows a model of a streamed table was trained: mini-batch methods read all, the others those in memory.

Boosted trees read as many as fit into memory binned.
"""

from lanewise.composing.stage import Stage
from lanewise.training.teams import trains_at_hand

METHODS = "single trees and full-batch methods read rows in memory, mini-batch methods all"


def winner_rows(stage: Stage) -> int | None:
    """The training rows of the final model: of its member with the most; None where all rows are in memory."""
    problem = stage.problem
    if problem.rest is None:
        return None
    return max(_rows_of(stage, name) for name in stage.choice.weights)


def _rows_of(stage: Stage, name: str) -> int:
    """The training rows of a member of the final model."""
    candidate, problem = stage.candidate(name), stage.problem
    if candidate.model == "lightgbm" and stage.plan.tree_rows:
        return stage.plan.tree_rows
    return len(problem.train) if trains_at_hand(candidate) else problem.training_rows


def sample_words(stage: Stage) -> str:
    """That the final model, or a part of it, was trained on the sample alone; empty where it was not."""
    problem = stage.problem
    if problem.rest is None:
        return ""
    rows = [_rows_of(stage, name) for name in stage.choice.weights]
    fewer = [own for own in rows if own < problem.training_rows]
    if not fewer:
        return ""
    who = (
        "It was"
        if len(rows) == 1
        else f"{len(fewer)} of its {len(rows)} members {'was' if len(fewer) == 1 else 'were'}"
    )
    least, most = min(fewer), max(fewer)
    some = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    boosted = (
        f", boosted trees {stage.plan.tree_rows:,} of them, as many as time and memory allowed"
        if stage.plan.tree_rows
        else ""
    )
    return f"{who} trained on {some} of the {problem.training_rows:,} training rows: {METHODS}{boosted}."
