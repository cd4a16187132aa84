"""The page and the table of a comparison."""

import math
from dataclasses import replace

import pytest
import torch

from lanewise.errors import UsageError
from lanewise.reporting.comparison import headline, page, text
from lanewise.solvers.comparing import Comparison, Trace, compare
from lanewise.solvers.solver import Status


def trace(method="bfgs", **changes):
    usual = {
        "method": method,
        "words": "keeps <a> matrix",
        "points": [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)],
        "values": [2.0, 0.5, 0.0],
        "evaluations": [1, 4, 9],
        "seconds": [0.001, 0.004, 0.009],
        "x": (1.0, 1.0),
        "value": 0.0,
        "status": Status.CONVERGED,
        "success": True,
        "rate": None,
        "distance": 0.0,
    }
    return Trace(**usual | changes)


def comparison(*traces, **changes):
    usual = {
        "name": "bowl",
        "formula": "x1² - x2",
        "source": "nobody",
        "x0": (0.0, 0.0),
        "optima": ((1.0, 1.0),),
        "least": 0.0,
        "low": (-1.0, -1.0),
        "high": (2.0, 2.0),
        "heights": [[float((x - 2) ** 2 + (y - 2) ** 2) for x in range(4)] for y in range(4)],
        "tuned": False,
        "exact": True,
        "traces": list(traces),
    }
    return Comparison(**usual | changes)


SLOW = trace("gd", values=[2.0, 1.5, 1.2], value=1.2, status=Status.EVALUATIONS, success=False, rate=0.01, distance=0.7)


def test_the_headline_says_who_was_first():
    later = trace("newton", evaluations=[2, 8, 20])
    assert (
        headline(comparison(later, trace(), SLOW))
        == "First at the optimum: bfgs, after 9 evaluations. 2 of 3 got there."
    )
    assert headline(comparison(trace())) == "First at the optimum: bfgs, after 9 evaluations."
    assert headline(comparison(SLOW, replace(SLOW, method="sgd"))) == "None reached the optimum. Lowest: gd, at 1.2."
    lost = replace(SLOW, method="lost", value=math.nan, values=[math.nan] * 3)
    assert headline(comparison(lost, SLOW)).endswith("Lowest: gd, at 1.2.")
    going_on = trace(values=[2.0, 0.0, 0.0])  # there at its fourth evaluation
    assert headline(comparison(going_on)) == "First at the optimum: bfgs, after 4 of its 9 evaluations."
    heads, rows = text(comparison(going_on, SLOW)).splitlines()[2], text(comparison(going_on, SLOW)).splitlines()[3:]
    ends = [heads.index(name) + len(name) for name in ("there after", "evaluations")]
    assert [[row[:end].split()[-1] for end in ends] for row in rows] == [["4", "9"], ["1.2", "9"]]
    assert 'data-name="There after">4</td>' in page(comparison(going_on, SLOW))
    own = comparison(SLOW, least=None, optima=())
    assert headline(own) == "First at the lowest value: gd, after 9 evaluations."


def test_the_page_is_complete_and_escapes_what_it_is_given():
    written = page(comparison(trace(), SLOW, name="<script>alert(1)</script>"))
    assert "<script>alert" not in written
    assert "keeps &lt;a&gt; matrix" in written
    assert "http" not in written.replace("http-equiv", "")
    assert written.count('class="way ') == 2
    assert 'data-at="1 4 9"' in written
    assert "M333 667L500 500L667 333" in written
    assert "learning rate 0.01" in written
    assert "x1² \N{MINUS SIGN} x2" in written


def test_points_that_are_lost_are_left_out_and_leaps_are_cut():
    wild = trace(points=[(0.0, 0.0), (1e200, -3.0), (math.nan, 1.0)], values=[2.0, math.inf, math.nan])
    written = page(comparison(wild, low=(-1.0, -1.0)))
    assert "nan" not in written
    assert "M333 667L4000 1667" in written


def test_without_a_map_there_are_curves_and_the_table():
    flat = comparison(trace(points=[(0.0,) * 3] * 3), heights=[], x0=(0.0,) * 3, least=None, optima=(), exact=False)
    written = page(flat)
    assert "player" not in written.split("</style>")[1].split("<script>")[0]
    assert written.count("<figure") == 2
    assert "by differences" in written
    assert "To the optimum" not in written


def test_the_table_of_the_terminal():
    lines = text(comparison(trace(), SLOW)).splitlines()
    assert lines[2].split() == ["method", "value", "there", "after", "evaluations", "seconds", "distance", "status"]
    assert lines[3].split()[:6] == ["bfgs", "0", "9", "9", "0.009", "0"]
    assert lines[4].startswith("gd, lr 0.01")
    assert lines[4].endswith("the limit on evaluations was reached")


def test_more_methods_than_colours_are_refused():
    with pytest.raises(UsageError, match="8 methods apart, got 9"):
        page(comparison(*(trace(f"m{place}") for place in range(9))))


def test_small_values_are_told_apart_as_well() -> None:
    def small(x: torch.Tensor) -> torch.Tensor:
        return 1e-8 * ((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)

    found = compare(small, x0=[-1.2, 1.0], methods=["gd", "bfgs"], max_evaluations=60)
    assert "1 of 2 got there" in headline(found)
