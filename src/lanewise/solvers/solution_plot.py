"""The picture of a solution: inline SVG without a script or a library."""

import math
from dataclasses import dataclass
from html import escape

from lanewise.solvers.outcome import History

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 560, 260, 86, 40, 14


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture as SVG text."""

    svg: str

    def __str__(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg


def draw_history(history: History, *, direction: str) -> Plot:
    """Best value against evaluations; logarithmic where all values are above zero and span decades.

    >>> picture = draw_history(History(evaluations=[1, 5], values=[3.0, 1.0]), direction="minimized")
    >>> str(picture).startswith("<svg") and "evaluations" in str(picture)
    True
    """
    pairs = [(e, v) for e, v in zip(history.evaluations, history.values, strict=True) if math.isfinite(v)]
    if not pairs:
        pairs = [(0, 0.0)]
    values = [value for _, value in pairs]
    logarithmic = min(values) > 0 and max(values) > 100 * min(values)
    heights = [math.log10(value) if logarithmic else value for value in values]
    left, right, low, high = pairs[0][0], pairs[-1][0], min(heights), max(heights)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - EDGE) * ((x - left) / (right - left) if right > left else 0.5)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - EDGE) * ((y - low) / (high - low) if high > low else 0.5)

    path = f"M{across(pairs[0][0]):.1f} {up(heights[0]):.1f}"
    for (x, _), y in zip(pairs[1:], heights[1:], strict=True):
        path += f"H{across(x):.1f}V{up(y):.1f}"
    ticks = [low + (high - low) * part / 3 for part in range(4)] if high > low else [low]
    marks = "".join(
        f'<text x="{LEFT - 8}" y="{up(y) + 4:.1f}" text-anchor="end">{10**y if logarithmic else y:.3g}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{up(y):.1f}" y2="{up(y):.1f}" stroke="currentColor" '
        'stroke-opacity="0.15"/>'
        for y in ticks
    )
    base = HEIGHT - BOTTOM + 18
    marks += f'<text x="{LEFT}" y="{base}">{left:,}</text>'
    marks += f'<text x="{WIDTH - EDGE}" y="{base}" text-anchor="end">{right:,}</text>'
    middle = (LEFT + WIDTH - EDGE) / 2
    marks += f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">evaluations</text>'
    label = f"Best value {direction} from {values[0]:.4g} to {values[-1]:.4g} in {right:,} evaluations"
    return Plot(
        svg=f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width:100%" role="img" aria-label="{escape(label)}" font-family="sans-serif" font-size="12" '
        f'fill="currentColor"><title>{escape(label)}</title>{marks}'
        f'<path d="{path}" fill="none" stroke="#2a6fdb" stroke-width="2"/></svg>'
    )
