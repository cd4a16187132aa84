"""One model in training: which rows each step shows it, its schedule, and all that a checkpoint has to hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from lanewise.distributed.portion import Portion
from lanewise.errors import TrainingError
from lanewise.lanes.draws import RowStream, keyed_seed
from lanewise.models.batch import Tree, inputs_and_targets
from lanewise.models.keyed_draws import own_generator
from lanewise.training.loop import each_step
from lanewise.training.step import step_of_model
from lanewise.training.team import never, nothing

CHECK_EVERY = 50
"""Steps after which the losses are looked at, which on a GPU has to wait for them."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How one model is trained: ``steps`` batches of ``batch_size`` rows over all ranks, each rank's part in
    ``accumulate`` pieces; ``factors [T]`` of the rate; ``clip_norm`` 0: the gradient is not clipped."""

    steps: int
    batch_size: int
    accumulate: int
    factors: Tensor
    clip_norm: float
    seed: int


@final
class ModelTraining:
    """Trains what ``portion`` holds; ``read(rows [B], key)`` makes a batch, ``rows`` is how many there are.

    The rows of step t are the same whatever the mesh: those from ``t batch_size`` on of one endless stream, in which
    every epoch is a permutation of all rows, and each rank reads its share of them. What a step draws (dropout) depends
    on seed, step and share.
    """

    def __init__(
        self,
        portion: Portion,
        optimizer: Optimizer,
        course: Course,
        *,
        read: Callable[[Tensor, int], Tree],
        rows: int,
        loss: Callable[[Any, Any], Tensor],
    ) -> None:
        self.portion, self.optimizer, self.course = portion, optimizer, course
        self.taken = 0
        self._read, self._loss = read, loss
        self._stream = RowStream(course.seed, torch.arange(rows), rows)
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._factors = course.factors.tolist()
        self._known: list[float] = []
        self._fresh: list[Tensor] = []

    def advance(self, until: int, *, stop: Callable[[], bool] = never, between: Callable[[], None] = nothing) -> None:
        """Train up to step ``until``. Raises ``TrainingError`` where the loss is not finite any more."""
        self.portion.module.train()
        for at in each_step(self.taken, until, stop=stop, between=between):
            self._fresh.append(self._step(at))
            self.taken = at + 1
            met = self.portion.after(self.taken, last=self.taken == self.course.steps)
            if (met and len(self._fresh) >= CHECK_EVERY) or self.taken == until:
                self._look()

    def _step(self, at: int) -> Tensor:
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._factors[at]
        course, (place, parts) = self.course, self.portion.share
        size = course.batch_size // parts
        shown = self._stream.take(at * course.batch_size + place * size, size)
        key = keyed_seed(course.seed, "dropout", "module", at, *([place] if place else []))
        pieces = [
            inputs_and_targets(self._read(rows, keyed_seed(key, "read", piece) if piece else key))
            for piece, rows in enumerate(shown.split(size // course.accumulate))
        ]
        with own_generator(keyed_seed(key, "stage", self.portion.stage) if self.portion.stage else key):
            return step_of_model(self.portion, self.optimizer, pieces, loss=self._loss, clip_norm=course.clip_norm)

    def _look(self) -> None:
        """Take in the losses of the last steps."""
        if not self._fresh:
            return
        found = self.portion.mean(torch.stack(self._fresh).double()).tolist()
        self._fresh = []
        self._known += found
        for place, value in enumerate(found):
            if value - value != 0:
                message = (
                    f"the loss was {value} at step {self.taken - len(found) + place + 1}; "
                    "lower lr, give warmup=0.05, or clip the gradient with clip_norm=1"
                )
                raise TrainingError(message)

    @property
    def losses(self) -> list[float]:
        """The mean loss of every step before its update, over the rows of all ranks."""
        self._look()
        return self._known

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, each as it is spread over ranks, and what JSON holds: all that :meth:`restore` needs."""
        losses = torch.tensor(self.losses, dtype=torch.float64)
        tensors = self._lasting()
        for name, leaf in self.portion.leaves.items():
            for slot, value in self.optimizer.state.get(leaf, {}).items():
                if isinstance(value, Tensor) and value.numel():
                    whole = self.portion.spread(name, value) if value.shape == leaf.shape else value
                    tensors[f"optimizer/{name}/{slot}"] = whole
                elif isinstance(value, int | float):
                    tensors[f"number/{name}/{slot}"] = torch.tensor(value)
        numbers = [group.get("numbers") for group in self.optimizer.param_groups]
        return tensors | {"losses": losses}, {"taken": self.taken, "numbers": numbers}

    def blank(self, kinds: Mapping[str, tuple[torch.Size, torch.dtype]]) -> dict[str, Tensor]:
        """What a checkpoint is read into; ``kinds`` are shape and dtype of all it holds, those of other ranks too."""
        portion, known = self.portion, self._lasting()
        found = {name: tensor for name, tensor in known.items() if name in kinds}
        for key, (shape, dtype) in kinds.items():
            kind, _, rest = key.partition("/")
            name, _, slot = rest.rpartition("/")
            if kind == "losses" or (kind == "number" and name in portion.leaves):
                found[key] = torch.zeros(shape, dtype=dtype)
            elif kind == "optimizer" and name in portion.leaves:
                leaf = portion.leaves[name]
                like = known[f"model/{name}"]
                if shape == like.shape:
                    part = torch.empty_like(leaf.data, dtype=dtype)
                    self.optimizer.state[leaf][slot] = part
                    found[key] = portion.spread(name, part)
                else:
                    found[key] = torch.empty(shape, dtype=dtype, device=leaf.device if shape else None)
        return found

    def _lasting(self) -> dict[str, Tensor]:
        """What there is from the first step to the last, where it lies."""
        portion = self.portion
        found = {f"model/{name}": portion.spread(name, leaf.data) for name, leaf in portion.leaves.items()}
        found |= {f"model/{name}": own for name, own in portion.buffers.items()}
        return found | {f"outer/{name}": own for name, own in portion.kept.items()}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what was read into :meth:`blank`: the weights and the state that lie as they do are there."""
        for key, value in tensors.items():
            kind, _, place = key.partition("/")
            name, _, slot = place.rpartition("/")
            if kind == "number":
                self.optimizer.state[self.portion.leaves[name]][slot] = value.item()
            elif kind == "optimizer":
                self.optimizer.state[self.portion.leaves[name]].setdefault(slot, value)
        for group, numbers in zip(self.optimizer.param_groups, rest["numbers"], strict=True):
            if numbers is not None:
                group["numbers"] = dict(numbers)
        self._known, self.taken = tensors["losses"].tolist(), rest["taken"]
