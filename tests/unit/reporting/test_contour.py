"""The lines of a map lie where the function has their value."""

import math
from itertools import pairwise

import pytest

from lanewise.reporting.charts.contour import SHARES, contour, levels, rings


def test_a_ring_of_a_cone_is_a_circle():
    heights = [[math.hypot(column - 20, row - 20) for column in range(41)] for row in range(41)]
    (ring,) = rings(heights, 12.3)
    assert len(ring) > 60
    for column, row in ring:
        assert math.hypot(column - 20, row - 20) == pytest.approx(12.3, abs=0.02)
    assert area(ring) == pytest.approx(math.pi * 12.3**2, rel=0.005)


def test_an_area_that_leaves_the_map_is_closed_along_its_rim():
    (ring,) = rings([[column for column in range(11)] for _ in range(6)], 4.5)
    assert area(ring) == pytest.approx(4.5 * 5, rel=0.001)


def test_two_low_corners_across_stay_apart_and_a_hole_is_a_ring_of_its_own():
    assert len(rings([[0, 1], [1, 0]], 0.5)) == 2
    hole = [[0] * 5, [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5, [0] * 5]
    sizes = sorted(area(ring) for ring in rings(hole, 0.5))
    assert sizes == pytest.approx([0.5, 16], rel=0.01)


def test_levels_share_out_the_map():
    heights = [[float(row * 100 + column) ** 3 for column in range(100)] for row in range(100)]
    flat = sorted(value for row in heights for value in row)
    for level, share in zip(levels(heights), SHARES, strict=True):
        assert sum(value <= level for value in flat) / len(flat) == pytest.approx(share, abs=0.001)


def test_maps_without_slope_or_numbers_have_no_lines():
    assert levels([[1.0, 1.0], [1.0, 1.0]]) == []
    assert contour([[math.nan, math.inf], [math.nan, math.nan]]) == []
    assert len(contour([[0.0, math.nan, 1.0], [2.0, 3.0, math.inf], [0.0, 1.0, 2.0]])) > 0


def area(ring):
    """The area within a ring, by the shoelace formula."""
    closed = [*ring, ring[0]]
    return abs(sum(a * d - b * c for (a, b), (c, d) in pairwise(closed))) / 2
