"""What a policy is shown of a race at a rung, and what is to be expected of candidates whose rates are yet to fall."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from lanewise.lanes.candidate import Candidate
from lanewise.optim.schedules import factors
from lanewise.search.policy import RATE, Standing
from lanewise.training.genes import GENES, genes_of

RATE_BY_LENGTH = 0.5
"""The best rate of a training goes with its length to the power of minus this."""

NEAR = math.log(2) / 2
"""By how much the logarithms of rates differ that count as near: a factor of the root of two."""

POINTS = 1000
"""Steps by which the sum of a schedule's rates is reckoned."""


def better(known: float | None, score: float) -> float:
    """The lower of a score that may be known and another one; NaN only where both are unknown."""
    return score if known is None or np.isnan(known) else float(np.fmin(known, score))


def standing_of(
    candidates: Sequence[Candidate],
    current: Sequence[Candidate],
    *,
    rung: int,
    fraction: float,
    scores: np.ndarray,
    losses: np.ndarray | None,
    numbers: Mapping[str, int],
    entrants: int,
    kinds: np.ndarray,
    forecasts: bool,
) -> Standing:
    """The standing of ``candidates [M]``, which are ``current`` by what was repaired; ``numbers`` are their places."""
    families = list(dict.fromkeys(candidate.model for candidate in candidates))
    return Standing(
        rung=rung,
        scores=scores,
        expected=expected_places(current, scores, fraction) if forecasts else None,
        losses=losses,
        families=np.array([families.index(candidate.model) for candidate in candidates]),
        protected=np.array([candidate.is_default for candidate in candidates]),
        numbers=np.array([numbers[candidate.id] for candidate in candidates]),
        entrants=entrants,
        kinds=kinds,
        named=GENES,
        genes=genes_of(current, fraction),
    )


def expected_places(candidates: Sequence[Candidate], scores: np.ndarray, fraction: float) -> np.ndarray:
    """The places ``[M]`` to expect at the end by ``scores [M]`` at the share ``fraction`` of the length; 0 is the best.

    The best rate of a training of T steps goes as ``T ** -0.5``, so a look before the end favours rates that are too
    high for the whole. With the share ``p`` of the sum of its rates that a candidate at rate ``r`` has gone through,
    ``r / sqrt(p)`` stands at the look for ``r`` at the end. What is expected is ``q + c(r / sqrt(p)) - c(r)``: its
    place ``q`` among all, and how the places of those with its model, optimizer and batch size go with the rate. Their
    curve ``c`` is the mean about each rate, weighed by a Gaussian of the logarithm, and straight between rates. Places
    rather than scores, for those of rates that are too high have no scale. Who has no score has no place (NaN).

    Source: Zinkevich (2003), Online convex programming, ICML, for the rate; Defazio, Cutkosky, Mehta and Mishchenko
    (2023), Optimal linear decay learning rate schedules, for the same of rates that fall.

    >>> rates = (0.1, 0.4, 1.6, 6.4)
    >>> own = [Candidate(id=str(lr), model="mlp", optimizer="sgd", settings={"lr": lr}) for lr in rates]
    >>> expected_places(own, np.array([3.0, 2.0, 1.0, 9.0]), 1 - (15 / 16) ** 0.5).round(1).tolist()
    [1.0, 0.0, 3.0, 3.0]
    """
    rates = genes_of(candidates, fraction)[:, GENES.index(RATE)]
    shares = [share_of_rates(own.text("schedule", "linear"), own.number("warmup"), fraction) for own in candidates]
    stands_for = rates - RATE_BY_LENGTH * np.log(shares)
    known = np.isfinite(scores)
    expected = np.where(known, np.searchsorted(np.sort(scores[known]), scores), np.nan)
    kinds: dict[tuple[object, ...], list[int]] = {}
    for place, own in enumerate(candidates):
        if known[place] and np.isfinite(rates[place]):
            kinds.setdefault((own.model, own.optimizer, own.settings.get("batch_size")), []).append(place)
    for members in kinds.values():
        own = np.array(members)[np.argsort(rates[members], kind="stable")]
        near = np.exp(-((rates[own][:, None] - rates[own]) ** 2) / (2 * NEAR**2))
        curve = near @ expected[own] / near.sum(1)
        expected[own] += np.interp(stands_for[own], rates[own], curve) - curve
    return expected


@lru_cache(maxsize=256)
def share_of_rates(schedule: str, warmup: float, fraction: float) -> float:
    """The share of the sum of all rates of a training that is done after ``fraction`` of its steps.

    >>> round(share_of_rates("linear", 0.0, 0.5), 3), share_of_rates("constant", 0.0, 0.5)
    (0.75, 0.5)
    """
    rates = factors(schedule, torch.arange(POINTS), POINTS, warmup)
    return float(rates[: max(1, round(fraction * POINTS))].sum() / rates.sum())
