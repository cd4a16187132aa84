"""Single target values so far out that a mean, a deviation and a squared error see nothing else."""

import numpy as np

from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.task import Task

FARTHEST_RANGES = 1_000.0
"""Interquartile ranges from the median beyond which a target value is warned of.

A million log-normal values with sigma = 1.5 reach 600; a misplaced decimal point or unit goes beyond this.
"""
DOMINANT_SHARE = 0.5
"""Share of the squared deviations from the median that such values must bear to be warned of."""
EXTREME_DEVIATION = 100.0
"""Deviations per robust deviation above which the median and the robust one scale a target."""
NORMAL_RANGE = 1.3489795003921634
"""Interquartile range of the standard normal distribution."""

_SHOWN = 3


def robust_units(values: np.ndarray, deviation: float) -> tuple[float, float] | None:
    """Median and robust deviation of targets ``values [N]`` whose standard deviation tells of a few rows only.

    None, for all but the most extreme targets, where ``deviation`` is at most 100 times ``(q75 - q25) / 1.349``, or
    where half of the values are equal.

    >>> values = np.append(np.arange(5.0), 1e6)
    >>> robust_units(values[:5], values[:5].std()) is None
    True
    >>> [round(value, 2) for value in robust_units(values, values.std())]
    [2.5, 1.85]
    """
    quarter, middle, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    robust = float(three_quarters - quarter) / NORMAL_RANGE
    return (float(middle), robust) if 0 < robust * EXTREME_DEVIATION < deviation else None


def extreme_rows(y: np.ndarray, task: Task, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` whose targets lie over 1,000 interquartile ranges from the median, the farthest first.

    None unless they bear half of all squares or more, nor for classes, nor where half of the values are equal.

    >>> y = np.append(np.linspace(0.0, 1.0, 20), 5e8)
    >>> extreme_rows(y, Task(target="y", kind="regression", metric="rmse"), np.arange(21))
    array([20])
    """
    if task.is_classification or not len(rows):
        return rows[:0]
    values = y[rows]
    quarter, middle, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    spread = float(three_quarters - quarter)
    away = np.abs(values - middle)
    far = np.flatnonzero(away > FARTHEST_RANGES * spread) if spread > 0 else np.zeros(0, dtype=np.int64)
    if not len(far) or np.square(away[far]).sum() < DOMINANT_SHARE * np.square(away).sum():
        return rows[:0]
    return rows[far[np.argsort(-away[far], kind="stable")]]


def target_tail_findings(y: np.ndarray, task: Task, rows: np.ndarray) -> tuple[Finding, ...]:
    """A warning of target values over 1,000 interquartile ranges from the median that bear half of all squares or more.

    ``y [N]`` is the target of the table and ``rows`` the row numbers that are used. Nothing for classes, and
    nothing where half of the values are equal.
    """
    far = extreme_rows(y, task, rows)
    if not len(far):
        return ()
    middle = float(np.median(y[rows]))
    shown = ", ".join(f"{y[row]:.6g} in row {row + 1:,}" for row in far[:_SHOWN])
    more = f" and {len(far) - _SHOWN:,} more" if len(far) > _SHOWN else ""
    absolute = task.metric in ("mae", "median_ae")
    advice = "correct these rows or leave them out" + ("" if absolute else ", or judge by --metric mae")
    message = (
        f"{task.target!r} has {counted(len(far), 'value')} over {FARTHEST_RANGES:,.0f} interquartile ranges from its "
        f"median of {middle:.6g}: {shown}{more}. Candidates are judged without them; {advice}"
    )
    return (Finding(code="extreme_target", message=message, severity="warning", column=task.target, count=len(far)),)
