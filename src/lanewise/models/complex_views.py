"""Complex weights as pairs of numbers: torch joins pairs in place only where they begin at an even one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, final

import torch
from torch.overrides import TorchFunctionMode

from lanewise.lanes.buffer import BufferLayout

PAIR: Final = 2


@final
class ComplexViews(TorchFunctionMode):
    """``torch.view_as_complex`` as a copy, which may lie anywhere in the row of a lane.

    >>> row = torch.arange(5.0)
    >>> with ComplexViews():
    ...     torch.view_as_complex(row[1:].view(2, 2))
    tensor([1.+2.j, 3.+4.j])
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle = False
        """It was in use during a pass, and not needed."""
        self._needed = False

    @classmethod
    def of(cls, layout: BufferLayout) -> "ComplexViews | None":
        """For modules that may join pairs of their weights; None for others."""
        return cls() if any(own.shape[-1:] == (PAIR,) for own in (*layout.parameters, *layout.statistics)) else None

    @contextmanager
    def within(self, drawing: AbstractContextManager[object]) -> Iterator[None]:
        with drawing, self:
            yield
        self.idle = not self._needed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is not torch.view_as_complex:
            return func(*args, **(kwargs or {}))
        self._needed = True
        pairs = args[0] if args else (kwargs or {})["input"]
        return torch.complex(pairs[..., 0], pairs[..., 1])
