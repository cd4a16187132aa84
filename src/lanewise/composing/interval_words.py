"""The prediction interval in words, where there is more to say of it than its level."""

from lanewise.deploy.predictor import Interval
from lanewise.figures import gap


def interval_words(interval: Interval | None) -> str:
    """That the width follows the prediction, and from where to where; empty where all rows have one width.

    >>> interval_words(Interval(level=0.9, half_width=2.0, edges=(5.0,), half_widths=(0.512, 3.14)))
    'The 90% prediction interval follows the prediction: from ±0.51 to ±3.1, as errors are larger for some than others.'
    """
    if interval is None or not interval.follows:
        return ""
    least, most = (gap("", width) for width in (min(interval.half_widths), max(interval.half_widths)))
    return (
        f"The {interval.level:.0%} prediction interval follows the prediction: from ±{least} to ±{most}, "
        "as errors are larger for some than others."
    )
