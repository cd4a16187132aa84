"""An exponential moving average of weights, to be judged by and to be kept."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from lanewise.errors import UsageError

_torch: Final[Any] = torch  # its foreach operations are untyped


@final
class EMA:
    """``a_t = (1 - d) (w_t + d w_(t-1) + d^2 w_(t-2) + ...) / (1 - d^t)``: averaged weights, corrected for their start.

    ``source`` is a module or its parameters; call :meth:`update` after each ``optimizer.step()``. ``decay`` d, from 0
    up to below 1, looks back over about ``1 / (1 - d)`` updates; of ``every`` steps one is averaged. Without
    ``correct`` the average starts at the first weights, as torch's ``AveragedModel`` with ``get_ema_multi_avg_fn(d)``
    does, and they keep the share ``d^(t-1)``. Averages of float16 and bfloat16 weights are float32. Buffers are not
    averaged: let batch normalization see training rows again, by ``torch.optim.swa_utils.update_bn``. Lanes have an
    average of their own.

    Raises ``UsageError`` for a decay or a period out of range, weights that are not there, and a state of other
    weights.

    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> average = EMA(model, decay=0.5)
    >>> for value in (0.0, 3.0):
    ...     _ = torch.nn.init.constant_(model.weight, value)
    ...     average.update()
    >>> with average.applied():
    ...     model.weight.item()
    2.0
    >>> model.weight.item()
    3.0

    Polyak & Juditsky 1992; the correction is that of Kingma & Ba 2015, section 3.
    """

    def __init__(
        self, source: nn.Module | Iterable[Tensor], *, decay: float = 0.999, every: int = 1, correct: bool = True
    ) -> None:
        self.parameters = list(source.parameters() if isinstance(source, nn.Module) else source)
        if not 0 <= decay < 1:
            message = f"decay must be at least 0 and below 1, got {decay}"
            raise UsageError(message)
        if every < 1:
            message = f"every must be at least 1, got {every}"
            raise UsageError(message)
        if not self.parameters:
            message = "there are no weights to average: pass a module or its parameters"
            raise UsageError(message)
        self.decay, self.every, self.correct = decay, every, correct
        self.steps, self.updates = 0, 0
        self.averages = [_wide(parameter.detach()).clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Count a step, and take the weights into the average if it is their turn."""
        self.steps += 1
        if self.steps % self.every:
            return
        self.updates += 1
        share = 1 - self.decay
        if self.correct:
            share /= 1 - self.decay**self.updates
        elif self.updates == 1:
            share = 1.0
        groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            groups.setdefault((average.dtype, average.device), []).append((average, _wide(parameter.detach())))
        for pairs in groups.values():
            averages, weights = map(list, zip(*pairs, strict=True))
            _torch._foreach_lerp_(averages, weights, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the place of the weights while the block runs; before the first update nothing changes."""
        weights = [parameter.detach().clone() for parameter in self.parameters]
        self._put(self.averages if self.updates else weights)
        try:
            yield
        finally:
            self._put(weights)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs; the averages are not copied."""
        return {"steps": self.steps, "updates": self.updates, "averages": list(self.averages)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved average; the decay and the period stay those of this object."""
        given = state["averages"]
        shapes, own = [tuple(one.shape) for one in given], [tuple(one.shape) for one in self.averages]
        if shapes != own:
            message = f"the state is of weights of shapes {shapes}, these have {own}: build the same model first"
            raise UsageError(message)
        self.steps, self.updates = state["steps"], state["updates"]
        for average, value in zip(self.averages, given, strict=True):
            average.copy_(value)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
