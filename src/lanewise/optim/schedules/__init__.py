"""Learning-rate schedules: pure functions of the step, the settings of candidates, and torch schedulers.

:mod:`~lanewise.optim.schedules.curves` has the formulas; ``NAMESchedule(optimizer, ...)`` are
``torch.optim.lr_scheduler.LRScheduler``.
"""

from lanewise.optim.schedules.curves import joined, warmed
from lanewise.optim.schedules.plateau import LanePlateau, plateau
from lanewise.optim.schedules.settings import SCHEDULES, UNSETTLED, factors, lane_plateau, schedule_of
from lanewise.optim.schedules.torch_schedulers import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    InverseSquareRootSchedule,
    JoinedSchedule,
    LinearSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    PolynomialSchedule,
    Schedule,
    StepSchedule,
    WarmRestartsSchedule,
    WarmupStableDecaySchedule,
)

__all__ = [
    "SCHEDULES",
    "UNSETTLED",
    "ConstantSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "InverseSquareRootSchedule",
    "JoinedSchedule",
    "LanePlateau",
    "LinearSchedule",
    "OneCycleSchedule",
    "PlateauSchedule",
    "PolynomialSchedule",
    "Schedule",
    "StepSchedule",
    "WarmRestartsSchedule",
    "WarmupStableDecaySchedule",
    "factors",
    "joined",
    "lane_plateau",
    "plateau",
    "schedule_of",
    "warmed",
]
