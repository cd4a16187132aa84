"""What a whole batch is trained and judged by: a loss of what the module returns, or a step of the user's own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from lanewise.errors import LanewiseError, UsageError, first_line
from lanewise.models.batch import Tree, called, form_of, inputs_and_targets, leaves, mapped, targets_of
from lanewise.training.modules.subject import per_row

Step = Callable[[nn.Module, Tree], Tensor]
"""``(model, batch)`` to the mean loss of the batch, or to the loss of each row ``[B]``."""

OutputsLoss = Callable[[Any, Any], Tensor]
"""``(outputs, targets)``, whatever the module returns and the batch has, to a loss as of a :data:`Step`."""

BY_STEP = ", or step=, a function of the model and the batch that returns the loss, and no metric"
"""What can be done where a batch has no targets."""


class Objective(ABC):
    """How a module learns from a batch, and how it is judged on it."""

    @abstractmethod
    def loss(self, module: nn.Module, batch: Tree) -> Tensor:
        """The mean loss of the batch, a scalar, or the loss of every row ``[B]``."""

    @abstractmethod
    def losses(self, module: nn.Module, batch: Tree) -> Tensor:
        """The loss of every row ``[B]``."""

    @abstractmethod
    def scores(self, module: nn.Module, batch: Tree) -> Tensor:
        """What every row is judged by, ``[B]`` or ``[B, K]``: the metric's, or the loss where there is none."""

    @abstractmethod
    def pass_of(self, module: nn.Module, batch: Tree) -> None:
        """Calls the module as for :meth:`scores`, but for all rows at once and no row by itself: to be watched."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Objective":
        """Itself: what the user gave is not copied with every module."""
        del memo
        return self


@final
class LossObjective(Objective):
    """``loss(outputs, targets)``; ``score (outputs, targets)`` judges, to ``[B]`` or ``[B, K]``; None: the loss."""

    def __init__(self, loss: OutputsLoss, score: Callable[[Any, Any], Tensor] | None = None) -> None:
        self._loss = loss
        self._score = score
        self._rows = _RowByRow()

    def loss(self, module: nn.Module, batch: Tree) -> Tensor:
        inputs, targets = inputs_and_targets(batch, otherwise=BY_STEP)
        return self._of(called(module, inputs), targets)

    def losses(self, module: nn.Module, batch: Tree) -> Tensor:
        inputs, targets = inputs_and_targets(batch, otherwise=BY_STEP)
        outputs, rows = called(module, inputs), rows_of(batch)
        values = self._of(outputs, targets)
        if values.dim():
            return per_row(values, rows)
        if all(isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == rows for leaf in tree_leaves(outputs)):
            return self._rows(lambda own: self._of(*own), (outputs, targets), rows)
        return self._rows(lambda own: self.loss(module, own), batch, rows)

    def scores(self, module: nn.Module, batch: Tree) -> Tensor:
        return self.losses(module, batch) if self._score is None else _scored(self._score, module, batch)

    def pass_of(self, module: nn.Module, batch: Tree) -> None:
        called(module, inputs_and_targets(batch, otherwise=BY_STEP)[0])

    def _of(self, outputs: Any, targets: Any) -> Tensor:
        try:
            return self._loss(outputs, targets)
        except Exception as error:
            picks = (
                "" if isinstance(outputs, Tensor) else "; it is given all that the module returns: pick what it needs"
            )
            message = (
                f"the loss failed on outputs {form_of(outputs)} and targets {form_of(targets)}: "
                f"{type(error).__name__}: {first_line(error)}{picks}"
            )
            raise UsageError(message) from error


@final
class StepObjective(Objective):
    """A training step of the user's own; ``score`` judges what the module makes of the inputs, None: the step does.

    Rows are judged without gradients, but for a step that fails so, as one does that asks for those of its inputs.
    """

    def __init__(self, step: Step, score: Callable[[Any, Any], Tensor] | None = None) -> None:
        self._step = step
        self._score = score
        self._rows = _RowByRow()
        self._differentiates = False

    def loss(self, module: nn.Module, batch: Tree) -> Tensor:
        if torch.is_grad_enabled():
            return self._stepped(module, batch)
        if not self._differentiates:
            try:
                return self._stepped(module, batch)
            except UsageError:
                pass
        with torch.enable_grad():
            value = self._stepped(module, batch)
        self._differentiates = True  # only now: else it fails for another reason
        return value.detach() if isinstance(value, Tensor) else value

    def _stepped(self, module: nn.Module, batch: Tree) -> Tensor:
        try:
            return self._step(module, batch)
        except Exception as error:
            message = f"step failed on a batch {form_of(batch)}: {type(error).__name__}: {first_line(error)}"
            raise UsageError(message) from error

    def losses(self, module: nn.Module, batch: Tree) -> Tensor:
        values, rows = self.loss(module, batch), rows_of(batch)
        return per_row(values, rows) if values.dim() else self._rows(lambda own: self.loss(module, own), batch, rows)

    def scores(self, module: nn.Module, batch: Tree) -> Tensor:
        return self.losses(module, batch) if self._score is None else _scored(self._score, module, batch)

    def pass_of(self, module: nn.Module, batch: Tree) -> None:
        if self._score is None:
            self.loss(module, batch)
        else:
            called(module, inputs_and_targets(batch, otherwise=BY_STEP)[0])


def _scored(score: Callable[[Any, Any], Tensor], module: nn.Module, batch: Tree) -> Tensor:
    inputs, targets = inputs_and_targets(batch, otherwise=BY_STEP)
    return score(called(module, inputs), targets)


def scored(score: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
    """The number per row ``[n]`` that a metric of the user's gives; raises ``UsageError`` where it fails."""
    try:
        return per_row(torch.as_tensor(score(outputs, targets)), _rows_in(targets))
    except LanewiseError:
        raise
    except Exception as error:
        message = (
            f"the metric failed on outputs {form_of(outputs)} and targets {form_of(targets)}: "
            f"{type(error).__name__}: {first_line(error)}"
        )
        raise UsageError(message) from error


