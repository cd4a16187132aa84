"""What follows a race within a budget in seconds: choosing, scoring, explaining and the report."""

FINISHING_SECONDS, FINISHING_ROWS = (0.5, 2.0), 3000
"""What choosing, scoring and the report take: seconds within bounds, one more for so many training rows."""

UNFORESEEN_SHARE = 0.08
"""What is kept of a budget for what a plan cannot foresee."""

EXPLAINING_SHARE, EXPLAINING_SECONDS = 0.06, (0.5, 20.0)
"""What the importance of the columns may take: a share of the budget, within bounds."""


def explaining_seconds(budget: float) -> float:
    """Seconds of a budget that the importance of the columns may take.

    >>> explaining_seconds(5.0), explaining_seconds(50.0), explaining_seconds(3600.0)
    (0.5, 3.0, 20.0)
    """
    fewest, most = EXPLAINING_SECONDS
    return min(max(EXPLAINING_SHARE * budget, fewest), most)


def reserved_seconds(budget: float, rows: int, *, pace: float = 1.0, preparing: float = 0.0) -> float:
    """Seconds of a budget that measuring, race and refit leave over, at most half of it; ``rows`` train.

    ``pace`` is that of :func:`lanewise.training.planning.pace.pace_of`, ``preparing`` what the rows of the refit take
    to prepare.

    >>> reserved_seconds(2.0, 300), reserved_seconds(50.0, 300), reserved_seconds(50.0, 30_000)
    (1.0, 7.6, 9.0)
    >>> round(reserved_seconds(50.0, 300, pace=0.5, preparing=1.0), 3)
    9.2
    """
    fewest, most = FINISHING_SECONDS
    finishing = min(fewest + rows / FINISHING_ROWS, most) / pace + preparing
    return min(explaining_seconds(budget) + finishing + UNFORESEEN_SHARE * budget, budget / 2)
