"""A constraint on settings as copies and proposals keep to it, and what a stored race must find again of it."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate, Value
from lanewise.search.sampling import unit_points
from lanewise.training.genes import GENES, genes_of, settings_from, settings_now
from lanewise.tuning.bayesian import Searched
from lanewise.tuning.names import UNSTATED
from lanewise.tuning.proposing import Where, allows

MOVES = tuple(step / 20 for step in range(-20, 21))
"""Differences of genes that are asked about: as far as a few mutations go, so near that a bound moved by 6% is seen."""

ASKED = 64
"""Points of the space of each optimizer that are asked about where more are proposed on the way."""


def allowed(where: Where | None, candidate: Candidate) -> bool:
    """Whether ``where`` is true of the settings that a candidate has by now."""
    return allows(where, _seen(candidate))


def answers(
    where: Where | None, candidates: Sequence[Candidate], *, copies: bool, space: Searched | None
) -> list[bool | None]:
    """What ``where`` says of settings that may come up on the way; None where it fails, nothing where none can.

    A function cannot be compared with another one, but its answers can: around the ``candidates`` where these are
    copied, and over the ``space`` where it is searched.
    """
    if where is None:
        return []
    asked = [*(_around(candidates) if copies else ()), *(_over(space) if space is not None else ())]
    return [_answer(where, settings) for settings in asked]


def _answer(where: Where, settings: Mapping[str, Value]) -> bool | None:
    try:
        return allows(where, settings)
    except UsageError:  # nobody may ever come to these settings
        return None


def _around(candidates: Sequence[Candidate]) -> Iterator[dict[str, Value]]:
    for candidate, genes in zip(candidates, genes_of(candidates, 1.0), strict=True):
        seen = _seen(candidate)
        for name, gene in zip(GENES, genes.tolist(), strict=True):
            for move in MOVES if math.isfinite(gene) else ():
                yield {**seen, **dict(settings_from([(name, gene + move)]))}


def _over(space: Searched) -> Iterator[dict[str, Value]]:
    for optimizer, axes in space.axes().items():
        for row in unit_points(ASKED, len(axes), sampling="sobol", seed=0).tolist():
            point = {
                axis.name: axis.choices[int(at * len(axis.choices))] if axis.choices else at
                for axis, at in zip(axes, row, strict=True)
            }
            yield space.seen(optimizer, space.settings(optimizer, point))


def _seen(candidate: Candidate) -> dict[str, Value]:
    return {**UNSTATED, "optimizer": candidate.optimizer, **settings_now(candidate)}
