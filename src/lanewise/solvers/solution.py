"""The one result type of all solvers."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from lanewise.data.wording import counted
from lanewise.solvers.outcome import SEARCHED_WELL, History, at_optimum
from lanewise.solvers.shown import digits, point
from lanewise.solvers.solution_plot import Plot, draw_history
from lanewise.solvers.solver import Status

SHOWN = 5  # optima beyond these are counted, not listed
LONGEST = 300  # characters of a point that are shown
INDENT = 12
UPWARDS = {
    "falls": "rises",
    "fell": "rose",
    "lower": "higher",
    "lowered": "raised",
    "lowest": "highest",
    "decrease": "increase",
}
"""Words of a status that are turned around where a function was maximized."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """A local optimum: ``x`` in the form of ``x0``, its value, and how many starts reached it."""

    x: Any
    value: float
    starts: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a run asked of the functions, over all starts: points evaluated, gradients, Hessians, iterations."""

    evaluations: int
    gradients: int
    hessians: int
    iterations: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Solution:
    """What :func:`lanewise.minimize` found.

    ``x`` has the form of ``x0`` and ``value`` is the function there. ``gradient_norm`` is the largest
    entry of the gradient (of the Lagrangian under constraints; projected where bounds hold), nan where
    no gradient was asked for, and at a kink that of the shortest average of the gradients close by.
    ``violation`` is the largest violation of a constraint. ``multipliers``
    has one array per constraint, in the order given, or None: the gradient of
    ``f + sum l'g - sum m'h`` is zero, ``f`` being what is minimized (minus the function if it was
    maximized). ``statuses`` counts why each start ended; ``optima`` lists the distinct local optima,
    the best first. ``method`` was used, and ``reason`` says why. ``tolerance`` is that on the gradient; ``cosine`` is
    the largest between the residuals and a column of their Jacobian, nan where ``levenberg-marquardt`` did not end.
    """

    x: Any
    value: float
    status: Status
    gradient_norm: float
    violation: float
    multipliers: list[Any] | None
    counts: Counts
    history: History
    optima: list[Optimum]
    statuses: Counter[Status]
    method: str
    reason: str
    tolerance: float
    cosine: float = math.nan
    direction: Literal["minimized", "maximized"] = "minimized"

    @property
    def success(self) -> bool:
        """Whether the best start ended as it should: at a local optimum, or a search without derivatives at its end."""
        return self.status in SEARCHED_WELL or at_optimum(self.status, self.gradient_norm, self.value)

    @property
    def status_words(self) -> str:
        """The sentence of the status with its figures, of a function that was maximized the other way round."""
        words = self.status.value
        if self.status is Status.CONVERGED:
            words += f" of {self.tolerance:.3g}"
        if self.status is Status.RIGHT_ANGLE:
            words += f" (cosine {self.cosine:.1e}; the gradient is above the tolerance of {self.tolerance:.3g})"
        if self.status is Status.CONVERGED and not self.counts.iterations and self.gradient_norm > 0:
            words += " at the start already; if that is no optimum, lower the tolerance, or scale the function up"
        if self.direction == "minimized":
            return words
        return re.sub(rf"\b({'|'.join(UPWARDS)})\b", lambda found: UPWARDS[found[0]], words)

    @property
    def evaluations(self) -> int:
        """Points at which the function was evaluated, over all starts."""
        return self.counts.evaluations

    def __repr__(self) -> str:
        lines = [f"{name + ':':{INDENT}}" + text.replace("\n", "\n" + " " * INDENT) for name, text in self._lines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left;white-space:pre-wrap">'
            f"{escape(text)}</td></tr>"
            for name, text in self._lines()
        )
        return f"<table>{rows}</table>{self.plot()._repr_html_()}"

    def plot(self) -> Plot:
        """Best value against evaluations as inline SVG; a notebook shows it, ``str`` gives the text."""
        return draw_history(self.history, direction=self.direction)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            (self.direction, digits(self.value)),
            ("x", _short(self.x)),
            ("status", f"{named(self.status)}: {self.status_words}"),
            ("method", f"{self.method}: {self.reason}"),
            ("cost", _cost(self.counts)),
        ]
        if self.gradient_norm == self.gradient_norm:  # not nan
            lines.insert(3, ("gradient", f"{self.gradient_norm:.2e} in its largest entry"))
        if self.multipliers is not None or self.violation > 0:
            lines.insert(3, ("violation", f"{self.violation:.2e}"))
        starts = sum(self.statuses.values())
        if starts > 1:
            words = ", ".join(f"{count:,} {_ended(status)}" for status, count in self.statuses.most_common())
            lines.append(("starts", f"{starts:,}: {words}"))
            found = [
                f"{digits(one.value)} from {counted(one.starts, 'start')}, x = {_short(one.x)}"
                for one in self.optima[:SHOWN]
            ]
            found += [f"and {len(self.optima) - SHOWN:,} more"] if len(self.optima) > SHOWN else []
            lines.append(("optima", "\n".join(found) or "none"))
        return lines


def named(status: Status) -> str:
    """A status by its name.

    >>> named(Status.NOT_FINITE)
    'not finite'
    """
    return status.name.lower().replace("_", " ")


def _cost(counts: Counts) -> str:
    words = [counted(counts.evaluations, "evaluation")]
    words += [counted(counts.gradients, "gradient")] if counts.gradients else []
    words += [counted(counts.hessians, "Hessian")] if counts.hessians else []
    return ", ".join(words)


def _ended(status: Status) -> str:
    """How a start ended, behind how many did.

    >>> _ended(Status.EVALUATIONS), _ended(Status.NOT_FINITE)
    ('out of evaluations', 'not finite')
    """
    return f"out of {named(status)}" if status in (Status.EVALUATIONS, Status.ITERATIONS) else named(status)


def _short(x: Any) -> str:
    text = point(x)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
