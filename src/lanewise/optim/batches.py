"""The leaves that one step of a drop-in works on, gathered from a parameter group."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any, cast

import torch
from torch import Tensor

from lanewise.optim.parameter_state import numbers_of, start_state
from lanewise.optim.rule import Part, Rule

BLOCK = 1 << 16
"""Elements that are worked on at once on a CPU: a handful of leaves of this length stay in a core's own cache."""

RUN = 512
"""Tensors that are gathered and updated at once on a CPU: what Python holds of them stays in the cache meanwhile."""


@dataclass
class Batch:
    """Leaves of one row with the same dtype, device and step count; ``slots`` in the order of the rule's."""

    step: int
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    slots: list[list[Tensor]] = field(default_factory=list)
    draws: list[Tensor] = field(default_factory=list)
    parts: list[Part | None] = field(default_factory=list)

    def columns(self) -> list[list[Tensor]]:
        return [self.params, self.grads, *self.slots]

    def span(self, first: int, last: int) -> "Batch":
        """The leaves from ``first`` up to ``last``."""
        slots = [column[first:last] for column in self.slots]
        return Batch(self.step, self.params[first:last], self.grads[first:last], slots)

    def blocks(self) -> Iterator["Batch"]:
        """Pieces of about :data:`BLOCK` elements, so that a pass of several operations reads memory once."""
        sizes = list(map(Tensor.numel, self.params))
        if sum(sizes) <= BLOCK:
            yield self
            return
        first, held = 0, 0
        for at, size in enumerate(sizes):
            if held + size <= BLOCK:
                held += size
                continue
            if at > first:
                yield self.span(first, at)
            first, held = at, size
            if size > BLOCK:
                yield from self.span(at, at + 1).pieces()
                first, held = at + 1, 0
        if first < len(self.params):
            yield self.span(first, len(self.params))

    def pieces(self) -> Iterator["Batch"]:
        """The one large leaf in pieces, if it and what belongs to it lie alike in memory."""
        leaves = [column[0] for column in self.columns()]
        if not all(map(Tensor.is_contiguous, leaves)):
            yield self
            return
        for param, grad, *slots in zip(*(leaf.view(-1).split(BLOCK) for leaf in leaves), strict=True):
            yield Batch(self.step, [param], [grad], [[slot] for slot in slots])


class KnownStates:
    """The states of parameters at a step of an optimizer, to be asked for in the order of its groups.

    If every parameter had a gradient at the first step, that is the order of ``state`` too, and nothing is looked up:
    the hash of a tensor is a function written in Python.
    """

    def __init__(self, state: Mapping[Tensor, dict[str, Any]]) -> None:
        self._state = state
        self._params, self._states = list(state), list(state.values())
        self._next = 0

    def of(self, params: Sequence[Tensor]) -> list[dict[str, Any]]:
        """The states of ``params``; those that lack one get it by the default of ``state``."""
        next_ones = slice(self._next, self._next + len(params))
        expected = self._params[next_ones]
        if len(expected) == len(params) and all(map(is_, params, expected)):
            self._next = next_ones.stop
            return self._states[next_ones]
        return [self._state[param] for param in params]


def runs_of(rule: Rule, params: list[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters of a group in runs that are gathered and updated at once."""
    whole = rule.draws or rule.per_weight or rule.numbers or not params or not params[0].is_cpu
    size = len(params) if whole else RUN
    for first in range(0, len(params), max(size, 1)):
        yield params[first : first + size]


def gathered_alike(rule: Rule, group: Mapping[str, Any], params: list[Tensor], known: "KnownStates") -> Batch | None:
    """The leaves among ``params`` that have a gradient, as one batch, if they are ordinary; counts their step.

    Ordinary are dense real tensors of one dtype and step count on the CPU or on one GPU, of a rule that takes leaves in
    any form.
    None for others, whose step is not counted.

    With many small tensors this takes as long as the arithmetic, so each thing is asked of all leaves in one loop.
    """
    if rule.draws or rule.per_weight:
        return None
    grads = [param.grad for param in params]
    if any([grad is None for grad in grads]):
        params = [param for param in params if param.grad is not None]
        grads = [param.grad for param in params]
    if not params or not _ordinary(params, grads):
        return None
    states = known.of(params)
    if min(map(len, states)) <= len(rule.slots):
        for param, own in zip(params, states, strict=True):
            start_state(rule, param, own, numbers_of(group))
    steps = [own["step"] for own in states]
    if type(steps[0]) is not int or steps.count(steps[0]) != len(steps):
        return None
    step = steps[0] + 1
    for own in states:
        own["step"] = step
    return Batch(step, params, cast(list[Tensor], grads), [[own[slot.name] for own in states] for slot in rule.slots])


def _ordinary(params: list[Tensor], grads: list[Any]) -> bool:
    dtype, count = params[0].dtype, len(params)
    if dtype.is_complex or [param.dtype for param in params].count(dtype) != count:
        return False
    if not all([param.is_cpu for param in params]):
        gpu = params[0].get_device()
        if not all([param.is_cuda and param.get_device() == gpu for param in params]):
            return False
    return [grad.layout for grad in grads].count(torch.strided) == count
