"""A method's two paths as one SVG file that stands alone: readable on light and dark pages, without a script."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from markupsafe import Markup
from method_paths import LATTICE, Ground, Point, Run, grounds, run

from lanewise.reporting.charts.contour import levels, rings
from lanewise.reporting.charts.svg import element
from lanewise.reporting.words import number, typeset

SIDE, GAP, TOP, FOOT = 310, 28, 30, 66
"""Of a map, between the maps, above and below them: in pixels at full size."""
UNITS = 620
"""Of a map's side: half pixels."""
GRID = 80
SLACK, COARSE = 0.7, 2.0
"""Units by which a path, and the border of a shade, may miss the points that they leave out."""
LEAST = 1e-12
"""Values are told down to here: below, rounding decides."""
NEAR = 1e-6
"""Constraints are met to about this, so a least value under constraints is not told more exactly."""

STYLE = """
svg{--paper:#fcfbf8;--ink:#1b1a18;--muted:#615e57;--shade:#3c5468;--way:#0b5c9c;--far:#b5480c;--base:#a39e93}
@media(prefers-color-scheme:dark){svg{--paper:#15171a;--ink:#eae7e1;--muted:#a9a59c;--shade:#9fb6c9;--way:#74b9f4;--far:#f49b63;--base:#6f7276}}
text{font:13px "Avenir Next",Inter,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif;fill:var(--ink)}
.q{fill:var(--muted);font-size:11.5px}.h{font-weight:600}
.l{fill:var(--shade);fill-opacity:.055;stroke:var(--shade);stroke-opacity:.3;stroke-width:1.6}
.x{fill:var(--far);fill-opacity:.13;stroke:var(--far);stroke-width:2;stroke-dasharray:8 6}
.w,.b{fill:none;stroke-linejoin:round;stroke-linecap:round}.b{stroke:var(--paper);stroke-width:9;opacity:.7}
.w{stroke:var(--way);stroke-width:3.6}.d{fill:none;stroke:var(--way);stroke-linecap:round;stroke-width:5}
.p{fill:var(--way);stroke:none}.e{fill:var(--way);stroke:var(--paper);stroke-width:4}
.s,.o{fill:none;stroke:var(--ink);stroke-width:4.4}.f{fill:none;stroke:var(--base)}
""".replace("\n", "")


def picture(name: str) -> str:
    """The SVG of a method; its ``<desc>`` says in words what it shows."""
    both = [(ground, run(name, ground)) for ground in grounds(name)]
    width = 2 * SIDE + GAP + 2
    drawing = element(
        "svg",
        element("title", f"{name}: its path on two functions"),
        element("desc", description(name, both)),
        element("style", Markup(STYLE)),
        element("rect", width=width + 32, height=TOP + SIDE + FOOT, rx=6, style="fill:var(--paper)"),
        *(_panel(ground, one, 17 + place * (SIDE + GAP)) for place, (ground, one) in enumerate(both)),
        _legend(both, 17, TOP + SIDE + FOOT - 13),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width + 32} {TOP + SIDE + FOOT}",
        width=width + 32,
        height=TOP + SIDE + FOOT,
        role="img",
    )
    return str(drawing) + "\n"


def description(name: str, both: Sequence[tuple[Ground, Run]]) -> str:
    """What the picture shows, for those who do not see it."""
    places = ("the " + ground.name if ground.name.startswith("bowl") else ground.name for ground, _ in both)
    parts = [
        f"in {place} from {_point(ground.start)}: {_result(ground, one)}"
        for place, (ground, one) in zip(places, both, strict=True)
    ]
    return f"Path of {name} {'; '.join(parts)}."


def _point(point: Point) -> str:
    return typeset(f"({number(point[0], 4)}, {number(point[1], 4)})")


def _result(ground: Ground, one: Run) -> str:
    """What a run reached, at what cost and rate."""
    gap = one.value - ground.least
    if ground.room is not None:
        reached = "the least value" if abs(gap) < NEAR else f"{number(gap, 2)} above the least value"
    else:
        reached = f"below {number(LEAST, 1)}" if gap < LEAST else number(gap, 2)
    rate = "" if one.rate is None else f", lr {number(one.rate, 2)}"
    return f"{reached} after {one.evaluations} evaluations{rate}"


def _panel(ground: Ground, one: Run, left: float) -> Markup:
    """One map with its heading above and what was reached below."""
    frame = element(
        "svg",
        *_areas(ground),
        *_forbidden(ground),
        *_dots(ground, one),
        *_way(ground, one),
        *(_mark(ground, optimum, "M-14 0a14 14 0 1 0 28 0a14 14 0 1 0-28 0z", "o") for optimum in ground.optima),
        _mark(ground, ground.start, "M-9-9L9 9M-9 9L9-9", "s"),
        _mark(ground, _last(one), "M-10 0a10 10 0 1 0 20 0a10 10 0 1 0-20 0z", "e"),
        element("rect", x=1, y=1, width=UNITS - 2, height=UNITS - 2, class_="f", stroke_width=2),
        x=left,
        y=TOP,
        width=SIDE,
        height=SIDE,
        viewBox=f"0 0 {UNITS} {UNITS}",
    )
    heading = ground.name[0].upper() + ground.name[1:]
    return Markup("").join(
        (
            element("text", heading, x=left, y=TOP - 10, class_="h"),
            frame,
            element("text", _result(ground, one), x=left, y=TOP + SIDE + 20),
        )
    )


