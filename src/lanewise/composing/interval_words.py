"""The prediction interval in words, where there is more to say of it than its level."""

from lanewise.deploy.predictor import Interval
from lanewise.formatting.figures import gap


def interval_words(interval: Interval | None) -> str:
    """That the width follows the prediction, from where to where, or that it ends at a floor; else empty.

    >>> interval_words(Interval(level=0.9, half_width=2.0, edges=(5.0,), half_widths=(0.512, 3.14)))
    'The 90% prediction interval follows the prediction: from ±0.51 to ±3.1, as errors are larger for some than others.'
    >>> interval_words(Interval(level=0.9, half_width=2.0, floor=0.0))
    'No target that was seen is below 0, so the 90% prediction interval is not either, unless the prediction itself is.'
    """
    if interval is None:
        return ""
    subject, said = f"The {interval.level:.0%} prediction interval", []
    if interval.follows:
        least, most = (gap("", width) for width in (min(interval.half_widths), max(interval.half_widths)))
        said.append(
            f"{subject} follows the prediction: from ±{least} to ±{most}, as errors are larger for some than others."
        )
        subject = "It"
    if interval.floor is not None:
        seen = f"No target that was seen is below {interval.floor:g}"
        said.append(f"{seen}, so {subject[0].lower()}{subject[1:]} is not either, unless the prediction itself is.")
    return " ".join(said)
