"""Sums over the ranks of a group that are on their way while this process does something else."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def begun_sum(
    message: Tensor, group: Any, *, size: int, call: Callable[[Callable[[], Any]], None]
) -> Callable[[], None]:
    """Begin to add up ``message`` over the ``size`` ranks of ``group``, in place; what is returned waits for the sum.

    ``call`` runs what may find that a rank was lost. All ranks get the same bits.

    Two ranks give each other what they have and add it up themselves: as many bytes as a ring moves, in one round
    instead of two, and small messages take as long as their rounds do.
    """
    dist: Any = importlib.import_module("torch.distributed")
    begun: list[Any] = []
    if size != 2:
        call(lambda: begun.append(dist.all_reduce(message, group=group, async_op=True)))
        return lambda: call(begun[0].wait)
    given = [torch.empty_like(message) for _ in range(size)]
    call(lambda: begun.append(dist.all_gather(given, message, group=group, async_op=True)))

    def wait() -> None:
        call(begun[0].wait)
        torch.add(*given, out=message)

    return wait
