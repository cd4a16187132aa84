"""The frame that all plots share: horizontal hairlines, ticks outside, the axis named at its end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.svg import element, join, percent, picture, stretched, text
from lanewise.reporting.words import number

CHARACTER = 7  # width of a digit of a tick, in pixels


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale with its name and the way its ticks are written."""

    scale: Scale
    label: str = ""
    written: Callable[[float], str] = number
    count: int = 5

    def ticks(self) -> list[tuple[float, str]]:
        """Place (as a fraction) and words of each tick; two ticks never read the same."""
        ticks = self.scale.ticks(self.count)
        words = [self.written(tick) for tick in ticks]
        if len(set(words)) < len(words) and self.scale.log:  # a power of ten tells no closer ones apart
            return [(self.scale.at(tick), word) for word, tick in dict(zip(words, ticks, strict=True)).items()]
        if len(set(words)) < len(words):
            words = [number(tick, 8) for tick in ticks]
        return [(self.scale.at(tick), word) for tick, word in zip(ticks, words, strict=True)]


def plot(
    *,
    label: str,
    x: Axis,
    y: Axis,
    curves: Sequence[Markup],
    marks: Sequence[Markup] = (),
    height: int = 260,
    right: int = 18,
    class_: str = "plot",
) -> Markup:
    """A plot in its frame; the padding around the SVG is where ticks and names of the axes stand."""
    across, up = x.ticks(), y.ticks()
    left = max((len(words) for _, words in up), default=1) * CHARACTER + 14
    top = 30 if y.label else 10
    bottom = (24 if across else 6) + (20 if x.label else 0)
    lines = [element("line", x1=0, x2="100%", y1=percent(1 - at), y2=percent(1 - at), class_="grid") for at, _ in up]
    ticks = [text(words, x=-8, y=percent(1 - at), dy=".32em", class_="tick", text_anchor="end") for at, words in up] + [
        text(words, x=percent(at), y="100%", dy=18, class_="tick", text_anchor="middle") for at, words in across
    ]
    names = [
        text(y.label, x=-left, y=-14, class_="axis") if y.label else Markup(""),
        text(x.label, x="100%", y="100%", dy=38, class_="axis", text_anchor="end") if x.label else Markup(""),
    ]
    base = element("line", x1=0, x2="100%", y1="100%", y2="100%", class_="base")
    drawing = picture(
        *lines, base, stretched(*curves), *marks, *ticks, *names, label=label, height=height, class_=class_
    )
    return element("div", drawing, class_="frame", style=f"padding:{top}px {right}px {bottom}px {left}px")


def beside(
    labels: Sequence[tuple[float, str, str]], *, height: int, gap: int = 16, below: Mapping[str, str] | None = None
) -> Markup:
    """Names right of a plot at the ends of their curves, pushed apart; each is (fraction from below, words, class).

    ``below`` are words that stand under the name of a class.
    """
    notes = below or {}
    placed: list[tuple[float, str, str]] = []
    free = float("-inf")
    for at, words, class_ in sorted(labels, reverse=True):
        wanted = max((1 - min(1.0, max(0.0, at))) * height, free)
        placed.append((wanted, words, class_))
        free = wanted + gap + (gap if class_ in notes else 0)
    overflow = max(0.0, free - gap - height) if placed else 0.0
    found = []
    for wanted, words, class_ in placed:
        y = round(wanted - overflow, 1)
        found.append(text(words, x="100%", dx=10, y=y, dy=".32em", class_=f"name {class_}"))
        if class_ in notes:
            found.append(
                text(notes[class_], x="100%", dx=10, y=round(y + gap, 1), dy=".32em", class_=f"score {class_}")
            )
    return join(found)
