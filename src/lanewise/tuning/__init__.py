"""The race for a user's own ``torch.nn.Module``: which optimizer, rate, schedule and batch size."""

from lanewise.tuning.result import Schedule, TuneResult
from lanewise.tuning.space import near, only
from lanewise.tuning.tune import tune

__all__ = ["Schedule", "TuneResult", "near", "only", "tune"]
