"""Draws of a share (accuracy, recall, area under a curve, ...) that allow for rows that were not met."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lanewise.statistics.resampling import (
    BLOCK_CELLS,
    Array,
    Measure,
    Sample,
    Units,
    keyed_generator,
    resampled_scores,
)

COUNTED_MASS = 2.0
RANKED_MASS = 1.0
"""Rows that the prior is worth, where classes are counted and where rows are ranked."""


def is_share(metric: Measure, sample: Sample) -> bool:
    """Larger is better, of class probabilities: all such metrics lie within [0, 1] and are 1 without a mistake."""
    return metric.sign < 0 and sample.predictions.ndim == 3


def share_draws(metric: Measure, sample: Sample, draws: int, *, seed: int) -> Array:
    """Posterior draws of a share of one prediction, ``[R]``: a Bayesian bootstrap with a prior.

    Drawing rows with replacement cannot show a mistake that the rows at hand do not hold: with no
    mistake all draws are 1. Here each unit gets a weight from Exp(1), and two rows are added for each
    of the K classes that occur, one surely hit and one surely missed (given to the next class), with
    weights from Gamma(mass / 2 K). For two classes the mass of 2 is Jeffreys' prior: precision and
    recall get a Beta(hits + 1/2, misses + 1/2). A row that is ranked wrongly counts against all rows
    of another class, so rankings take half of it.

    Args:
        metric: a share, see :func:`is_share`.
        sample: one candidate, probabilities ``[1, N, C]``.
        draws: R.
        seed: key of the draws.

    Source: Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9; Goutte and Gaussier (2005), A
    probabilistic interpretation of precision, recall and F-score, ECIR, for Jeffreys' prior.
    """
    totals = sample.units.totals(sample.weight[:, None])[:, 0]
    # By size: with unequal units there are in effect (Σ w)² / Σ w² of them.
    usual = float((totals**2).sum() / totals.sum()) if totals.sum() > 0 else 1.0
    padded, prior = with_prior_rows(sample, usual)
    generator = keyed_generator(seed, "bayesian bootstrap")
    blocks = [
        resampled_scores(metric, padded, weights)[:, 0]
        for weights in _weights(sample.units.count, prior, prior_mass(metric) / prior, draws, generator)
    ]
    return np.concatenate(blocks)


def prior_mass(metric: Measure) -> float:
    """How many rows the prior of a share is worth."""
    return COUNTED_MASS if metric.values is not None else RANKED_MASS


def with_prior_rows(sample: Sample, weight: float) -> tuple[Sample, int]:
    """The sample with two rows per class added, each a unit of that ``weight``, and the number added."""
    classes = sample.predictions.shape[2]
    true = np.unique(sample.y[sample.weight > 0]).astype(np.int64)
    missed = np.roll(true, -1) if len(true) > 1 else (true + 1) % classes
    sure = np.eye(classes)
    prior = 2 * len(true)
    return Sample(
        y=np.concatenate([sample.y, true, true]),
        predictions=np.concatenate([sample.predictions[0], sure[true], sure[missed]])[None],
        weight=np.concatenate([sample.weight, np.full(prior, weight)]),
        units=Units(
            of_row=np.concatenate([sample.units.of_row, sample.units.count + np.arange(prior)]),
            count=sample.units.count + prior,
        ),
    ), prior


def _weights(
    units: int, prior: int, mass_each: float, draws: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Blocks of weights ``[r, units + prior]``."""
    size = max(1, BLOCK_CELLS // (units + prior))
    for start in range(0, draws, size):
        count = min(size, draws - start)
        of_units = generator.standard_exponential((count, units))
        yield np.concatenate([of_units, generator.standard_gamma(mass_each, (count, prior))], axis=1)
