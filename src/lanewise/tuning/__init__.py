"""The race for a user's own ``torch.nn.Module``: which optimizer, rate, schedule and batch size."""

from lanewise.tuning.batch_finder import BatchFinding, find_batch
from lanewise.tuning.rate_curve import RateCurve
from lanewise.tuning.rate_finder import RateFinding, find_rate
from lanewise.tuning.result import Schedule, TuneResult
from lanewise.tuning.space import near, only
from lanewise.tuning.tune import tune

__all__ = [
    "BatchFinding",
    "RateCurve",
    "RateFinding",
    "Schedule",
    "TuneResult",
    "find_batch",
    "find_rate",
    "near",
    "only",
    "tune",
]
