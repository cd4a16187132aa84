"""The parts of a date, computed inside a graph in whole numbers: those of `lanewise.features.encoding.date_parts`."""

from collections.abc import Callable, Iterator

import numpy as np

from lanewise.deploy.onnx_graph import Graph
from lanewise.features.columns import CYCLES, DateColumn, DatePart

MISSING_DATE = -(2**63)
"""What stands for a missing date: NaT in numpy and pandas."""

_MINUTE = 60_000_000
_DAY = 1440 * _MINUTE


def encoded_date(graph: Graph, stamp: str, column: DateColumn) -> Iterator[str]:
    """The raw numbers ``[N, 1]`` of a date, from microseconds since 1970 ``[N, 1]`` (int64)."""
    missing = graph.op("Equal", stamp, graph.constant(MISSING_DATE, "int64"))
    calendar = Calendar(graph, graph.op("Where", missing, graph.constant(0, "int64"), stamp))
    nothing = graph.constant(np.nan, "float64")
    for part in column.parts:
        for number in calendar.numbers(part):
            yield graph.op("Where", missing, nothing, number)


class Calendar:
    """A point in time, split up on demand.

    Year, month and day follow the proleptic Gregorian calendar. Source of the method: Howard Hinnant (2013),
    chrono-Compatible Low-Level Date Algorithms, ``civil_from_days``: years begin in March, so that the leap day is
    the last of its year, and 400 years of 146,097 days are an era.
    """

    def __init__(self, graph: Graph, stamp: str) -> None:
        self._graph = graph
        self._stamp = stamp
        self._days = self._floor_divide(stamp, _DAY)
        self._civil: tuple[str, str, str] | None = None

    def numbers(self, part: DatePart) -> Iterator[str]:
        """One part as float64, or its sine and cosine where it comes round again."""
        graph = self._graph
        if part == "days":
            yield graph.op("Div", graph.cast(self._stamp, "float64"), graph.constant(float(_DAY), "float64"))
        elif part == "year":
            yield graph.cast(self._year_month_day()[0], "float64")
        else:
            place, values = self._place(part)
            length, first = CYCLES[part]
            angles = (values - first) * (2 * np.pi / length)
            for wave in (np.sin, np.cos):
                yield graph.op("Gather", graph.constant(wave(angles), "float64"), place, axis=0)

    def _place(self, part: DatePart) -> tuple[str, np.ndarray]:
        """Which of its possible values the part has, counted from 0, and those values."""
        graph = self._graph
        if part == "hour":
            minute = self._divide(self._modulo(self._stamp, _DAY), _MINUTE)
            return minute, np.array([hour + past / 60 for hour in range(24) for past in range(60)])
        if part == "weekday":
            return self._modulo(self._plus(self._days, 3), 7), np.arange(1.0, 8.0)  # 1970 began on a Thursday
        _, month, day = self._year_month_day()
        one = graph.constant(1, "int64")
        if part == "month":
            return graph.op("Sub", month, one), np.arange(1.0, 13.0)
        return graph.op("Sub", day, one), np.arange(1.0, 32.0)

    def _year_month_day(self) -> tuple[str, str, str]:
        if self._civil is None:
            graph, divide = self._graph, self._divide
            since_march_0 = self._plus(self._days, 719_468)
            era = self._floor_divide(since_march_0, 146_097)
            day_of_era = self._modulo(since_march_0, 146_097)
            leaps = graph.op("Sub", divide(day_of_era, 36_524), divide(day_of_era, 146_096))
            leaps = graph.op("Sub", leaps, divide(day_of_era, 1_460))
            year_of_era = divide(graph.op("Add", day_of_era, leaps), 365)
            before = graph.op("Add", self._times(year_of_era, 365), divide(year_of_era, 4))
            before = graph.op("Sub", before, divide(year_of_era, 100))
            day_of_year = graph.op("Sub", day_of_era, before)
            march_month = divide(self._plus(self._times(day_of_year, 5), 2), 153)
            month_start = divide(self._plus(self._times(march_month, 153), 2), 5)
            day = self._plus(graph.op("Sub", day_of_year, month_start), 1)
            next_year = graph.cast(graph.op("GreaterOrEqual", march_month, graph.constant(10, "int64")), "int64")
            month = graph.op("Sub", self._plus(march_month, 3), self._times(next_year, 12))
            year = graph.op("Add", graph.op("Add", year_of_era, self._times(era, 400)), next_year)
            self._civil = year, month, day
        return self._civil

    def _with(self, kind: str) -> Callable[[str, int], str]:
        return lambda tensor, number: self._graph.op(kind, tensor, self._graph.constant(number, "int64"))

    def _plus(self, tensor: str, number: int) -> str:
        return self._with("Add")(tensor, number)

    def _times(self, tensor: str, number: int) -> str:
        return self._with("Mul")(tensor, number)

    def _modulo(self, tensor: str, number: int) -> str:
        """The remainder from 0 to ``number - 1``, also of what lies before 1970."""
        return self._with("Mod")(tensor, number)

    def _divide(self, tensor: str, number: int) -> str:
        """Whole division of what is not negative: ONNX cuts towards zero."""
        return self._with("Div")(tensor, number)

    def _floor_divide(self, tensor: str, number: int) -> str:
        return self._divide(self._graph.op("Sub", tensor, self._modulo(tensor, number)), number)
