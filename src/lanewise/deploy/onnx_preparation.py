"""`lanewise.features.preparation.Preparation` of one fold as nodes of a graph: the same numbers, in float64."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lanewise.deploy.onnx_graph import Graph
from lanewise.deploy.onnx_inputs import RawRows
from lanewise.features.columns import OTHER_CODE
from lanewise.features.preparation import LARGEST_BENT, SMALLEST_BENT, Preparation
from lanewise.features.selection import mask_columns


class PreparedRows:
    """Dense features and embedded codes of the inputs, as tensors of a graph."""

    def __init__(self, graph: Graph, preparation: Preparation, rows: RawRows) -> None:
        assert preparation.folds == 1
        self._graph = graph
        self._preparation = preparation
        self._rows = rows
        self._layout = preparation.layout
        self._levels = self._known_levels()
        self._dense: dict[str, str | None] = {}

    def dense(self, dtype: str, columns: Sequence[str] | None = None) -> str | None:
        """Dense features ``[N, D]``, or None where D is 0; with ``columns``, those of all others are zero."""
        whole = self._all_dense(dtype)
        if whole is None or columns is None:
            return whole
        kept, _ = mask_columns(self._layout, columns)
        return self._graph.op("Mul", whole, self._graph.constant(kept.astype(np.float64), dtype))

    def _all_dense(self, dtype: str) -> str | None:
        if dtype not in self._dense:
            graph, rows = self._graph, self._rows
            parts: list[str] = []
            if rows.numbers is not None:
                parts.append(graph.cast(self._scaled_numbers(rows.numbers), dtype))
                if self._layout.indicators:
                    chosen = graph.columns(rows.numbers, self._layout.indicators)
                    parts.append(graph.cast(graph.op("IsNaN", chosen), dtype))
            if self._layout.one_hots:
                parts.append(graph.cast(self._one_hots(), dtype))
            if rows.tokens is not None:
                parts.extend(self._texts(rows.tokens, dtype))
            self._dense[dtype] = graph.beside(parts) if parts else None
        return self._dense[dtype]

    def embedded(self, place: int, columns: Sequence[str] | None = None) -> str:
        """Codes ``[N]`` of one embedded category; those of a level never seen where ``columns`` lack it."""
        assert self._levels is not None
        codes = self._graph.column(self._levels, self._layout.embedded[place])
        if columns is None or self._layout.embedded_names[place] in columns:
            return codes
        return self._graph.op("Mul", codes, self._graph.constant(OTHER_CODE, "int64"))

    def _known_levels(self) -> str | None:
        """Codes ``[N, Kc]`` in which a level that training never saw is the other level."""
        if self._rows.codes is None:
            return None
        graph, table = self._graph, self._preparation.level_codes[0]
        starts = graph.constant(np.arange(len(table)) * table.shape[1], "int64")
        place = graph.op("Add", self._rows.codes, starts)
        return graph.op("Gather", graph.constant(table.flatten().numpy(), "int64"), place, axis=0)

    def _scaled_numbers(self, numbers: str) -> str:
        graph, state = self._graph, self._preparation
        numbers = graph.op("Where", graph.op("IsNaN", numbers), self._constant(state.impute), numbers)
        parts: list[str] = []
        if len(state.linear_places):
            linear = graph.op("Sub", numbers, self._constant(state.centre))
            linear = graph.op("Div", linear, self._constant(state.divisor))
            linear = self._bent(linear) if state.settings.robust else self._within(linear, state.bound[0].numpy())
            parts.append(graph.columns(linear, state.linear_places.tolist()))
        if len(state.quantile_places):
            parts.append(self._normal_scores(graph.columns(numbers, state.quantile_places.tolist())))
        return graph.columns(graph.beside(parts), state.number_order.tolist())

    def _within(self, values: str, bound: np.ndarray | float) -> str:
        graph = self._graph
        values = graph.op("Max", values, graph.constant(-bound, "float64"))
        return graph.op("Min", values, graph.constant(bound, "float64"))

    def _bent(self, values: str) -> str:
        """As in `Preparation`: smoothly towards the bound."""
        graph, bound = self._graph, self._preparation.bound[0]
        values = self._within(values, LARGEST_BENT)
        squares = graph.op("Add", graph.op("Mul", values, values), graph.constant(bound.square().numpy(), "float64"))
        root = graph.op("Max", graph.op("Sqrt", squares), graph.constant(SMALLEST_BENT, "float64"))
        return graph.op("Div", graph.op("Mul", values, graph.constant(bound.numpy(), "float64")), root)

    def _normal_scores(self, values: str) -> str:
        """As `Preparation._normal_scores`: between which two knots each value lies, by halving."""
        graph, knots = self._graph, self._preparation.knots[0]
        columns, count = knots.shape
        starts = graph.constant(np.arange(columns) * count, "int64")

        def at(table: Tensor, place: str) -> str:
            flat = graph.constant(table.flatten().numpy(), "float64")
            return graph.op("Gather", flat, graph.op("Add", place, starts), axis=0)

        values = graph.op("Max", values, graph.constant(knots[:, 0].numpy(), "float64"))
        values = graph.op("Min", values, graph.constant(knots[:, -1].numpy(), "float64"))
        last = graph.constant(count - 1, "int64")
        place = graph.repeated(np.zeros(columns), "int64")
        step = 1 << max(0, (count - 1).bit_length() - 1)
        while step:
            probe = graph.op("Min", graph.op("Add", place, graph.constant(step, "int64")), last)
            place = graph.op("Where", graph.op("GreaterOrEqual", values, at(knots, probe)), probe, place)
            step //= 2
        rise = graph.op("Mul", graph.op("Sub", values, at(knots, place)), at(self._preparation.slopes[0], place))
        return graph.op("Add", at(self._preparation.scores[0], place), rise)

    def _one_hots(self) -> str:
        assert self._levels is not None
        graph, state = self._graph, self._preparation
        chosen = graph.columns(self._levels, state.one_hot_places.tolist())
        matches = graph.op("Equal", chosen, graph.constant(state.one_hot_codes.numpy(), "int64"))
        return graph.op("And", matches, graph.constant(state.one_hot_active[0].numpy(), "bool"))

    def _texts(self, counts: str, dtype: str) -> list[str]:
        graph = self._graph
        counts = graph.cast(counts, dtype)
        one, nought = graph.constant(1, dtype), graph.constant(0, dtype)
        logs = graph.op("Add", one, graph.op("Log", graph.op("Max", counts, one)))
        present = graph.op("Where", graph.op("Greater", counts, nought), logs, nought)
        weighted = graph.op("Mul", present, graph.constant(self._preparation.idf[0].numpy(), dtype))
        parts: list[str] = []
        start = 0
        for column in self._layout.texts:
            text = graph.columns(weighted, range(start, start + column.buckets))
            squares = graph.op("ReduceSumSquare", text, graph.constant([1], "int64"), keepdims=1)
            length = graph.op("Max", graph.op("Sqrt", squares), graph.constant(1e-12, dtype))
            unit = graph.op("Div", text, length)
            parts.append(graph.op("Mul", unit, graph.constant(self._preparation.settings.text_gain, dtype)))
            start += column.buckets
        return parts

    def _constant(self, statistics: Tensor) -> str:
        return self._graph.constant(statistics[0].numpy(), "float64")
