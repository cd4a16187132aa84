"""On which rows a model of a streamed table was trained: mini-batch methods read all, the others those in memory."""

from lanewise.composing.stage import Stage
from lanewise.training.teams import trains_at_hand

METHODS = "trees and full-batch methods read rows in memory, mini-batch methods all"


def winner_rows(stage: Stage) -> int | None:
    """The training rows of the final model: of its member with the most; None where all rows are in memory."""
    problem = stage.problem
    if problem.rest is None:
        return None
    near = [trains_at_hand(stage.candidate(name)) for name in stage.choice.weights]
    return len(problem.train) if all(near) else problem.training_rows


def sample_words(stage: Stage) -> str:
    """That the final model, or a part of it, was trained on the sample alone; empty where it was not."""
    problem = stage.problem
    if problem.rest is None:
        return ""
    near = [trains_at_hand(stage.candidate(name)) for name in stage.choice.weights]
    if not any(near):
        return ""
    who = "It was" if all(near) else f"{sum(near)} of its {len(near)} members {'was' if sum(near) == 1 else 'were'}"
    return f"{who} trained on {len(problem.train):,} of the {problem.training_rows:,} training rows: {METHODS}."
