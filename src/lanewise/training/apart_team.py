"""A team whose every lane is trained by several workers apart, which are averaged every so many steps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.distributed.outer import outer_step
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate, Event, Failure
from lanewise.training.copying import under
from lanewise.training.fitted import Fitted
from lanewise.training.stack import Stack
from lanewise.training.team import Evidence, Team, never, nothing
from lanewise.training.watching.guard import CHECK_EVERY

USUAL_WORKERS = 2


def workers_of(candidate: Candidate) -> int:
    """How many workers train the candidate apart; 1: it is trained synchronously, which needs none.

    >>> settings = {"average_every": 16, "average_over": 4}
    >>> workers_of(Candidate(id="a", model="module", optimizer="sgd", settings=settings))
    4
    """
    return int(candidate.number("average_over", USUAL_WORKERS)) if candidate.number("average_every") else 1


def axes_apart(workers: int, batch: int, stop: Callable[[], bool] = never) -> list[DataAxis]:
    """An axis for each of the workers, along which it has its part of every batch, and gradients stay with it.

    Raises ``UsageError`` where a batch does not split evenly.
    """
    _check_even(workers, batch)

    def own_mean(message: Tensor) -> None:
        message[:-1].mul_(workers)  # what a rank adds is weighted by its share; the last number is the wish to stop

    axes = [DataAxis(place=place, size=workers, sums=own_mean, sends=lambda own: own) for place in range(workers)]
    for axis in axes:
        axis.asked = stop
    return axes


def _check_even(workers: int, batch: int) -> None:
    if batch % workers:
        message = (
            f"a batch of {batch} rows does not split evenly over average_over={workers} workers; set batch_size to "
            f"{batch // workers * workers or workers}"
        )
        raise UsageError(message)


@final
class ApartTeam(Team):
    """Lanes of which each is trained by as many workers as there are ``stacks``: local SGD and DiLoCo, in one process.

    All stacks have the same lanes; stack k trains them on part k of every batch. After every ``average_every`` steps of
    a lane, and after the last, its rows in all stacks become what :class:`~lanewise.distributed.outer.Outer` with the
    lane's ``outer_lr`` and ``outer_momentum`` makes of their mean. So the interval is a hyper-parameter as any other,
    and a lane is what ``lanewise.train`` makes of as many ranks. The state of rules stays with each worker.

    Between averagings a lane is judged by the mean of its workers. One of which a worker diverged is lost: to set it
    back, all its workers and the outer weights would have to be.
    """

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self._stacks = list(stacks)
        self._first = self._stacks[0]
        self._first.peers = tuple(self._stacks[1:])
        self.lanes, self.length, self.warm_up = self._first.lanes, self._first.length, self._first.warm_up
        self._settled = 0
        self._theta = self._first.buffer.values.clone()
        self._velocity = torch.zeros_like(self._theta)
        _check_even(len(self._stacks), self._first.batch_size)  # a stack of few rows has smaller batches than asked
        self._read()

    def _read(self) -> None:
        """The settings of the lanes that are left."""
        self.lanes = self._first.lanes
        own = [lane.candidate for lane in self.lanes]
        self._every = [max(1, int(candidate.number("average_every", 1))) for candidate in own]
        column = self._theta.new_tensor
        self._rates = column([candidate.number("outer_lr", 1.0) for candidate in own])[:, None]
        self._momenta = column([candidate.number("outer_momentum") for candidate in own])[:, None]

    @property
    def fraction(self) -> float:
        return self._settled / self.length

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        until = round(fraction * self.length)
        while self._settled < until:
            to = min([until, *(_next(self._settled, every) for every in (CHECK_EVERY, *self._every))])
            for stack in self._stacks:
                stack.go_on(to, between, look=to == until)
            self._give_up(to)
            self._average([row for row, every in enumerate(self._every) if to % every == 0 or to == self.length])
            self._settled = to

    def _average(self, due: Sequence[int]) -> None:
        """The outer step of the rows that are due; all workers go on from it."""
        if not due:
            return
        rows = torch.tensor(due, device=self._theta.device)
        mean = torch.stack([stack.buffer.values[rows] for stack in self._stacks]).mean(0)
        theta, velocity = self._theta[rows], self._velocity[rows]
        outer_step(theta, mean=mean, velocity=velocity, lr=self._rates[rows], momentum=self._momenta[rows])
        self._theta[rows], self._velocity[rows] = theta, velocity
        for stack in self._stacks:
            stack.buffer.values[rows] = theta
            stack.buffer.refresh()

    def _give_up(self, taken: int) -> None:
        """Retire the lanes of which a worker diverged, with all workers."""
        guards = [stack.oversight.guard for stack in self._stacks]
        broken = {row for guard in guards for row in (*guard.repairs, *guard.retired)}
        for stack, guard in zip(self._stacks, guards, strict=True):
            guard.repairs = {}
            for row in broken:
                why = f"a worker diverged by step {taken}, and lanes whose workers train apart are not set back"
                failure = Failure(cause=why, fraction=taken / self.length)
                if guard.retired.setdefault(row, failure) is failure:
                    stack.optimizer.slow(row, 0.0)

    def evidence(self) -> list[Evidence]:
        return self._first.evidence()

    def export(self, lane: str) -> Fitted:
        return self._first.export(lane)

    def scale(self, factor: float) -> None:
        """Multiply all weights, those of all workers and the outer ones."""
        self._theta.mul_(factor)
        for stack in self._stacks:
            stack.scale(factor)

    def keep(self, lanes: Collection[str]) -> None:
        index = torch.tensor([row for row, lane in enumerate(self.lanes) if lane.id in lanes], dtype=torch.int64)
        for stack in self._stacks:
            stack.keep(lanes)
        self._theta, self._velocity = self._theta[index], self._velocity[index]
        self._read()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, rest = {"outer/theta": self._theta, "outer/velocity": self._velocity}, []
        for place, stack in enumerate(self._stacks):
            own, known = stack.state()
            tensors |= {f"worker{place}/{name}": tensor for name, tensor in own.items()}
            rest.append(known)
        return tensors, {"settled": self._settled, "workers": rest}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        for place, (stack, known) in enumerate(zip(self._stacks, rest["workers"], strict=True)):
            stack.restore(under(tensors, f"worker{place}/"), known)
        self._theta.copy_(tensors["outer/theta"])
        self._velocity.copy_(tensors["outer/velocity"])
        self._settled = rest["settled"]

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return {}

    def lost(self) -> dict[str, Failure]:
        return self._first.lost()

    def settle(self) -> None:
        for stack in self._stacks:
            stack.settle()


def _next(step: int, every: int) -> int:
    """The next multiple after ``step``."""
    return (step // every + 1) * every
