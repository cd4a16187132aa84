"""One model on every rank, each trained by itself, and averaged every so many steps."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor, nn

from lanewise.distributed.groups import Groups
from lanewise.distributed.outer import Outer
from lanewise.distributed.portion import Pass, Pieces, Portion, added_up
from lanewise.errors import TrainingError


@final
@dataclass(frozen=True, kw_only=True)
class Peers:
    """The ``size`` ranks that average, seen from the one at ``place``.

    ``sums(message)`` adds up a tensor over them, ``largest(numbers)`` takes the largest of each number, both in place
    and to the same bits on all.
    """

    place: int
    size: int
    sums: Callable[[Tensor], None]
    largest: Callable[[Tensor], None]


def peers_along(groups: Groups, axis: str) -> Peers:
    """The ranks along one axis of a mesh, where its degree is above 1."""
    dist: Any = importlib.import_module("torch.distributed")
    group = groups.group(axis)
    return Peers(
        place=groups.coordinates[axis],
        size=groups.mesh.degrees[axis],
        sums=lambda message: dist.all_reduce(message, group=group),
        largest=lambda numbers: dist.all_reduce(numbers, op=dist.ReduceOp.MAX, group=group),
    )


@final
class Apart(Portion):
    """``module`` as each of the ``peers`` trains it on its own part of every batch, without a word to the others.

    After every ``every`` steps, and after the last, one sum over the ranks makes the mean of all weights, from which
    ``outer`` takes its step; all go on from there. Floating-point buffers, such as running statistics, become their
    mean. The state of the inner optimizer stays where it is. What came out is compared by a digest.

    The sum is of one message in the widest dtype of the weights, float32 at the least, so that weights in bfloat16 are
    added up without loss, and the outer step has a copy of them in that dtype.
    """

    def __init__(self, module: nn.Module, peers: Peers, *, every: int, outer: Outer) -> None:
        self.module = module
        self.leaves = {name: own for name, own in module.named_parameters() if own.requires_grad}
        self.share = (peers.place, peers.size)
        self.private = f"rank-{peers.place}/"
        self.every, self.outer = every, outer
        self.averagings, self.exchanged = 0, 0
        """How often this rank has averaged, and the bytes that it has given to sums of weights for it."""
        self._peers = peers
        self._numbers = [own for own in module.buffers() if own.is_floating_point()]
        self._dtype = reduce(torch.promote_types, [own.dtype for own in self.leaves.values()], torch.float32)
        self._width = sum(own.numel() for own in self.leaves.values())
        with torch.no_grad():
            theta = self._message()[: self._width].clone()
        self._kept = {} if outer.plain else {"theta": theta}
        if outer.momentum:
            self._kept["velocity"] = torch.zeros_like(theta)
        self._asked, self._heard = False, False

    @property
    def one_exchange(self) -> int:
        """Bytes of one sum of the weights, and of what is averaged with them."""
        return (self._width + sum(own.numel() for own in self._numbers)) * self._dtype.itemsize

    @property
    def one_gradient(self) -> int:
        """Bytes of one gradient, which ranks that do not train apart add up at every step."""
        return sum(own.numel() * own.element_size() for own in self.leaves.values())

    def gradients(self, pieces: Pieces, way: Pass) -> Tensor:
        return added_up(self.module, pieces, way)

    def norm(self) -> Tensor:
        return torch.nn.utils.get_total_norm([own.grad for own in self.leaves.values() if own.grad is not None])

    def mean(self, losses: Tensor) -> Tensor:
        total = losses.clone()
        self._peers.sums(total)
        return total / self._peers.size

    @property
    def kept(self) -> Mapping[str, Tensor]:
        return self._kept

    def after(self, taken: int, *, last: bool) -> bool:
        if taken % self.every and not last:
            return False
        with torch.no_grad():
            message = self._message()
            self.exchanged += message.numel() * message.element_size()
            self._peers.sums(message)
            message.div_(self._peers.size)
            weights = message[: self._width]
            if self._kept:
                theta = self._kept["theta"]
                self.outer.step(theta, mean=weights, velocity=self._kept.get("velocity"))
                weights.copy_(theta)
            self._take_over(message)
        self.averagings += 1
        self._compare(message, taken)
        return True

    def any(self, *, own: bool) -> bool:
        """Whether some rank had a wish before the last averaging, which is when they tell each other."""
        self._asked = self._asked or own
        return self._heard

    def close(self) -> None:
        """Nothing is on its way between two averagings."""

    def _parts(self) -> list[Tensor]:
        return [*self.leaves.values(), *self._numbers]

    def _message(self) -> Tensor:
        return torch.cat([own.detach().reshape(-1).to(self._dtype) for own in self._parts()])

    def _take_over(self, message: Tensor) -> None:
        at = 0
        for own in self._parts():
            own.copy_(message[at : at + own.numel()].view(own.shape))
            at += own.numel()

    def _compare(self, message: Tensor, taken: int) -> None:
        """Raise ``TrainingError`` on all ranks where they did not come to the same bits; hear what they wish."""
        found = hashlib.blake2b(digest_size=7)
        for own in (message, *self._kept.values()):
            found.update(own.cpu().numpy().data)
        digest = int.from_bytes(found.digest())
        told = torch.tensor([digest, -digest, int(self._asked)], device=message.device)
        self._peers.largest(told)
        largest, smallest, wish = told.tolist()
        if largest != -smallest:
            text = (
                f"ranks came to different weights when they averaged after step {taken}, so their checkpoints, "
                "processors or libraries differ; use hosts that are alike, and one folder of checkpoints for all"
            )
            raise TrainingError(text)
        self._heard = self._heard or wish > 0
