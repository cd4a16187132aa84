"""The map of a function of two variables: nested areas of low values, the lower the deeper."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

from lanewise.reporting.charts.svg import UNITS, element

SHARES = (0.025, 0.045, 0.07, 0.11, 0.16, 0.22, 0.3, 0.39, 0.49, 0.6, 0.72, 0.85)
"""Shares of the map that lie below each level: whatever the values are, the lines are spread over the whole map."""
_EDGE = 1e-3  # width, in cells, of the rim outside of the map along which every area is closed

Grid = Sequence[Sequence[float]]
Corner = tuple[int, int]
Place = tuple[float, float]


def contour(heights: Grid) -> list[Markup]:
    """Areas below each level as paths of 1000 x 1000 units; ``heights[row][column]``, rows from the low end."""
    return [element("path", d=path, class_="level", fill_rule="evenodd") for path in map(_path, _areas(heights))]


def levels(heights: Grid) -> list[float]:
    """The values below which the shares of :data:`SHARES` lie, without repetition.

    >>> levels([[0.0, 1.0], [2.0, 3.0]])
    [0.0, 1.0, 2.0]
    """
    known = sorted(value for row in heights for value in row if isfinite(value))
    if not known or known[0] == known[-1]:
        return []
    found = dict.fromkeys(known[min(len(known) - 1, round(share * (len(known) - 1)))] for share in SHARES)
    return [level for level in found if level < known[-1]]


def rings(heights: Grid, level: float) -> list[list[Place]]:
    """The borders of the area below a level as closed rings of (column, row), by marching squares.

    >>> [len(ring) for ring in rings([[1, 1, 1], [1, 0, 1], [1, 1, 1]], 0.5)]
    [4]
    """
    rows, columns = len(heights), len(heights[0])
    inside = [[value <= level for value in row] for row in heights]

    def low(row: int, column: int) -> bool:
        return 0 <= row < rows and 0 <= column < columns and inside[row][column]

    following: dict[tuple[Corner, Corner], tuple[Corner, Corner]] = {}
    for row in range(-1, rows):
        for column in range(-1, columns):
            corners = ((row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column))
            signs = [low(*corner) for corner in corners]
            if all(signs) or not any(signs):
                continue
            following.update(_segments(corners, signs))
    found = []
    while following:
        first, here = following.popitem()
        edges = [first]
        while here != first:
            edges.append(here)
            here = following.pop(here)
        found.append([_crossing(heights, level, edge) for edge in edges])
    return found


def _segments(
    corners: Sequence[Corner], signs: Sequence[bool]
) -> list[tuple[tuple[Corner, Corner], tuple[Corner, Corner]]]:
    """The border within a cell, from where it leaves the area going round to where it comes back."""
    leaving, entering = [], []
    for place in range(4):
        following = (place + 1) % 4
        edge = tuple(sorted((corners[place], corners[following])))
        if signs[place] and not signs[following]:
            leaving.append((place, edge))
        elif signs[following] and not signs[place]:
            entering.append((place, edge))
    # Each border leaves at one edge and enters at the next that enters: two low corners across stay apart.
    return [
        (min(entering, key=lambda one, at=place: (at - one[0]) % 4)[1], edge)  # type: ignore[misc]  # the default binds the place
        for place, edge in leaving
    ]


def _crossing(heights: Grid, level: float, edge: tuple[Corner, Corner]) -> Place:
    """Where the level lies between two neighbours; beside the map, just outside of it."""
    (row, column), (other_row, other_column) = edge
    rows, columns = len(heights), len(heights[0])
    if not (row >= 0 and column >= 0):
        return other_column - _EDGE * (column < 0), other_row - _EDGE * (row < 0)
    if not (other_row < rows and other_column < columns):
        return column + _EDGE * (other_column >= columns), row + _EDGE * (other_row >= rows)
    one, two = heights[row][column], heights[other_row][other_column]
    share = (level - one) / (two - one) if isfinite(one) and isfinite(two) else 0.5
    return column + share * (other_column - column), row + share * (other_row - row)


def _areas(heights: Grid) -> list[list[list[Place]]]:
    across, up = max(1, len(heights[0]) - 1), max(1, len(heights) - 1)
    return [
        [[(x / across, y / up) for x, y in ring] for ring in rings(heights, level)]
        for level in reversed(levels(heights))
    ]


def _path(area: list[list[Place]]) -> str:
    parts = []
    for ring in area:
        places = list(dict.fromkeys((round(x * UNITS), round((1 - y) * UNITS)) for x, y in ring))
        if len(places) > 2:
            steps = " ".join(f"{c - a} {d - b}" for (a, b), (c, d) in pairwise(places))
            parts.append(f"M{places[0][0]} {places[0][1]}l{steps}z")
    return "".join(parts)
