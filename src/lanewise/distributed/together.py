"""Whether any rank wants something, known to all of them at the same step, without waiting for the slowest."""

import importlib
from typing import Any, final

import torch

from lanewise.distributed.ranks import Ranks


@final
class Together:
    """What ranks wish, told at one step and heard at the next; all of them ask once a step."""

    def __init__(self, ranks: Ranks) -> None:
        self._alone = ranks.size == 1
        self._asked: tuple[Any, torch.Tensor] | None = None
        if not self._alone:
            self._dist: Any = importlib.import_module("torch.distributed")
            self._group = self._dist.new_group(backend="gloo")

    def any(self, *, own: bool) -> bool:
        """Whether some rank had a wish at the step before; in one process, now."""
        if self._alone:
            return own
        heard = self._hear()
        wish = torch.tensor([int(own)])
        self._asked = self._dist.all_reduce(wish, op=self._dist.ReduceOp.MAX, group=self._group, async_op=True), wish
        return heard

    def close(self) -> None:
        """Wait for what is on its way."""
        if self._asked is not None:
            self._hear()

    def _hear(self) -> bool:
        if self._asked is None:
            return False
        (work, wish), self._asked = self._asked, None
        work.wait()
        return bool(wish.item())
