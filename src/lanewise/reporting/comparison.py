"""The page of ``lanewise compare``: the paths of methods on the map of a function, and what each of them cost."""

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from lanewise._version import __version__
from lanewise.formatting.plain_text import clean
from lanewise.reporting.charts.paths import Path, against, ground
from lanewise.reporting.page import fill
from lanewise.reporting.words import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lanewise.solvers.comparing import Comparison, Trace

COLORS = 8
"""Methods that one page can tell apart."""
REACHED = 1e-6
"""Height above the least value, relative to what :func:`_reached_at` says, from which on a method has reached it."""


def page(comparison: "Comparison") -> str:
    """One HTML page that needs no network, with the paths moving as evaluations are spent.

    Raises ``UsageError`` for more methods than colours can tell apart.

    >>> from lanewise.solvers.comparing import compare
    >>> page(compare("booth", methods=["bfgs"])).count("<svg") > 3
    True
    """
    check_count(len(comparison.traces))
    least, reached_at = least_of(comparison), _reached_at(comparison)
    paths = [_path(trace, place) for place, trace in enumerate(comparison.traces)]
    known = comparison.least is not None
    gap = "Value above the least known" if known else "Value above the lowest found"
    shown = f"Of {listing([trace.method for trace in comparison.traces])} on {comparison.name}"
    return fill(
        "comparison.html",
        styles=("style.css", "comparison.css"),
        scripts=("script.js", "comparison.js"),
        title=clean(f"{comparison.name}: methods compared by Lanewise"),
        version=__version__,
        name=comparison.name,
        headline=headline(comparison),
        formula=comparison.formula.replace(" - ", " \N{MINUS SIGN} "),
        source=comparison.source,
        start=_point(comparison.x0),
        variables=count(len(comparison.x0), "variable"),
        limit=max((trace.evaluations[-1] for trace in comparison.traces), default=0),
        map=ground(
            paths,
            heights=comparison.heights,
            low=comparison.low,
            high=comparison.high,
            start=comparison.x0,
            optima=comparison.optima,
            label=f"{shown}: their paths from {_point(comparison.x0)} on the map of its values.",
        )
        if comparison.heights
        else None,
        by_evaluations=against(
            paths, seconds=False, least=least, label=f"{gap}, log scale", whole=f"{shown}: {gap} against evaluations."
        ),
        by_seconds=against(
            paths, seconds=True, least=least, label=f"{gap}, log scale", whole=f"{shown}: {gap} against seconds."
        ),
        rows=[_row(trace, place, reached_at) for place, trace in enumerate(comparison.traces)],
        known=bool(comparison.optima),
        tuned=comparison.tuned,
        exact=comparison.exact,
    )


def text(comparison: "Comparison") -> str:
    """The table of results for a terminal."""
    reached_at = _reached_at(comparison)
    heads = ("method", "value", "there after", "evaluations", "seconds", "distance", "status")
    lines: list[tuple[str, ...]] = [heads]
    for place, trace in enumerate(comparison.traces):
        row = _row(trace, place, reached_at)
        name = trace.method if trace.rate is None else f"{trace.method}, lr {number(trace.rate)}"
        lines.append((name, *(row[column.replace(" ", "_")] for column in heads[1:])))
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    written = []
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(line[column].rjust(widths[column]) for column in range(1, 6)), line[6]]
        written.append("  ".join(cells).rstrip())
    return "\n".join([headline(comparison), "", *written])


def least_of(comparison: "Comparison") -> float:
    """The least value known, else the lowest that was found."""
    found = [trace.value for trace in comparison.traces if isfinite(trace.value) and not trace.endless]
    return comparison.least if comparison.least is not None else min(found, default=0.0)


def headline(comparison: "Comparison") -> str:
    """Who reached the least value first, in words."""
    endless = [trace for trace in comparison.traces if trace.endless]
    if endless:
        quickest = min(endless, key=lambda trace: trace.evaluations[-1])
        cost = _evaluations(quickest.evaluations[-1])
        return f"{comparison.name} falls without end: {quickest.method} saw it after {cost}."
    reached_at = _reached_at(comparison)
    costs = {trace.method: _reaching(trace, reached_at) for trace in comparison.traces}
    arrived = {method: cost for method, cost in costs.items() if cost < inf}
    goal = "the optimum" if comparison.least is not None else "the lowest value"
    if not arrived:
        best = min(comparison.traces, key=lambda trace: trace.value if isfinite(trace.value) else inf)
        who = "None reached" if len(costs) > 1 else "Not at"
        return f"{who} {goal}. Lowest: {best.method}, at {number(best.value)}."
    first = min(arrived, key=lambda method: arrived[method])
    rest = f" {len(arrived)} of {len(costs)} got there." if len(costs) > 1 else ""
    cost = arrived[first]
    spent = max(trace.evaluations[-1] for trace in comparison.traces if trace.method == first)
    words = _evaluations(cost) if spent == cost else f"{cost:,.0f} of its {_evaluations(spent)}"
    return f"First at {goal}: {first}, after {words}.{rest}"


def _reached_at(comparison: "Comparison") -> float:
    """The value from which on a method has reached the least one: within a millionth of its size, at least of one.

    Where all of the fall from the start is less than that, within a millionth of the fall.
    """
    least = least_of(comparison)
    begun = [trace.values[0] for trace in comparison.traces if trace.values and isfinite(trace.values[0])]
    fall = max(begun, default=least) - least
    return least + REACHED * min(max(1.0, abs(least)), fall)


def _evaluations(cost: float) -> str:
    return count(int(cost), "evaluation")


def _reaching(trace: "Trace", level: float) -> float:
    """Evaluations until a method's best value was at most ``level``; infinite if it never was."""
    pairs = zip(trace.evaluations, trace.values, strict=True)
    return next((cost for cost, value in pairs if value <= level), inf)


def check_count(methods: int) -> None:
    """``UsageError`` for more methods than colours can tell apart."""
    from lanewise.errors import UsageError

    if methods > COLORS:
        message = f"a page can tell {COLORS} methods apart, got {methods}; compare fewer"
        raise UsageError(message)


def _path(trace: "Trace", place: int) -> Path:
    return Path(
        name=trace.method,
        color=place + 1,
        points=trace.points,
        values=trace.values,
        evaluations=trace.evaluations,
        seconds=trace.seconds,
    )


def _row(trace: "Trace", place: int, reached_at: float) -> dict[str, Any]:
    reaching = _reaching(trace, reached_at)
    return {
        "color": place + 1,
        "method": trace.method,
        "words": trace.words if trace.rate is None else f"learning rate {number(trace.rate)}",
        "rate": "" if trace.rate is None else number(trace.rate),
        "value": number(trace.value, 4),
        "there_after": f"{reaching:,.0f}" if reaching < inf else "",
        "evaluations": f"{trace.evaluations[-1]:,}",
        "seconds": number(trace.seconds[-1], 2),
        "distance": number(trace.distance, 2),
        "status": trace.status.value,
        "reached": trace.value <= reached_at,
        "x": _point(trace.x),
    }


def _point(point: "Sequence[float]") -> str:
    shown = ", ".join(number(one, 5) for one in point[:6])
    return f"({shown}{', ...' if len(point) > 6 else ''})"
