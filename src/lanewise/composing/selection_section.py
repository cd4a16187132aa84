"""The part of the run document about the columns that the model reads, where it does not read them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanewise.composing.stage import Stage
from lanewise.data.wording import counted
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


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """What an L1 penalty did: of how many ``features`` all weights are exactly 0 in all members of the model.

    Features are what the columns are prepared to: numbers, ranks, marks of missing cells, levels.

    ``unread`` are the columns of which that holds for every feature, of ``columns`` that the model was given.
    """

    zeros: int
    features: int
    unread: tuple[str, ...]
    columns: int


def sparsity(stage: Stage) -> Sparsity | None:
    """That of the model where it is one linear candidate with an L1 penalty, else None."""
    if stage.choice.is_ensemble or stage.winner.model != "linear" or not stage.winner.number("l1"):
        return None
    members = [member.fitted for member in stage.predictor.members]
    layout, given = stage.problem.layout, members[0].columns or stage.problem.features

    def heeded(name: str, outputs: int) -> np.ndarray:
        """Which features or levels any member has a weight for; axis ``outputs`` is that of the outputs."""
        weights = np.stack([own.tensors[name].numpy() for own in members if own.tensors is not None])
        return np.any(weights, axis=(0, outputs), keepdims=False)

    found = list(zip(layout.feature_columns, heeded("weight", 1), strict=True))
    for k, name in enumerate(layout.embedded_names):
        found += [(name, flag) for flag in heeded(f"levels{k}", 2)]
    found = [(column, flag) for column, flag in found if column in given]
    read = {column for column, flag in found if flag}
    return Sparsity(
        zeros=sum(not flag for _, flag in found),
        features=len(found),
        unread=tuple(name for name in stage.problem.features if name in given and name not in read),
        columns=len(given),
    )


def sparsity_words(stage: Stage) -> str:
    """The same in a sentence; empty where nothing is zero."""
    found = sparsity(stage)
    if found is None or not found.zeros:
        return ""
    named = f"; it does not read {_named(found.unread)}" if found.unread else ""
    columns = counted(found.columns, "column")
    whole = columns if found.features == found.columns else f"the {found.features} inputs made of its {columns}"
    return f"Its L1 penalty set the weights of {found.zeros} of {whole} to exactly zero{named}."


def _named(columns: Sequence[str]) -> str:
    """Some columns by name and the rest by number."""
    return listed(
        [*columns[:MOST_NAMED], *([f"{len(columns) - MOST_NAMED} more"] if len(columns) > MOST_NAMED else [])]
    )


def reads_words(stage: Stage) -> str:
    """Which columns the model reads, in a sentence; empty where it reads all."""
    read = columns_read(stage)
    if read is None:
        return sparsity_words(stage)
    ways = dict.fromkeys(member.fitted.candidate.text("features") for member in stage.predictor.members)
    how = listed([WAYS.get(way, way) for way in ways])
    words = (
        f"It reads {len(read)} of {len(stage.problem.features)} columns ({_named(read)}), "
        f"ranked on the training rows by {how}; the others are left out."
    )
    return f"{words} {sparsity_words(stage)}".rstrip()
