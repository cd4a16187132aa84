"""Which kernels attention takes: switches of torch that belong to the process, while several threads train lanes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@final
class _Kernels:
    """Lets threads in that want the same kernels; one that wants others waits until nobody is in.

    Else the kernels of a pass, and so its rounding, would depend on which pass of another thread it meets, and a thread
    that came second would restore the switches as it found them, which is not as they were.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._plain = False
        self._restore = ExitStack()

    @contextmanager
    def __call__(self, *, plain: bool) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0 or self._plain is plain)
            if self._inside == 0 and plain:
                before = torch.backends.mha.get_fastpath_enabled()
                self._restore.callback(torch.backends.mha.set_fastpath_enabled, before)
                torch.backends.mha.set_fastpath_enabled(False)
                self._restore.enter_context(sdpa_kernel(SDPBackend.MATH))
            self._inside, self._plain = self._inside + 1, plain
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if self._inside == 0:
                    self._restore.close()
                    self._changed.notify_all()


attention_kernels: Final = _Kernels()
"""``plain``: in steps that vmap can do, neither by fused kernels nor by that of a whole layer in evaluation.

Not ``plain``: as the user has it. A thread must not ask for the one within the other.
"""