@final
class _RowByRow:
    """A loss of each row, every row a batch of its own: vectorized, or one after another where that is refused."""

    def __init__(self) -> None:
        self._one_by_one = False

    def __call__(self, loss: Callable[[Tree], Tensor], batch: Tree, rows: int) -> Tensor:
        if any(isinstance(leaf, Tensor) and not (leaf.dim() and len(leaf) == rows) for leaf in tree_leaves(batch)):
            message = (
                f"the rows of a batch {form_of(batch)} cannot be judged one by one, for not all of it has an entry for "
                "each; return one loss per row, as reduction='none' does, or give metric=(function, 'min' or 'max')"
            )
            raise UsageError(message)
        if not self._one_by_one:
            try:
                return vmap(lambda own: loss(tree_map(_as_batch, own)), randomness="same")(batch)
            except Exception:  # whatever vmap refuses; what is wrong otherwise is wrong for a single row as well
                self._one_by_one = True
        return torch.stack([loss(tree_map(_part(row), batch)) for row in range(rows)])


def _as_batch(leaf: Any) -> Any:
    return leaf.unsqueeze(0) if isinstance(leaf, Tensor) else leaf


def _part(row: int) -> Callable[[Any], Any]:
    return lambda leaf: leaf[row : row + 1] if isinstance(leaf, Tensor) else leaf


def rows_of(batch: Tree) -> int:
    """How many rows a batch has, by the first tensor of its targets."""
    return _rows_in(targets_of(batch))


def _rows_in(targets: Tree) -> int:
    for _, leaf in leaves(targets):
        if isinstance(leaf, Tensor) and leaf.dim():
            return len(leaf)
    message = f"a batch must hold tensors with a row each, got {form_of(targets)}"
    raise UsageError(message)


@final
class WholePass(nn.Module):
    """A module together with its objective: a batch to its loss ``[K]`` in training, to scores otherwise.

    So that structured batches and outputs never leave what is vectorized over lanes: only these numbers do.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Tree, *, watched: bool = False) -> Tensor | None:
        if watched:
            return self.objective.pass_of(self.model, batch)
        if not self.training:
            return self.objective.scores(self.model, batch)
        return checked_loss(self.objective.loss(self.model, batch), batch).reshape(-1)


def checked_loss(value: object, batch: Tree) -> Tensor:
    """The loss; raises ``UsageError`` unless it is a scalar or has one loss for each row."""
    if not isinstance(value, Tensor):
        message = f"the loss must be a tensor, a scalar or one loss per row, got {type(value).__name__}"
        raise UsageError(message)
    rows = rows_of(batch) if value.dim() else 1
    if value.dim() and not len(value) == value.numel() == rows:
        message = (
            f"the loss of a batch {form_of(batch)} is a tensor {tuple(value.shape)}; "
            f"it must be a scalar or have one loss for each of the {rows} rows{mean_of_rows(value, rows)}"
        )
        raise UsageError(message)
    return value


def mean_of_rows(value: Tensor, rows: int) -> str:
    """What makes one loss per row of a loss that has several for each; empty where it has not."""
    if len(value) != rows or value.numel() <= rows:
        return ""
    return ": of what it is now take .flatten(1).mean(1), or .mean()"


def floats_as(dtype: torch.dtype, batch: Tree) -> Tree:
    """``batch`` with its floating tensors in the dtype of the module's weights."""
    return mapped(lambda leaf: leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf, batch)
