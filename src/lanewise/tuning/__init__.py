"""The race for a user's own ``torch.nn.Module``: which optimizer, rate, schedule and batch size."""

from lanewise.tuning.finders.batch_finder import BatchFinding, find_batch
from lanewise.tuning.finders.rate_curve import RateCurve
from lanewise.tuning.finders.rate_finder import RateFinding, find_rate
from lanewise.tuning.inputs.table_rows import TableRows, table_rows
from lanewise.tuning.result import Schedule, TuneResult
from lanewise.tuning.space import near, only
from lanewise.tuning.tune import tune

__all__ = [
    "BatchFinding",
    "RateCurve",
    "RateFinding",
    "Schedule",
    "TableRows",
    "TuneResult",
    "find_batch",
    "find_rate",
    "near",
    "only",
    "table_rows",
    "tune",
]
