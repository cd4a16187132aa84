"""The rule contract: how a gradient becomes a step. Documented here and nowhere else.

A rule is arithmetic over *leaves* ``[rows, ...]``: each row is an optimizer of its own, with its own
hyper-parameters and its own step count, and no row ever looks at another. The same arithmetic is
executed over the lane buffer (one leaf ``[R, P]``) and over a list of ordinary tensors (one row each).

To add a rule: subclass :class:`Rule` in a file of its own, list its hyper-parameters, and run the
conformance table of ``lanewise.testing`` over it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lanewise.lanes.hyper import Hyper

Leaves = Sequence[Tensor]
State = Mapping[str, Leaves]


class Rule(ABC):
    """One optimization rule: its hyper-parameters, its state, its update.

    ``slots`` names the state tensors, each of the shape of its leaf and zero at first.
    ``decoupled_decay`` says that ``weight_decay`` shrinks the weights directly, by ``lr * weight_decay``
    (Loshchilov & Hutter 2019, with torch's convention of multiplying by lr), before the update.
    ``full_batch`` says that each step reads all training rows, whatever the batch size.
    """

    name: ClassVar[str]
    hypers: ClassVar[tuple[Hyper, ...]]
    slots: ClassVar[tuple[str, ...]] = ()
    decoupled_decay: ClassVar[bool] = False
    full_batch: ClassVar[bool] = False

    @abstractmethod
    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        """Change ``params`` and ``state`` in place; ``grads`` are left as they are.

        ``hyper`` holds ``[rows]`` tensors, ``lr`` with the schedule already applied; ``step [rows]``
        counts from 1.
        """

    def metric(self, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> list[Tensor]:
        """Effective rate of every coordinate in the last update, which scales a proximal step.

        Broadcastable to the leaves. The plain rate by default; a diagonal adaptive rule divides it
        by its root, so that L1 is measured in the rule's own metric.
        """
        del state, step
        return [hyper["lr"]]

    def fused(self, rows: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: Tensor) -> bool:
        """Run torch's fused kernel on one row, if there is one that does the same arithmetic.

        ``rows`` holds ``[params, grads, *slots]``, each a list of tensors, ``step`` a float32 scalar
        that counts from 1. Returns False when there is no such kernel.
        """
        del rows, hyper, step
        return False


def rowwise(values: Tensor, leaf: Tensor) -> Tensor:
    """``values [R]`` shaped to broadcast against ``leaf [R, ...]``, in the leaf's dtype."""
    return values.to(leaf.dtype).view(-1, *([1] * (leaf.dim() - 1)))


RATE = Hyper(name="lr", default=1e-3, low=1e-5, high=1.0, scale="log", words="learning rate")
DECAY = Hyper(name="weight_decay", default=0.0, low=1e-6, high=0.3, scale="log", words="weight decay")


def bias_correction(beta: Tensor, step: Tensor) -> Tensor:
    """``1 - beta^step [R]``, what a zero-started running mean still lacks (Kingma & Ba 2015, section 3)."""
    return -torch.expm1(step * torch.log(beta))
