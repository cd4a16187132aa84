"""``lanewise.train``: one model, trained by one optimizer, on one device or split over many."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.distributed import checkpoints
from lanewise.distributed.portion import Portion, Whole
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import Interrupted, UsageError, suggestion
from lanewise.models.batch import Tree, mapped
from lanewise.one_model.optimizers import Given, optimizer_over
from lanewise.one_model.result import TrainResult
from lanewise.optim.drop_in import EvaluatingDropIn
from lanewise.optim.schedules import SCHEDULES, factors
from lanewise.training.device import device_of
from lanewise.training.model_training import Course, ModelTraining
from lanewise.training.objective import floats_as
from lanewise.training.stopping import Stop, stop_on_signals
from lanewise.tuning.reading import source_of
from lanewise.tuning.sources import Source, at_home

USUAL_BATCH = 32


def train(
    model: nn.Module | Callable[[], nn.Module],
    data: Any,
    loss: Callable[[Any, Tensor], Tensor],
    *,
    optimizer: Given = "adamw",
    lr: float | None = None,
    schedule: str = "linear",
    warmup: float = 0.0,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    accumulate: int = 1,
    clip_norm: float = 0.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> TrainResult:
    """Train one model with one optimizer: ``theta <- theta - step(gradient of the mean loss of a batch)``.

    Args:
        model: the module, trained in place, or a function that builds it, called under ``torch.manual_seed(seed)``.
        data: ``(X [N, ...], y [N, ...])``, tensors or arrays; a torch ``Dataset``, a ``DataLoader``, or an iterable of
            batches. Rows are taken from it, in an order of their own: a new permutation each epoch, keyed by ``seed``.
            A batch of X is what the model is called with, by name where X is a dict, by place where it is a tuple.
        loss: ``(outputs, targets)`` to the mean over rows, or to one loss per row ``[B, ...]``.
        optimizer: the name of a rule of :mod:`lanewise.optim`, such as ``"adamw"``; a class, or a function of the
            parameters, of those or of ``torch.optim``; or an optimizer over ``model.parameters()`` that was made.
        lr: the peak rate; None: that of the optimizer.
        schedule: a name of :data:`lanewise.optim.schedules.SCHEDULES`; ``"plateau"`` is not offered.
        warmup: share of the steps in which the rate climbs to its peak.
        epochs: passes over the rows, of which the steps are made: ``ceil(epochs N / batch_size)``.
        steps: how many batches to train, instead of ``epochs``.
        batch_size: rows of a step; None: that of the loader, else 32.
        accumulate: in how many pieces the rows of a step go through the model, their gradients added up.
        clip_norm: limit on the norm of the gradient of all weights; 0: none.
        seed: of the order of rows, of what a step draws (dropout), and of a model that is built.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"`` is the processor.
        checkpoint: a folder for checkpoints; where it has one, training goes on from the newest, to the same bits.
            Written when stopped by Ctrl-C or SIGTERM too.
        checkpoint_every: steps between checkpoints; None: one at the end, or when stopped.

    Returns:
        the trained model and its losses, see :class:`TrainResult`.

    Raises:
        UsageError: an argument cannot be used.
        DataError: the data cannot be used.
        TrainingError: the loss is not finite any more.
        Interrupted: Ctrl-C or SIGTERM; with ``checkpoint`` the same call goes on.

    >>> X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    >>> found = train(lambda: nn.Linear(3, 1), (X, y), nn.MSELoss(), optimizer="sgd", lr=0.2, epochs=20)
    >>> found.steps, found.losses[-1] < 1e-3
    (40, True)

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", for the default optimizer.
    """
    started = time.monotonic()
    where = device_of(device)
    source = source_of("data", at_home(data, where))
    size = min(_whole("batch_size", batch_size or source.batch_size or USUAL_BATCH), source.rows)
    length = _length(epochs, steps, source.rows, size)
    _whole("accumulate", accumulate)
    if size % accumulate:
        message = f"a batch of {size} rows does not split into accumulate={accumulate} equal pieces; change one of them"
        raise UsageError(message)
    course = Course(
        steps=length,
        batch_size=size,
        accumulate=accumulate,
        factors=_factors(schedule, length, warmup),
        clip_norm=_limit(clip_norm),
        seed=seed,
    )
    module = _built(model, seed).to(where)
    names = {own: name for name, own in module.named_parameters()}
    portion: Portion = Whole(module)
    made = optimizer_over(portion, optimizer, lr, names)
    training = ModelTraining(
        portion, made, course, read=_reader(source, module, where), rows=source.rows, loss=_mean_of(loss)
    )
    told = {"rows": source.rows, "batch_size": size, "steps": length, "seed": seed, "schedule": schedule}
    told |= {"warmup": warmup, "clip_norm": clip_norm, "optimizer": type(made).__name__}
    keeping = _Keeping(training, None if checkpoint is None else Path(checkpoint), checkpoint_every, told, Lone())
    with stop_on_signals() as stop:
        _run(training, keeping, stop)
    if isinstance(made, EvaluatingDropIn):
        made.eval()
    module.eval()
    return TrainResult(
        model=module,
        losses=tuple(training.losses),
        seconds=time.monotonic() - started,
        checkpoint=keeping.last,
        gather=lambda: {name: own.detach().cpu().clone() for name, own in module.state_dict().items()},
    )


def _run(training: ModelTraining, keeping: "_Keeping", stop: Stop) -> None:
    keeping.resume()
    with stop.polled():
        try:
            training.advance(training.course.steps, stop=stop, between=keeping.between)
        except Interrupted:
            keeping.save()
            raise
        keeping.save()


class _Keeping:
    """When checkpoints are written, and where training goes on."""

    def __init__(
        self, training: ModelTraining, folder: Path | None, every: int | None, told: dict[str, Any], ranks: Ranks
    ) -> None:
        if every is not None:
            _whole("checkpoint_every", every)
        self.last = None
        self._training, self._folder, self._every, self._ranks = training, folder, every, ranks
        self._told, self._saved = told, 0

    def resume(self) -> None:
        """Go on from the newest checkpoint; raises ``UsageError`` where it is of another training."""
        self.last = None if self._folder is None else checkpoints.newest(self._folder)
        if self.last is None:
            return
        rest = checkpoints.rest_of(self.last)
        for name, own in self._told.items():
            if rest["told"].get(name) != own:
                message = (
                    f"the checkpoint {self.last} is of a training with {name} {rest['told'].get(name)}, this one has "
                    f"{own}; give the same, or another folder"
                )
                raise UsageError(message)
        kinds = checkpoints.kinds(self.last)
        blank = self._training.blank(kinds)
        checkpoints.read_into(self.last, blank)
        self._training.restore(blank, rest)
        self._saved = self._training.taken

    def between(self) -> None:
        taken = self._training.taken
        if self._every and taken % self._every == 0 and taken > self._saved:
            self.save()

    def save(self) -> None:
        if self._folder is None or self._training.taken == self._saved:
            return
        tensors, rest = self._training.state()
        self.last = checkpoints.save(
            self._folder, self._training.taken, tensors, {**rest, "told": self._told}, self._ranks
        )
        self._saved = self._training.taken


def _built(model: Any, seed: int) -> nn.Module:
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
        return _whole("steps", steps)
    assert epochs is not None
    if not 0 < epochs < float("inf"):
        message = f"epochs must be a positive number, got {epochs}"
        raise UsageError(message)
    return max(1, -int(-epochs * rows // size))


def _whole(name: str, value: int) -> int:
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


def _reader(source: Source, module: nn.Module, device: torch.device) -> Callable[[Tensor, int], Tree]:
    """Batches of row numbers as the model takes them: floats in its dtype, on its device."""
    dtype = next((own.dtype for own in module.parameters() if own.is_floating_point()), torch.float32)
    if source.table is not None and device.type == "cpu":
        source = Source(name=source.name, rows=source.rows, table=floats_as(dtype, source.table))

    def read(rows: Tensor, key: int) -> Tree:
        batch = floats_as(dtype, source.batch(rows, key))
        return batch if device.type == "cpu" else mapped(lambda leaf: leaf.to(device), batch)

    return read


def _mean_of(loss: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """The loss as a scalar; raises ``UsageError`` where it is no tensor."""
    if not callable(loss):
        message = f"loss must be a function of outputs and targets, got {type(loss).__name__}"
        raise UsageError(message)

    def mean(outputs: Any, targets: Any) -> Tensor:
        value = loss(outputs, targets)
        if not isinstance(value, Tensor):
            message = f"the loss must return a tensor, a scalar or one loss per row, got {type(value).__name__}"
            raise UsageError(message)
        return value.mean() if value.dim() else value

    return mean
