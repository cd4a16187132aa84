"""What one rank holds of one model, and how it takes part in a step. The contract is documented here only."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

Pieces = Sequence[tuple[Any, Any]]
"""Inputs and targets of the pieces of this rank's rows, of one size, whose gradients are added up."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """How a step goes through a model: ``call(module, inputs)`` gives outputs, ``loss(outputs, targets)`` the mean over
    rows, a scalar, and ``back(loss)`` its gradients."""

    call: Callable[[nn.Module, Any], Any]
    loss: Callable[[Any, Any], Tensor]
    back: Callable[[Tensor], None]


class Portion(ABC):
    """The part of one model that a rank holds; the ranks of a job call every method in the same order.

    ``leaves`` are what the optimizer works on, named as in the user's model: ordinary tensors that lie where the
    parameters do, of a split one the own part alone. ``share`` is ``(i, n)``: of each batch this rank reads part i of
    n. ``splits``: a leaf may be a part of its weight; ``complete``: this rank has a leaf of every weight. ``stage``
    counts along a pipeline: what is drawn in one stage is not drawn again in another. ``private``: how the names of
    this rank's state begin in a checkpoint, where every rank has a state of its own; else empty.
    """

    module: nn.Module
    leaves: Mapping[str, nn.Parameter]
    share: tuple[int, int] = (0, 1)
    splits: bool = False
    complete: bool = True
    stage: int = 0
    private: str = ""

    @abstractmethod
    def gradients(self, pieces: Pieces, way: Pass) -> Tensor:
        """Put the gradients of the mean loss over all ranks' rows into the leaves; returns the loss of the own rows."""

    @abstractmethod
    def norm(self) -> Tensor:
        """The norm of the gradients of all weights together, alike on all ranks."""

    @abstractmethod
    def mean(self, losses: Tensor) -> Tensor:
        """The mean over all ranks' rows of ``losses [T]``, alike on all ranks."""

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """What is remembered from step to step beside the leaves, alike on all ranks; a checkpoint is read into it."""
        return {}

    def after(self, taken: int, *, last: bool) -> bool:
        """What ranks have to do with each other after so many steps; whether now is a time to ask for :meth:`mean`."""
        del taken, last
        return True

    def spread(self, name: str, part: Tensor) -> Tensor:
        """``part``, which lies as the leaf ``name`` does, as the tensor over ranks that it is a part of."""
        del name
        return part

    def whole(self, name: str, function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        """The own part of ``function`` of the whole tensor that ``part`` is a part of, which lies as the leaf ``name``.

        Ranks that have other parts of it call this together.
        """
        del name
        return function(part)

    def writes(self, name: str) -> bool:
        """Whether this rank is the one that saves its part of the leaf or buffer ``name``."""
        del name
        return True

    def gathered(self) -> dict[str, Tensor]:
        """All weights and buffers, whole, as copies on the CPU, by the names of the user's model."""
        return {name: own.detach().cpu().clone() for name, own in self.module.state_dict().items()}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """What training changes beside the weights, such as running statistics; named as in the user's model."""
        return dict(self.module.named_buffers())


@final
class Whole(Portion):
    """A model of one process, without any wrapper."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.leaves = {name: own for name, own in module.named_parameters() if own.requires_grad}

    def gradients(self, pieces: Pieces, way: Pass) -> Tensor:
        return added_up(self.module, pieces, way)

    def norm(self) -> Tensor:
        return torch.nn.utils.get_total_norm([own.grad for own in self.leaves.values() if own.grad is not None])

    def mean(self, losses: Tensor) -> Tensor:
        return losses


def added_up(module: nn.Module, pieces: Pieces, way: Pass, *, before: Callable[[bool], None] | None = None) -> Tensor:
    """The mean loss of ``pieces``, whose gradients are added up; ``before(last)`` is called ahead of each."""
    losses = []
    for place, (inputs, targets) in enumerate(pieces, 1):
        if before is not None:
            before(place == len(pieces))
        loss = way.loss(way.call(module, inputs), targets)
        way.back(loss if len(pieces) == 1 else loss / len(pieces))
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()
