"""The statistics of all folds, as the arrays that a preparation keeps."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lanewise.features.column_blocks import CELLS_AT_ONCE
from lanewise.features.columns import OTHER_CODE
from lanewise.features.encoding import Encoded
from lanewise.features.fold_statistics import (
    LARGEST_USABLE,
    NumberStatistics,
    inverse_document_frequencies,
    levels_present,
    number_statistics,
)
from lanewise.features.layout import Layout
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.streamed_statistics import Moments, StreamedStatistics

UNBENT = 1e9
"""A bound by which sine and cosine do not bend in float64."""


def widest(layout: Layout) -> int:
    """The most codes that a category has, 0 without any."""
    return max((column.codes for column in layout.categories), default=0)


def number_arrays(
    layout: Layout,
    encoded: Encoded,
    weights: np.ndarray,
    settings: PreparationSettings,
    streamed: Sequence[StreamedStatistics] | None,
) -> dict[str, np.ndarray]:
    """What scales and completes the numbers, ``[G, Dn]``, and ranks them, ``[G, Dq, knots]``."""
    unscaled = [place for place, number in enumerate(layout.numbers) if number.tail == "cycle"]
    found = number_statistics(
        encoded.numbers,
        weights,
        unscaled=unscaled,
        ranked=layout.ranked,
        imputation=settings.impute,
        knots=settings.knots,
        robust=settings.robust,
    )
    if streamed is not None:
        found = _beside(found, encoded.numbers, weights, streamed, unscaled=unscaled, settings=settings)
    limits = np.array([settings.tail_limit if number.tail == "heavy" else settings.limit for number in layout.numbers])
    if settings.robust:
        limits = np.where([number.tail == "cycle" for number in layout.numbers], UNBENT, settings.soft_limit)
    widths = np.diff(found.knots, axis=-1, append=found.knots[..., -1:])
    rises = np.diff(found.scores, axis=-1, append=found.scores[..., -1:])
    return {
        "centre": found.centre,
        "divisor": np.where(found.scale > 0, found.scale, 1.0),
        "bound": np.where(found.scale > 0, limits, 0.0),
        "impute": found.impute,
        "knots": found.knots,
        "scores": found.scores,
        # Knots too close to divide by count as one step.
        "slopes": np.divide(rises, widths, out=np.zeros_like(rises), where=widths > np.finfo(np.float64).tiny),
    }


def _beside(
    found: NumberStatistics,
    numbers: np.ndarray,
    weights: np.ndarray,
    streamed: Sequence[StreamedStatistics],
    *,
    unscaled: Sequence[int],
    settings: PreparationSettings,
) -> NumberStatistics:
    """Means and deviations of the folds' rows together with their streamed ones; robust ones are the folds' alone."""
    if settings.robust:
        return found
    usable = np.abs(numbers) <= LARGEST_USABLE
    centre, scale = found.centre.copy(), found.scale.copy()
    for fold, (weight, more) in enumerate(zip(weights, streamed, strict=True)):
        count = weight @ usable
        both = Moments(count=count, mean=found.centre[fold], squares=count * found.scale[fold] ** 2).plus(more.moments)
        centre[fold], scale[fold] = both.mean, both.deviation
    centre[:, unscaled], scale[:, unscaled] = found.centre[:, unscaled], found.scale[:, unscaled]
    impute = centre if settings.impute == "mean" else found.impute
    return replace(found, centre=centre, scale=scale, impute=impute)


def level_arrays(
    layout: Layout, encoded: Encoded, weights: np.ndarray, streamed: Sequence[StreamedStatistics] | None
) -> dict[str, np.ndarray]:
    """Which levels each fold has seen: ``[G, Kc, codes]``, and of the levels that are features ``[G, Do]``."""
    folds, codes_of_all = len(weights), widest(layout)
    present = np.zeros((folds, len(layout.categories), codes_of_all), dtype=bool)
    at_once = max(1, CELLS_AT_ONCE // max(1, encoded.rows))
    for start in range(0, len(layout.categories), at_once):
        codes = encoded.codes[:, start : start + at_once]
        for fold, weight in enumerate(weights):
            present[fold, start : start + at_once] = levels_present(codes[weight > 0], codes_of_all)
    if streamed is not None:
        present |= np.stack([own.present for own in streamed])
    active = [present[:, feature.category, feature.code] for feature in layout.one_hots]
    return {
        "level_codes": np.where(present, np.arange(codes_of_all), OTHER_CODE),
        "one_hot_active": np.stack(active, axis=1) if active else np.zeros((folds, 0), dtype=bool),
    }


def text_array(encoded: Encoded, weights: np.ndarray, streamed: Sequence[StreamedStatistics] | None) -> np.ndarray:
    """Inverse document frequencies ``[G, H]`` of the buckets of texts."""
    if encoded.tokens is None:
        return np.zeros((len(weights), 0))
    beside = None
    if streamed is not None:
        beside = np.array([[own.rows] for own in streamed]), np.stack([own.holding for own in streamed])
    return inverse_document_frequencies(encoded.tokens, weights, beside)
