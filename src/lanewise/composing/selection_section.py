"""The part of the run document about the columns that the model reads, where it does not read them all."""

from typing import Any

from lanewise.composing.stage import Stage
from lanewise.explain.aspects import listed

WAYS = {"l1-path": "when they enter an L1-penalised linear model", "permutation": "what shuffling them costs"}
MOST_NAMED = 8


def columns_read(stage: Stage) -> tuple[str, ...] | None:
    """The columns that any member of the model reads, in the order of the table; None: all."""
    members = [member.fitted.columns for member in stage.predictor.members]
    known = [columns for columns in members if columns is not None]
    if len(known) < len(members):
        return None
    read = {name for columns in known for name in columns}
    return tuple(name for name in stage.problem.features if name in read)


def selection_section(stage: Stage) -> dict[str, Any] | None:
    """Which columns the model reads, of how many, and how they were ranked; None where it reads all."""
    read = columns_read(stage)
    if read is None:
        return None
    return {"kept": list(read), "of": len(stage.problem.features), "words": reads_words(stage)}


def reads_words(stage: Stage) -> str:
    """The same in a sentence; empty where it reads all."""
    read = columns_read(stage)
    if read is None:
        return ""
    ways = dict.fromkeys(member.fitted.candidate.text("features") for member in stage.predictor.members)
    how = listed([WAYS.get(way, way) for way in ways])
    named = listed([*read[:MOST_NAMED], *([f"{len(read) - MOST_NAMED} more"] if len(read) > MOST_NAMED else [])])
    return (
        f"It reads {len(read)} of {len(stage.problem.features)} columns ({named}), "
        f"ranked on the training rows by {how}; the others are left out."
    )
