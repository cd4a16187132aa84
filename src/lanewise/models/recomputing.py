"""What a module computes once more while gradients are taken, as ``torch.utils.checkpoint`` has it do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@final
class Recomputing(TorchDispatchMode):
    """Sees whether a backward pass without gradients of its own, within it, computes anything that has some.

    Calls of submodules would not show it: torch leaves the recomputation as soon as it has what it needs, within the
    last of them, and a function may use weights without any.

    >>> x = torch.ones(2, requires_grad=True)
    >>> def twice(value):
    ...     return (2 * value).sin()
    >>> total = torch.utils.checkpoint.checkpoint(twice, x, use_reentrant=False).sum()
    >>> with torch.no_grad(), Recomputing() as seen:
    ...     _ = torch.autograd.grad(total, x)
    >>> seen.once_more
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.once_more = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and to skip its compiler torch would load it, for two seconds

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.once_more |= torch.is_grad_enabled()
        return func(*args, **(kwargs or {}))
