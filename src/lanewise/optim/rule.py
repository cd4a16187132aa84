"""The rule contract: how a gradient becomes a step. Documented here and nowhere else.

A rule is arithmetic over *leaves* ``[rows, ...]``: each row is an optimizer of its own, with its own
hyper-parameters and its own step count, and no row ever looks at another. The same arithmetic is executed

- over the lane buffer: scalars are ``[rows]`` tensors (:mod:`lanewise.optim.execution`),
- over a list of ordinary tensors, which are one row: scalars are floats (:mod:`lanewise.optim.drop_in`), many small
  tensors by one foreach call per operation, large ones in blocks that stay in the cache,
- by torch's fused kernels, where :meth:`Rule.fused` names one that does the same arithmetic.

To add a rule: subclass :class:`Rule` in a file of its own, list its hyper-parameters and its state, add the
drop-in class below it, one line to the registry and a page in ``docs/methods``; the conformance table of
``lanewise.testing`` covers it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.leaves import Leaves, Scalar, rowwise

HyperValues = Mapping[str, Scalar]

Part = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
"""Of a weight that ranks have parts of: ``part(function, leaf)`` is the own part of ``function`` of the whole leaf."""


@dataclass(frozen=True)
class Slot:
    """State that goes with each leaf. ``start`` makes it of the weights ``[rows, *shape]`` before the first step.

    ``at`` names the hyper-parameter, if any, that every element begins at; lr counts there without its schedule.
    ``torch`` is what torch's optimizer of the same arithmetic, if there is one, calls it in its state dict.
    What follows the row axis is free: factors of a matrix, or ``[rows, 0]`` where a leaf needs none; without
    ``per_weight`` it must be ``shape``.
    """

    name: str
    start: Callable[[Tensor], Tensor] = torch.zeros_like
    at: str | None = None
    torch: str = ""

    def first(self, leaf: Tensor, hyper: HyperValues) -> Tensor:
        """The state of ``leaf [rows, *shape]`` before the first step."""
        first = self.start(leaf)
        return first if self.at is None else first.add_(rowwise(hyper[self.at], first))


@dataclass(frozen=True)
class Number:
    """State that is one number per row, float64."""

    name: str
    start: float = 0.0


@dataclass
class State:
    """What a rule remembers: ``state["slot"]`` are leaves, to be changed in place; ``numbers`` are set anew."""

    leaves: Mapping[str, Leaves]
    numbers: dict[str, Scalar] = field(default_factory=dict)
    parts: Sequence[Part | None] = ()

    def __getitem__(self, slot: str) -> Leaves:
        return self.leaves[slot]

    def whole(self, at: int, function: Callable[[Tensor], Tensor], leaf: Tensor) -> Tensor:
        """``function(leaf)``, where ``leaf`` lies as weight ``at`` does; of a part it is the part of the whole."""
        part = self.parts[at] if self.parts else None
        return function(leaf) if part is None else part(function, leaf)


class Rule(ABC):
    """One optimization rule: its hyper-parameters, its state, its update.

    - ``decay``: what ``weight_decay`` does. ``"coupled"``: it is added to the gradient beforehand, as a penalty of the
      loss would be. ``"decoupled"``: it shrinks the weights by ``lr * weight_decay`` beforehand (Loshchilov & Hutter
      2019, with torch's convention of multiplying by lr). ``"own"``: ``update`` applies it; for leaves that are not
      penalised the hyper-parameter is zero.
    - ``per_weight``: every leaf is one weight ``[rows, *shape]``. Otherwise leaves come in any form, several weights in
      one and pieces of one, and the arithmetic must go element by element.
    - ``gathers``: a rule that wants each weight whole and asks :meth:`State.whole` for all that does not go element by
      element, so that it works on the parts of weights that ranks have.
    - ``draws``: ``state["draws"]`` holds fresh standard normal numbers at each step, keyed by seed and step.
    - ``full_batch``: each step reads all training rows.
    - ``scheduled``: whether a race gives it schedules; a rule that averages, or finds its rate, wants a constant one.
    - ``capturable``: whether ``update`` is made of tensor operations alone, so that ``torch.compile`` can capture it.
    - ``proximal``: whether L1 goes with it: each weight has a rate, told by :meth:`metric`, and gradients are taken
      where it is.
    - ``sparse``: what the drop-in makes of a sparse gradient. ``"rows"``, where a zero gradient changes nothing:
      only the rows named are touched; ``"dense"``: it is filled up with zeros; None: it is refused.
    """

    name: ClassVar[str]
    hypers: ClassVar[tuple[Hyper, ...]]
    slots: ClassVar[tuple[Slot, ...]] = ()
    numbers: ClassVar[tuple[Number, ...]] = ()
    decay: ClassVar[Literal["coupled", "decoupled", "own"]] = "coupled"
    per_weight: ClassVar[bool] = False
    gathers: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    full_batch: ClassVar[bool] = False
    scheduled: ClassVar[bool] = True
    capturable: ClassVar[bool] = True
    proximal: ClassVar[bool] = True
    sparse: ClassVar[Literal["rows", "dense"] | None] = None

    def measure(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        """Before the update, over all leaves of a row at once: set ``state.numbers``, from norms for instance.

        May change slots, not ``params``. Called only if ``numbers`` are declared; ``update`` then reads them.
        """
        del params, grads, state, hyper, step

    @abstractmethod
    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        """Change ``params`` and the slots in place, each leaf by itself; ``grads`` are left as they are.

        ``hyper["lr"]`` has the schedule already applied; ``step`` counts from 1.
        """

    @property
    def evaluates(self) -> bool:
        """Whether :meth:`exchange` does anything."""
        return type(self).exchange is not Rule.exchange

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        """Turn the weights that gradients are taken at into those to be judged by (``evaluation``), in place, or back.

        Only rules whose two kinds differ, as Schedule-Free's do, say how. May change slots as well as ``params``.
        """
        del params, state, hyper, evaluation

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        """What one unit of a gradient that stays moves each coordinate by in a step; it scales a proximal step.

        Broadcastable to the leaves. The plain rate by default; a diagonal adaptive rule divides it by its root, and a
        memory that adds up multiplies it: the weights then rest where the loss and ``l1 |w|`` together are least.
        """
        del state, step
        return [hyper["lr"]]

    def told_by_step(self, hyper: Mapping[str, float], step: float) -> dict[str, float]:
        """What torch's optimizer keeps of each weight that follows from ``step`` and the settings: not kept here."""
        del hyper, step
        return {}

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        """Run torch's fused kernel on leaves of one row, if there is one that does the same arithmetic.

        ``tensors`` holds ``[params, grads, *slots]``, each a list; ``step`` counts from 1.
        The kernel applies ``hyper["weight_decay"]``. Returns False when there is no such kernel.
        """
        del tensors, hyper, step
        return False


RATE = Hyper(name="lr", default=1e-3, low=1e-5, high=1.0, scale="log", words="learning rate")
DECAY = Hyper(name="weight_decay", default=0.0, low=1e-6, high=0.3, scale="log", words="weight decay")
DECOUPLED_DECAY = Hyper(
    name="weight_decay",
    default=0.01,
    low=1e-4,
    high=0.3,
    scale="log",
    words="decoupled weight decay, multiplied by lr",
)
