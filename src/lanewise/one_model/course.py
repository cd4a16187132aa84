"""The settings of a training of one model, checked."""

from typing import Any

import torch
from torch import Tensor, nn

from lanewise.errors import UsageError, suggestion
from lanewise.optim.schedules import SCHEDULES, factors
from lanewise.training.model_training import Course


def course_of(
    rows: int,
    batch_size: int,
    *,
    steps: int | None,
    epochs: float | None,
    accumulate: int,
    schedule: str,
    warmup: float,
    clip_norm: float,
    seed: int,
) -> Course:
    """The course over ``rows`` rows; raises ``UsageError`` for a setting that cannot be used."""
    size = min(whole_number("batch_size", batch_size), rows)
    length = _length(epochs, steps, rows, size)
    return Course(
        steps=length,
        batch_size=size,
        accumulate=whole_number("accumulate", accumulate),
        factors=_factors(schedule, length, warmup),
        clip_norm=_limit(clip_norm),
        seed=seed,
    )


def check_batch(course: Course, ranks: int) -> None:
    """Raise ``UsageError`` unless a batch splits evenly over that many ranks, and each part into its pieces."""
    size, pieces = course.batch_size, course.accumulate
    if size % (ranks * pieces):
        over = f"{ranks} ranks and accumulate={pieces}" if ranks > 1 else f"accumulate={pieces}"
        near = size // (ranks * pieces) * ranks * pieces or ranks * pieces
        message = f"a batch of {size} rows does not split into equal pieces over {over}; set batch_size to {near}"
        raise UsageError(message)


def check_mean(loss: Any, parts: int) -> None:
    """Raise ``UsageError`` for a loss of torch that sums over rows, where a batch is taken in several ``parts``."""
    if parts > 1 and getattr(loss, "reduction", None) == "sum":
        message = (
            f"the loss has reduction='sum', and a batch goes through the model in {parts} parts, of whose losses the "
            "mean is taken; give it reduction='mean', or 'none' for a loss per row"
        )
        raise UsageError(message)


def built(model: Any, seed: int) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    if not callable(model):
        message = f"model must be a torch.nn.Module or a function that builds one, got {type(model).__name__}"
        raise UsageError(message)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = model()
    if not isinstance(found, nn.Module):
        message = f"the function that builds the model returned {type(found).__name__}; it must return a Module"
        raise UsageError(message)
    return found


def _length(epochs: float | None, steps: int | None, rows: int, size: int) -> int:
    if (epochs is None) == (steps is None):
        message = "give epochs or steps, one of them: how long to train"
        raise UsageError(message)
    if steps is not None:
        return whole_number("steps", steps)
    assert epochs is not None
    if not 0 < epochs < float("inf"):
        message = f"epochs must be a positive number, got {epochs}"
        raise UsageError(message)
    return max(1, -int(-epochs * rows // size))


def whole_number(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        message = f"{name} must be a whole number from 1, got {value!r}"
        raise UsageError(message)
    return value


def _limit(clip_norm: float) -> float:
    if not 0 <= clip_norm < float("inf"):
        message = f"clip_norm must be 0 (no limit) or a positive number, got {clip_norm}"
        raise UsageError(message)
    return float(clip_norm)


def _factors(schedule: str, length: int, warmup: float) -> Tensor:
    offered = [name for name in SCHEDULES if name != "plateau"]
    if schedule not in offered:
        message = f"there is no schedule {schedule!r}; {suggestion(schedule, offered)}"
        raise UsageError(message)
    if not 0 <= warmup < 1:
        message = f"warmup is a share of the steps, from 0 to below 1, got {warmup}"
        raise UsageError(message)
    return factors(schedule, torch.arange(length), length, warmup)
