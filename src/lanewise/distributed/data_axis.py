"""Ranks that train the same lanes, each on its part of every batch: one sum a step keeps them alike."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer


@final
class DataAxis:
    """The place of this process among the ``size`` that share each batch.

    Every rank holds the same weights ``[L, P]``, computes the gradient of its :meth:`part` of the rows, and takes the
    same step with the sum ``g = sum_k (B_k / B) g_k``, where ``g_k`` is the mean gradient over ``B_k`` rows of rank k.
    A batch is the same rows in the same order whatever the degree is.

    ``sums(message)`` begins to add up a tensor over the ranks in place, to the same bits on all of them; what it
    returns waits for the sum, None: it is there. ``sends(bytes)`` gives all of them what the first has.

    ``payload`` is the format that gradients and losses travel as, None: their own. The first sum is then taken in both,
    and ``rounding`` is what the format does to a gradient: ``|g_payload - g| / |g|`` of the lane that loses most.

    Whether to stop is decided together, so that all ranks have taken as many steps: ``asked`` says what this rank was
    told, it travels with the gradients, and from then on ``stopping`` is true everywhere.

    >>> axis = DataAxis(place=1, size=3, sums=lambda message: None, sends=lambda own: own)
    >>> [axis.part(rows) for rows in (6, 8, 1)]
    [slice(2, 4, None), slice(2, 5, None), slice(0, 0, None)]
    """

    def __init__(
        self,
        *,
        place: int,
        size: int,
        sums: Callable[[Tensor], Callable[[], None] | None],
        sends: Callable[[bytes], bytes],
        payload: torch.dtype | None = None,
    ) -> None:
        self.place, self.size = place, size
        self.asked: Callable[[], bool] = lambda: False  # nobody asks
        self.stopping = False
        self.exchanged = 0
        """Bytes that this rank has given to sums; a ring moves ``2 (size - 1) / size`` times as many."""
        self.payload = payload
        self.rounding: float | None = None
        self._sums, self._sends = sums, sends

    @property
    def leads(self) -> bool:
        """Whether this is the first of the ranks, which speaks for all of them."""
        return self.place == 0

    def part(self, rows: int) -> slice:
        """Which of ``rows`` of a batch are those of this rank: parts differ by one row at the most."""
        return slice(rows * self.place // self.size, rows * (self.place + 1) // self.size)

    def add_gradients(
        self, buffer: LaneBuffer, losses: Tensor, *, meanwhile: Callable[[], None] | None = None
    ) -> Tensor:
        """Sum the gradients in ``buffer`` over the ranks, in place, and ``losses [L]``, which are returned.

        While they travel, ``meanwhile`` is called: what it does must not touch the buffer.
        """
        buffer.beside.copy_(losses)
        buffer.wish.fill_(float(self.asked()))
        if self.payload is not None and self.rounding is None:
            self.rounding = self._rounding(buffer)
        self.add(buffer.message, meanwhile=meanwhile)
        self.stopping = self.stopping or buffer.wish.item() > 0
        return buffer.beside.clone()

    def add(self, message: Tensor, *, meanwhile: Callable[[], None] | None = None) -> None:
        """Sum ``message`` over the ranks, in place, in the format of the payload."""
        if self.payload is None or self.payload == message.dtype:
            self._sum(message, meanwhile)
            return
        packed = message.to(self.payload)
        self._sum(packed, meanwhile)
        message.copy_(packed)

    def _sum(self, message: Tensor, meanwhile: Callable[[], None] | None) -> None:
        self.exchanged += message.numel() * message.element_size()
        wait = self._sums(message)
        if wait is not None:
            if meanwhile is not None:
                meanwhile()
            wait()

    def _rounding(self, buffer: LaneBuffer) -> float:
        """How far the sum as payload is from the sum as it is, of the lane that loses most; nothing is changed."""
        whole, rough = buffer.gradients.clone(), buffer.gradients.clone()
        self._sum(whole, None)
        self.add(rough)
        lengths = whole.norm(dim=1)
        apart = (rough - whole).norm(dim=1) / torch.where(lengths > 0, lengths, 1.0)
        return float(apart.max())

    def send(self, own: bytes) -> bytes:
        """What the first rank has, on all of them."""
        return self._sends(own)
