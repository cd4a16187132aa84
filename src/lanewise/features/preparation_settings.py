"""What may be set about how numbers are scaled and completed, and how loud texts are."""

from dataclasses import dataclass

from lanewise.errors import UsageError
from lanewise.features.fold_statistics import Imputation

_FEWEST_KNOTS = 2


@dataclass(frozen=True, kw_only=True)
class PreparationSettings:
    """How numbers are scaled and completed, and how loud texts are.

    ``impute`` takes the place of missing cells. Numbers are clipped to ``limit`` standard deviations on either side,
    heavy-tailed ones to ``tail_limit``; the rank of those goes through ``knots`` knots. With ``robust`` the median and
    the interquartile range take the place of mean and deviation, and numbers bend smoothly towards ``soft_limit``
    instead. A text is a vector of length ``text_gain``.

    Chosen on validation rows, by a linear model and a small network each. Of a heavy-tailed column, the value beside
    its rank against the rank alone or the value alone: linear model Adult .314, .325, .319, spambase .195, .194, .264
    (log loss), concrete .424, .441, .613, California housing .566, .566, .587 (RMSE in standard deviations of the
    target). Limits of 5, 10 and 100 differ on spambase alone (.193, .195, .205), and 5 bends straight lines. Text
    gains of 1, 3 and 4: SMS spam .097, .058, .055, SST-2 .565, .574, .596, Banking77 1.71, .839, .758.
    """

    impute: Imputation = "median"
    knots: int = 129
    limit: float = 100.0
    tail_limit: float = 10.0
    text_gain: float = 3.0
    robust: bool = False
    soft_limit: float = 3.0

    def __post_init__(self) -> None:
        if self.impute not in ("median", "mean"):
            message = f"impute must be median or mean, got {self.impute!r}"
            raise UsageError(message)
        if self.knots < _FEWEST_KNOTS:
            message = f"knots must be 2 or more, got {self.knots}"
            raise UsageError(message)
        for name in ("limit", "tail_limit", "text_gain", "soft_limit"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                message = f"{name} must be a positive number, got {value}"
                raise UsageError(message)
