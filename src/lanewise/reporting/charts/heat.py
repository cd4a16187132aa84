"""A heat map of a confusion matrix with many classes: one path for each shade, so 77 classes stay a small file."""

from collections.abc import Sequence

from markupsafe import Markup

from lanewise.reporting.charts.svg import element, join, named, percent, picture

SHADES = 5
_LABELLED = 32  # more classes leave no room for a label each


def heat(matrix: Sequence[Sequence[float]], classes: Sequence[str]) -> Markup:
    """Rows are the true classes, columns the predicted; shade by the share of the row, errors on their own scale."""
    n = len(classes)
    right: list[list[str]] = [[] for _ in range(SHADES)]
    wrong: list[list[str]] = [[] for _ in range(SHADES)]
    for place, row in enumerate(matrix):
        total = sum(row)
        for column, amount in enumerate(row):
            if amount <= 0:
                continue
            share = amount / total
            level = share if place == column else (share / 0.5) ** 0.5  # errors are rare: a root keeps them visible
            shade = min(SHADES - 1, int(level * SHADES))
            (right if place == column else wrong)[shade].append(f"M{column} {place}h1v1h-1z")
    paths = [
        element("path", d="".join(parts), class_=f"{kind} s{shade + 1}")
        for kind, shades in (("right", right), ("wrong", wrong))
        for shade, parts in enumerate(shades)
        if parts
    ]
    ground = element("rect", width=n, height=n, class_="ground")
    view = {"viewBox": f"0 0 {n} {n}", "preserveAspectRatio": "none"}
    cells = element("svg", ground, *paths, **view, width="100%", height="100%", class_="cells")
    label = f"Heat map of the confusion matrix of {n} classes: true classes down, predicted classes across."
    chart = picture(cells, _names(classes), label=label, height=0, class_="plot heat")
    return element("div", element("div", chart, class_="square"), class_="frame", style=_padding(classes))


def _names(classes: Sequence[str]) -> Markup:
    if len(classes) > _LABELLED:
        return Markup("")
    places = [(percent((place + 0.5) / len(classes)), name) for place, name in enumerate(classes)]
    down = [named(name, x=-6, y=at, dy=".32em", class_="tick", text_anchor="end") for at, name in places]
    short = max(map(len, classes)) <= 2
    across = [named(name, x=at, y=-8, class_="tick", text_anchor="middle") for at, name in places] if short else []
    return join([*down, *across])


def _padding(classes: Sequence[str]) -> str:
    if len(classes) > _LABELLED:
        return "padding:4px"
    return f"padding:24px 4px 4px {min(16, max(map(len, classes))) * 7 + 12}px"
