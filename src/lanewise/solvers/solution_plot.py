"""The picture of a solution: inline SVG without a script or a library."""

import math
from dataclasses import dataclass
from html import escape

from lanewise.formatting.ticks import log_ticks, round_ticks
from lanewise.solvers.outcome import History

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 560, 260, 86, 40, 14
TICKS = 4
NOTHING = "No point was found that meets the constraints and has a finite value"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture as SVG text."""

    svg: str

    def __str__(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Values from ``low`` to ``high`` between two places of the picture."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, here = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        return self.begin + (self.end - self.begin) * ((here - low) / (high - low) if high > low else 0.5)

    def ticks(self) -> tuple[float, ...]:
        if not self.high > self.low:
            return (self.low,)
        return (log_ticks(self.low, self.high, TICKS) if self.log else ()) or round_ticks(self.low, self.high, TICKS)


def draw_history(history: History, *, direction: str) -> Plot:
    """Best value against evaluations; logarithmic where all values are above zero and span decades.

    >>> picture = draw_history(History(evaluations=[1, 5], values=[3.0, 1.0]), direction="minimized")
    >>> str(picture).startswith("<svg") and "evaluations" in str(picture)
    True
    """
    pairs = [(e, v) for e, v in zip(history.evaluations, history.values, strict=True) if math.isfinite(v)]
    if not pairs:
        spent = f" in {history.evaluations[-1]:,} evaluations" if history.evaluations else ""
        return _picture(
            f"{NOTHING}{spent}", f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">{NOTHING}</text>'
        )
    values = [value for _, value in pairs]
    log = min(values) > 0 and max(values) > 100 * min(values)
    across = _Axis(low=pairs[0][0], high=pairs[-1][0], begin=LEFT, end=WIDTH - EDGE)
    up = _Axis(low=min(values), high=max(values), begin=HEIGHT - BOTTOM, end=EDGE, log=log)
    path = f"M{across.at(pairs[0][0]):.1f} {up.at(values[0]):.1f}"
    for evaluations, value in pairs[1:]:
        path += f"H{across.at(evaluations):.1f}V{up.at(value):.1f}"
    label = f"Best value {direction} from {values[0]:.4g} to {values[-1]:.4g} in {pairs[-1][0]:,} evaluations"
    scale = "best value, log scale" if log else "best value"
    middle = (EDGE + HEIGHT - BOTTOM) / 2
    marks = "".join(
        f'<text x="{LEFT - 8}" y="{up.at(y) + 4:.1f}" text-anchor="end">{y:.6g}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{up.at(y):.1f}" y2="{up.at(y):.1f}" stroke="currentColor" '
        'stroke-opacity="0.15"/>'
        for y in up.ticks()
    )
    marks += "".join(
        f'<text x="{across.at(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,.0f}</text>'
        for x in dict.fromkeys(map(round, across.ticks()))
    )
    marks += f'<text x="{(LEFT + WIDTH - EDGE) / 2}" y="{HEIGHT - 6}" text-anchor="middle">evaluations</text>'
    marks += f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{scale}</text>'
    return _picture(label, f'{marks}<path d="{path}" fill="none" stroke="#2a6fdb" stroke-width="2"/>')


def _picture(label: str, inside: str) -> Plot:
    return Plot(
        svg=f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width:100%" role="img" aria-label="{escape(label)}" font-family="sans-serif" font-size="12" '
        f'fill="currentColor"><title>{escape(label)}</title>{inside}</svg>'
    )
