"""Settings that a copy of a lane may have of its own, as genes: numbers whose differences mean the same anywhere."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from lanewise.lanes.candidate import Candidate, Value
from lanewise.search.policy import RATE

FORGETTING: Final[Mapping[str, bool]] = MappingProxyType(
    {RATE: False, "weight_decay": False, "clip_norm": False, "momentum": True, "beta1": True, "beta2": True}
)
"""Settings that every step reads; true for those of which the gene is the logarithm of 1 minus the value."""

GENES: Final = tuple(FORGETTING)


def genes_of(candidates: Sequence[Candidate], taken: float) -> np.ndarray:
    """The genes ``[M, G]`` of the candidates after the share ``taken`` of their length, NaN for those they lack.

    The rate is that which its schedule multiplies, every change of it included.
    """
    found = np.full((len(candidates), len(GENES)), np.nan)
    for place, candidate in enumerate(candidates):
        settings = _at(candidate, taken)
        for gene, name in enumerate(GENES):
            value = settings.get(name, math.nan)
            value = 1 - value if FORGETTING[name] else value
            if value > 0:
                found[place, gene] = math.log(value)
    return found


def _at(candidate: Candidate, taken: float) -> dict[str, float]:
    settings = {name: float(value) for name, value in candidate.settings.items() if name in FORGETTING}
    for event in candidate.events:
        if event.fraction <= taken:
            settings |= dict(event.changes)
            settings[RATE] = settings.get(RATE, math.nan) * event.rate_factor
    return settings


def settings_now(candidate: Candidate) -> dict[str, Value]:
    """All settings after every change on the way; the rate is that which its schedule multiplies."""
    changed = {name for event in candidate.events for name, _ in event.changes} | (
        {RATE} if candidate.events else set()
    )
    now = _at(candidate, 1.0)
    return {**candidate.settings, **{name: now[name] for name in changed & candidate.settings.keys()}}


def settings_from(changes: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The settings that changed genes stand for.

    >>> settings_from([("momentum", math.log(0.25))])
    (('momentum', 0.75),)
    """
    return tuple((name, 1 - math.exp(gene) if FORGETTING[name] else math.exp(gene)) for name, gene in changes)
