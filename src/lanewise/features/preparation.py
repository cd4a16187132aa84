"""Preprocessing as one exportable torch module, with the statistics of all folds stacked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from lanewise.errors import StoreError, UsageError
from lanewise.features.encoding import Encoded
from lanewise.features.fold_arrays import level_arrays, number_arrays, text_array, widest
from lanewise.features.fold_statistics import fold_weights
from lanewise.features.layout import Layout
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.streamed_statistics import StreamedStatistics

FORMAT = 1

LARGEST_BENT, SMALLEST_BENT = 1e150, 1e-150
"""Where a number is cut before it is squared, and the least that is divided by: squares of both are finite."""


class Preparation(nn.Module):
    """Raw numbers, codes and tokens to dense features, for all folds at once.

    ::

        number     z = (impute(x) - centre) / scale, clipped to +-limit; 0 where the fold is constant
        robust     z / sqrt(1 + (z / limit)^2), z with median and interquartile range
        rank       normal score of impute(x) between two knots, of the numbers that the layout ranks
        date       sine and cosine as they are, 0 where missing
        indicator  1 where missing
        level      1 where the code is the level's; a level that the fold never saw is the other level
        text       (1 + ln count) idf, rows of each text scaled to length gain

    Statistics are float64 buffers ``[G, ...]``, G the number of folds (1 for a final model); do not cast the
    module: what it returns is of ``dtype``, an attribute to set. Nothing that leaves is NaN or infinite.

    Conventions are scikit-learn's (`StandardScaler`, `RobustScaler(unit_variance=True)` where quartiles differ,
    `QuantileTransformer` at its knots,
    `OneHotEncoder(handle_unknown="ignore")`, `TfidfTransformer(sublinear_tf=True)`) but for these: the quantile
    transform is linear in the score, not in the probability, between knots, and ends at half a row from the end;
    a bucket that no training row holds weighs nothing, as in a vocabulary.
    """

    centre: Tensor
    divisor: Tensor
    bound: Tensor
    impute: Tensor
    knots: Tensor
    scores: Tensor
    slopes: Tensor
    level_codes: Tensor
    one_hot_active: Tensor
    idf: Tensor
    number_order: Tensor
    linear_places: Tensor
    quantile_places: Tensor
    indicator_places: Tensor
    one_hot_places: Tensor
    one_hot_codes: Tensor
    embedded_places: Tensor

    def __init__(self, layout: Layout, settings: PreparationSettings, statistics: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layout = layout
        self.settings = settings
        self.dtype = torch.float32
        for name, expected in _shapes(layout, settings, _folds(statistics)).items():
            if name not in statistics or tuple(statistics[name].shape) != expected:
                got = tuple(statistics[name].shape) if name in statistics else "nothing"
                message = f"the statistics {name!r} of the preparation must have shape {expected}, got {got}"
                raise StoreError(message)
            self.register_buffer(name, statistics[name])
        for name, places in _places(layout).items():
            self.register_buffer(name, torch.tensor(places, dtype=torch.int64), persistent=False)

    @classmethod
    def fit(
        cls,
        layout: Layout,
        encoded: Encoded,
        folds: Sequence[np.ndarray],
        *,
        settings: PreparationSettings,
        weight: np.ndarray | None = None,
        streamed: Sequence[StreamedStatistics] | None = None,
    ) -> Self:
        """Statistics of the training rows of each fold (row numbers), and of no other row.

        ``weight [N]`` are row weights, of which only ratios matter. Those of ``streamed``, one for each
        fold, train beside them; medians and ranks are those of the rows of ``encoded`` alone. `UsageError` where a
        fold is empty, or where there are both weights and streamed rows.
        """
        if streamed is not None and not any(own.rows for own in streamed):
            streamed = None
        if streamed is not None and weight is not None:
            message = "rows that are streamed have no weights; leave the weights out"
            raise UsageError(message)
        weights = fold_weights(folds, encoded.rows, weight)
        arrays = number_arrays(layout, encoded, weights, settings, streamed)
        arrays |= level_arrays(layout, encoded, weights, streamed)
        arrays["idf"] = text_array(encoded, weights, streamed)
        return cls(layout, settings, {k: torch.from_numpy(np.ascontiguousarray(a)) for k, a in arrays.items()})

    @property
    def folds(self) -> int:
        """Number of folds G."""
        return self.centre.shape[0]

    @property
    def dense_width(self) -> int:
        """Width D of the dense features."""
        return self.layout.dense_width

    def forward(self, numbers: Tensor, codes: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`prepare`, with dense features of the module's own ``dtype``: float32 unless it is set otherwise."""
        return self.prepare(numbers, codes, tokens, self.dtype)

    def prepare(
        self, numbers: Tensor, codes: Tensor, tokens: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Dense features ``[G, B, D]`` of ``dtype`` and codes of embedded categories ``[G, B, Ke]`` int64.

        ``numbers [G or 1, B, Dn]`` (float64, so that large integers and dates keep their last digits), ``codes
        [G or 1, B, Kc]``, ``tokens [G or 1, B, H]`` dense counts; each fold sees its own rows, or all the same.
        """
        if self.layout.texts and tokens is None:
            message = f"tokens of {self.layout.tokens_width} buckets are needed for the text columns; got None"
            raise UsageError(message)
        levels = self._levels(codes)
        parts: list[Tensor] = []
        if self.layout.numbers:
            parts.append(self._scaled_numbers(numbers).to(dtype))
        if self.layout.indicators:
            parts.append(self._indicators(numbers).to(dtype))
        if self.layout.one_hots:
            parts.append(self._one_hots(levels).to(dtype))
        if self.layout.texts and tokens is not None:
            parts.append(self._texts(tokens.to(dtype)))
        dense = torch.cat(parts, dim=-1) if parts else levels.new_zeros(*levels.shape[:2], 0, dtype=dtype)
        return dense, levels.index_select(-1, self.embedded_places)

    def single(self, fold: int) -> Self:
        """The preparation of one fold alone, with ``G = 1``."""
        tensors, _ = self.state()
        return type(self)(self.layout, self.settings, {k: t[fold : fold + 1].clone() for k, t in tensors.items()})

    def state(self) -> tuple[dict[str, Tensor], str]:
        """Statistics as tensors, and layout and settings as JSON: all that `from_state` needs."""
        content = {"format": FORMAT, "settings": asdict(self.settings), "layout": self.layout.to_json()}
        return dict(self.state_dict()), json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], text: str) -> Self:
        """The preparation that `state` described; `StoreError` where the two do not fit or are damaged."""
        try:
            content = json.loads(text)
            found, layout_text = content["format"], content["layout"]
            settings = PreparationSettings(**content["settings"])
        except (ValueError, KeyError, TypeError) as error:
            message = f"the preparation is damaged ({type(error).__name__}: {error}); save the model again"
            raise StoreError(message) from error
        if found != FORMAT:
            message = f"the preparation has format {found}, this version reads {FORMAT}; update lanewise"
            raise StoreError(message)
        return cls(Layout.from_json(layout_text), settings, tensors)

    def _scaled_numbers(self, numbers: Tensor) -> Tensor:
        numbers = numbers.to(self.centre.dtype)
        numbers = torch.where(torch.isnan(numbers), self.impute.unsqueeze(1), numbers)
        bound = self.bound.unsqueeze(1)
        linear = (numbers - self.centre.unsqueeze(1)) / self.divisor.unsqueeze(1)
        linear = _bent(linear, bound) if self.settings.robust else linear.clamp(-bound, bound)
        linear = linear.index_select(-1, self.linear_places)
        if not self.knots.shape[1]:
            return linear
        scores = self._normal_scores(numbers.index_select(-1, self.quantile_places))
        return torch.cat([linear, scores], dim=-1).index_select(-1, self.number_order)

    def _normal_scores(self, values: Tensor) -> Tensor:
        """Between which two knots each value ``[G, B, Dq]`` lies, by halving; ONNX has no searchsorted."""
        values = values.transpose(1, 2).clamp(self.knots[:, :, :1], self.knots[:, :, -1:])
        place = torch.zeros_like(values, dtype=torch.int64)
        last = self.knots.shape[-1] - 1
        step = 1 << max(0, last.bit_length() - 1)
        while step:
            probe = (place + step).clamp(max=last)
            place = torch.where(values >= self.knots.gather(2, probe), probe, place)
            step //= 2
        lower, score, slope = (table.gather(2, place) for table in (self.knots, self.scores, self.slopes))
        return (score + (values - lower) * slope).transpose(1, 2)

    def _indicators(self, numbers: Tensor) -> Tensor:
        missing = torch.isnan(numbers.index_select(-1, self.indicator_places))
        return missing.expand(self.folds, -1, -1)

    def _levels(self, codes: Tensor) -> Tensor:
        """Codes in which a level that a fold never saw is the other level: ``[G, B, Kc]``."""
        if not self.layout.categories:
            return codes.expand(self.folds, -1, -1)
        codes = codes.transpose(1, 2).expand(self.folds, -1, -1)
        return self.level_codes.gather(2, codes).transpose(1, 2)

    def _one_hots(self, levels: Tensor) -> Tensor:
        # Half of the bytes: there is a place for every level of every category.
        levels, codes = levels.to(torch.int32), self.one_hot_codes.to(torch.int32)
        matches = levels.index_select(-1, self.one_hot_places) == codes
        return matches & self.one_hot_active.unsqueeze(1)

    def _texts(self, counts: Tensor) -> Tensor:
        weighted = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0.0) * self.idf.unsqueeze(1).to(counts.dtype)
        texts = weighted.split([column.buckets for column in self.layout.texts], dim=-1)
        units = [text / text.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-12) for text in texts]
        return torch.cat(units, dim=-1) * self.settings.text_gain


def _bent(values: Tensor, bound: Tensor) -> Tensor:
    """``z / sqrt(1 + (z / bound)^2)``: about z near 0, never beyond the bound, 0 where that is 0."""
    values = values.clamp(-LARGEST_BENT, LARGEST_BENT)
    return bound * values / (bound.square() + values.square()).sqrt().clamp(min=SMALLEST_BENT)


def _folds(statistics: Mapping[str, Tensor]) -> int:
    return statistics["centre"].shape[0] if "centre" in statistics and statistics["centre"].ndim else 0


def _places(layout: Layout) -> dict[str, list[int]]:
    """Index buffers: fixed by the layout, so never saved."""
    linear = list(layout.valued)
    order = [*linear, *layout.ranked]
    return {
        # Sorting is stable: the rank of a number, found behind all numbers, moves to the place after it.
        "number_order": sorted(range(len(order)), key=order.__getitem__),
        "linear_places": linear,
        "quantile_places": list(layout.ranked),
        "indicator_places": list(layout.indicators),
        "one_hot_places": [feature.category for feature in layout.one_hots],
        "one_hot_codes": [feature.code for feature in layout.one_hots],
        "embedded_places": list(layout.embedded),
    }


def _shapes(layout: Layout, settings: PreparationSettings, folds: int) -> dict[str, tuple[int, ...]]:
    numbers = len(layout.numbers)
    knots = (folds, len(layout.ranked), settings.knots)
    return {
        "centre": (folds, numbers),
        "divisor": (folds, numbers),
        "bound": (folds, numbers),
        "impute": (folds, numbers),
        "knots": knots,
        "scores": knots,
        "slopes": knots,
        "level_codes": (folds, len(layout.categories), widest(layout)),
        "one_hot_active": (folds, len(layout.one_hots)),
        "idf": (folds, layout.tokens_width),
    }