def _legend(both: Sequence[tuple[Ground, Run]], left: float, base: float) -> Markup:
    words = ["\N{MULTIPLICATION SIGN} start", "\N{BLACK CIRCLE} end", "\N{WHITE CIRCLE} minimum"]
    if any(ground.room is not None for ground, _ in both):
        words.append("dashed: forbidden beyond")
    if any(one.tried for _, one in both):
        words.append("dots: points tried, larger ones later; line: the best so far")
    return element("text", " \N{MIDDLE DOT} ".join(words), x=left, y=base, class_="q")


def _areas(ground: Ground) -> Iterable[Markup]:
    heights = _heights(ground, ground.function)
    for level in reversed(levels(heights)[1 :: 4 if ground is LATTICE else 2]):
        yield element("path", d=_closed(rings(heights, level)), class_="l", fill_rule="evenodd")


def _forbidden(ground: Ground) -> Iterable[Markup]:
    if ground.room is not None:
        outlines = rings(_heights(ground, ground.room), 0.0)
        yield element("path", d=_closed(outlines), class_="x", fill_rule="evenodd")


def _heights(ground: Ground, function: object) -> list[list[float]]:
    across = torch.linspace(ground.low[0], ground.high[0], GRID + 1, dtype=torch.float64)
    up = torch.linspace(ground.low[1], ground.high[1], GRID + 1, dtype=torch.float64)
    second, first = torch.meshgrid(up, across, indexing="ij")
    points = torch.stack((first.flatten(), second.flatten()), dim=1)
    return torch.func.vmap(function)(points).reshape(GRID + 1, GRID + 1).tolist()  # type: ignore[arg-type]


def _closed(outlines: Sequence[Sequence[Point]]) -> str:
    """Rings of (column, row) as path data."""
    scaled = ([(x / GRID * UNITS, (1 - y / GRID) * UNITS) for x, y in ring] for ring in outlines)
    return "".join(_data([*ring, ring[0]], COARSE) + "z" for ring in scaled)


def _way(ground: Ground, one: Run) -> Iterable[Markup]:
    """The line with a halo, and a dot at each place if there are few."""
    places = [_place(ground, point) for point in one.points if all(map(math.isfinite, point))]
    yield element("path", d=_data(places), class_="b")
    yield element("path", d=_data(places), class_="w")
    if len(places) <= 60 and not one.tried:
        seen = dict.fromkeys((round(x), round(y)) for x, y in places)
        data = "".join(f"M{x - 5} {y}a5 5 0 1 0 10 0a5 5 0 1 0-10 0" for x, y in seen)
        yield element("path", d=data, class_="p")


def _dots(ground: Ground, one: Run) -> Iterable[Markup]:
    """Points tried in three groups: the first faint and small, the last strong."""
    third = math.ceil(len(one.tried) / 3)
    for place, (width, opacity) in enumerate(((4, 0.5), (5.2, 0.6), (6.6, 0.8))):
        group = one.tried[place * third : (place + 1) * third]
        if group:
            places = [(round(x), round(y)) for x, y in (_place(ground, point) for point in group)]
            steps = "".join(f"m{c - a} {d - b}z" for (a, b), (c, d) in pairwise(places))
            yield element(
                "path",
                d=f"M{places[0][0]} {places[0][1]}z{steps}".replace(" -", "-"),
                class_="d",
                stroke_width=width,
                opacity=opacity,
            )


def _mark(ground: Ground, point: Point, data: str, class_: str) -> Markup:
    x, y = _place(ground, point)
    return element("path", d=data, class_=class_, transform=f"translate({round(x)} {round(y)})")


def _last(one: Run) -> Point:
    return next(point for point in reversed(one.points) if all(map(math.isfinite, point)))


def _place(ground: Ground, point: Point) -> Point:
    """A point in units of the map; leaps beyond three maps are cut."""
    x, y = (
        min(4.0, max(-3.0, (value - low) / (high - low)))
        for value, low, high in zip(point, ground.low, ground.high, strict=True)
    )
    return x * UNITS, (1 - y) * UNITS


def _data(places: Sequence[Point], slack: float = SLACK) -> str:
    """Path data through the places that matter, in whole units and relative steps."""
    kept = [(round(x), round(y)) for x, y in _simplified(places, slack)]
    kept = [kept[0], *(after for before, after in pairwise(kept) if before != after)]
    steps = " ".join(f"{c - a} {d - b}" for (a, b), (c, d) in pairwise(kept))
    return f"M{kept[0][0]} {kept[0][1]}l{steps or '0 0'}".replace(" -", "-")


def _simplified(places: Sequence[Point], slack: float) -> list[Point]:
    """Places of a line without those that lie within ``slack`` of it (Ramer, Douglas & Peucker)."""
    kept, waiting = {0, len(places) - 1}, [(0, len(places) - 1)]
    while waiting:
        first, last = waiting.pop()
        apart = [(_apart(places[at], places[first], places[last]), at) for at in range(first + 1, last)]
        if apart and max(apart)[0] > slack:
            middle = max(apart)[1]
            kept.add(middle)
            waiting += [(first, middle), (middle, last)]
    return [places[at] for at in sorted(kept)]


def _apart(place: Point, one: Point, other: Point) -> float:
    """Distance of a place from the stretch between two others."""
    along = (other[0] - one[0], other[1] - one[1])
    square = along[0] ** 2 + along[1] ** 2
    offset = (place[0] - one[0], place[1] - one[1])
    share = min(1.0, max(0.0, (offset[0] * along[0] + offset[1] * along[1]) / square)) if square else 0.0
    return math.dist(offset, (share * along[0], share * along[1]))
