"""Which kernels attention takes: switches of torch that belong to the process, while several threads train lanes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, final

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lanewise.models.between_passes import of_torch

_ATTENDING: Final = (nn.MultiheadAttention, nn.Transformer, nn.TransformerDecoderLayer, nn.TransformerEncoderLayer)


@final
class _Kernels:
    """Lets threads in that want the same kernels; it is the turn of those that want others when nobody is in.

    Else the kernels of a pass, and so its rounding, would depend on which pass of another thread it meets, and a thread
    that came second would restore the switches as it found them, which is not as they were. Who comes while others wait
    for their turn waits behind them: a thread that calls pass after pass would never let anybody else in.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._plain = False
        self._waiting = {False: 0, True: 0}
        self._admitted = 0
        """Of those who waited for the turn that is, how many are not in yet."""
        self._restore = ExitStack()

    @contextmanager
    def __call__(self, *, plain: bool) -> Iterator[None]:
        with self._changed:
            if self._inside == self._admitted == 0:
                self._plain = plain
            elif self._plain is not plain or self._waiting[not plain]:
                self._wait(plain=plain)
            if self._inside == 0:
                self._switch()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._end_turn()

    def _wait(self, *, plain: bool) -> None:
        self._waiting[plain] += 1
        try:
            self._changed.wait_for(lambda: self._plain is plain and self._admitted)
        except BaseException:  # Ctrl-C: nobody must wait for who is gone
            self._waiting[plain] -= 1
            if self._plain is plain:
                self._admitted = min(self._admitted, self._waiting[plain])
            self._end_turn()
            raise
        self._waiting[plain] -= 1
        self._admitted -= 1

    def _switch(self) -> None:
        if not self._plain:
            return
        self._restore.close()  # of a turn whose first pass left before the others came
        before = torch.backends.mha.get_fastpath_enabled()
        self._restore.callback(torch.backends.mha.set_fastpath_enabled, before)
        torch.backends.mha.set_fastpath_enabled(False)
        self._restore.enter_context(sdpa_kernel(SDPBackend.MATH))

    def _end_turn(self) -> None:
        """Where nobody is in any more, let in all who wait for the other kernels, or else for the same."""
        if self._inside or self._admitted:
            return
        self._restore.close()
        if any(self._waiting.values()):
            self._plain = not self._plain if self._waiting[not self._plain] else self._plain
            self._admitted = self._waiting[self._plain]
            self._changed.notify_all()


attention_kernels: Final = _Kernels()
"""``plain``: in steps that vmap can do, neither by fused kernels nor by that of a whole layer in evaluation.

Not ``plain``: as the user has it. A thread must not ask for the one within the other.
"""


def attends(module: nn.Module) -> bool:
    """Whether any attention may be in a module; not where it is made of torch's own layers that have none."""
    return not of_torch(module) or any(isinstance(part, _ATTENDING) for part in module.modules())
