"""What ``lanewise minimize`` says: a solution in words for a terminal, and as a JSON document."""

import math
from typing import TYPE_CHECKING, Any

from lanewise.formatting.plain_text import clean
from lanewise.reporting.words import count
from lanewise.solvers.shown import digits, point
from lanewise.solvers.solution import named

if TYPE_CHECKING:
    from lanewise.solvers.solution import Solution

OPTIMA = 8
"""Distinct optima beyond these are counted, not listed."""


def summary(solution: "Solution", *, seconds: float) -> str:
    """The solution in a few lines.

    >>> from lanewise.solvers.minimizing import minimize
    >>> print(summary(minimize(lambda x: (x - 3) ** 2, 0.0), seconds=0.02))
    Lowest value 0 at x = 3
    <BLANKLINE>
      status    converged: the gradient is within the tolerance of 1e-08
      gradient  0 in its largest entry
      method    bfgs: a smooth function of 1 variable, few enough for a dense matrix; derivatives by autograd
      cost      8 evaluations, 3 gradients, 0.02 s
    """
    best = "lowest" if solution.direction == "minimized" else "highest"
    opening = f"{best.capitalize()} value" if solution.success else f"No optimum found. The {best} value was"
    lines = [f"{opening} {digits(solution.value)} at x = {point(solution.x)}", ""]
    rows = [("status", f"{named(solution.status)}: {solution.status_words}")]
    if not math.isnan(solution.gradient_norm):
        rows.append(("gradient", f"{solution.gradient_norm:.2g} in its largest entry"))
    rows.append(("method", f"{solution.method}: {solution.reason}"))
    counts = solution.counts
    cost = [count(counts.evaluations, "evaluation")]
    cost += [count(counts.gradients, "gradient")] if counts.gradients else []
    cost += [count(counts.hessians, "Hessian")] if counts.hessians else []
    rows.append(("cost", ", ".join([*cost, f"{seconds:.2g} s"])))
    starts = sum(solution.statuses.values())
    if starts > 1:
        ended = [f"{number:,} {named(one)}" for one, number in solution.statuses.most_common()]
        rows.append(("starts", f"{starts:,}: {', '.join(ended)}"))
    lines += [f"  {name:<8}  {clean(words)}" for name, words in rows]
    if starts > 1 and solution.optima:
        lines += ["", f"{count(len(solution.optima), 'distinct optimum', 'distinct optima')}:"]
        for one in solution.optima[:OPTIMA]:
            lines.append(f"  {digits(one.value):>14}  from {count(one.starts, 'start')}, x = {point(one.x)}")
        if len(solution.optima) > OPTIMA:
            lines.append(f"  and {len(solution.optima) - OPTIMA:,} more")
    return "\n".join(lines)


def document(solution: "Solution", *, seconds: float) -> dict[str, Any]:
    """The solution as plain data; a number that is not finite is None."""
    counts = solution.counts
    return {
        "schema_version": 1,
        "direction": solution.direction,
        "success": solution.success,
        "status": solution.status.name.lower(),
        "status_words": solution.status_words,
        "value": _plain(solution.value),
        "x": _plain(solution.x),
        "gradient_norm": _plain(solution.gradient_norm),
        "method": solution.method,
        "reason": solution.reason,
        "evaluations": counts.evaluations,
        "gradients": counts.gradients,
        "hessians": counts.hessians,
        "iterations": counts.iterations,
        "seconds": seconds,
        "starts": {one.name.lower(): number for one, number in solution.statuses.items()},
        "optima": [{"x": _plain(one.x), "value": _plain(one.value), "starts": one.starts} for one in solution.optima],
    }


def _numbers(x: Any) -> list[float]:
    """A number, an array or a tensor as a list."""
    plain = x.tolist() if hasattr(x, "tolist") else x
    return list(plain) if isinstance(plain, list) else [plain]


def _plain(value: Any) -> Any:
    numbers = [one if math.isfinite(one) else None for one in _numbers(value)]
    return numbers if hasattr(value, "tolist") and getattr(value, "ndim", 1) else numbers[0]
