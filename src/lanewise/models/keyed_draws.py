"""Random numbers inside an ordinary module: keyed, and the same whichever way the module is run.

torch draws dropout from one generator for the whole process, and fills a tensor in the order in which it lies in
memory. Inside :func:`keyed_draws` that generator is seeded by a key, and the functions that drop out draw in the order
of their dims. So what a module draws depends on the key only: not on other lanes, and not on how tensors lie. What is
dropped out is drawn on the CPU wherever the module is; other draws on a GPU come from its generator, keyed as well.
"""

import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lanewise.models.held_draws import gpu_generator, held_draws

_GENERATOR_IN_USE = threading.RLock()

_NONE: Final[Mapping[str, Any]] = {}


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  # as torch has it
    """``torch.nn.functional.dropout``, with draws in the order of the dims of ``input``."""
    return _dropped(input, input.shape, p, inplace=inplace) if training and p else input


def dropout_of_channels(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  # as torch has it
    """``dropout1d``, ``dropout2d`` and ``dropout3d`` of torch for ``input [B, C, ...]``: whole channels are dropped."""
    shape = (*input.shape[:2], *[1] * (input.dim() - 2))
    return _dropped(input, shape, p, inplace=inplace) if training and p else input


def attention(  # noqa: PLR0917  # as torch has it
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002  # as torch has it
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: FBT001, FBT002  # as torch has it
) -> Tensor:
    """``torch.nn.functional.scaled_dot_product_attention`` with dropout, step by step: ``[..., T, E]``."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return dropout(scores.softmax(-1), dropout_p) @ value


@torch.library.custom_op("lanewise::drawn", mutates_args=(), tags=torch.Tag.nondeterministic_seeded)
def _drawn(shape: Sequence[int], p: float, dtype: torch.dtype, after: Tensor | None) -> Tensor:
    """What compiled code draws: an operation of our own, for inductor reads what ``bernoulli_`` fills before it has.

    It takes what was drawn before, for a compiler may else draw in any order.
    """
    del after
    return torch.empty(shape, dtype=dtype).bernoulli_(p)


@_drawn.register_fake
def _(shape: Sequence[int], p: float, dtype: torch.dtype, after: Tensor | None) -> Tensor:
    del p, after
    return torch.empty(shape, dtype=dtype)


@dataclass
class _Drawn:
    last: Tensor | None = None


_DRAWN: Final = _Drawn()
"""The last draw of a pass that is compiled, None at its start."""


def _dropped(input: Tensor, shape: Sequence[int], p: float, *, inplace: bool = False) -> Tensor:
    # an empty tensor is not batched by vmap, so that all lanes share what it is filled with
    held = held_draws()
    if torch.compiler.is_compiling():
        kept = _DRAWN.last = _drawn(shape, 1 - p, input.dtype, _DRAWN.last)
    elif held is None or held.now is None:
        kept = torch.empty(tuple(shape), dtype=input.dtype, device="cpu").bernoulli_(1 - p).to(input.device)
    else:
        kept = held.now.kept(shape, p, input.dtype, input.device)
    factor = kept / (1 - p) if p < 1 else kept
    return input.mul_(factor) if inplace else input * factor


_OURS: Final[Mapping[Callable[..., Any], Callable[..., Tensor]]] = {
    F.dropout: dropout,
    F.dropout1d: dropout_of_channels,
    F.dropout2d: dropout_of_channels,
    F.dropout3d: dropout_of_channels,
}


@final
class _Ordered(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = kwargs or _NONE
        if func in _OURS:
            return _OURS[func](*args, **settings)
        if func is F.scaled_dot_product_attention and (settings.get("dropout_p") or any(args[4:5])):
            return attention(*args, **settings)
        return func(*args, **settings)


@contextmanager
def keyed_draws(key: int, *, others: bool = False, recomputed: bool = False) -> Iterator[None]:
    """Draw from torch's CPU generator as seeded by ``key``; afterwards it is as it was.

    With ``others`` so are the default generators of NumPy and Python, which takes half a millisecond. What is to be
    ``recomputed`` in the backward pass is drawn in torch's own order, as it will be there.

    The generator belongs to the process, so one thread waits here for another.

    >>> with keyed_draws(7):
    ...     a = F.dropout(torch.ones(4, 2).t())
    >>> with keyed_draws(7):
    ...     b = F.dropout(torch.ones(2, 4))
    >>> bool((a == b).all())
    True
    """
    held = held_draws()
    if recomputed:
        if held is not None:
            held.refused = "the module draws anew what it recomputes in the backward pass"
        with own_generator(key, others=others):
            yield
    elif held is None:
        with own_generator(key, others=others), _Ordered():
            yield
    elif held.noted:
        with held.reading(key), _Ordered():
            yield
    else:
        with own_generator(key) as generator, held.noting(key, generator), _Ordered():
            yield


def generator_in_use() -> AbstractContextManager[object]:
    """What others that draw wait for: a backward pass that draws once more sets the generator of the process back."""
    return _GENERATOR_IN_USE


@contextmanager
def own_generator(key: int, *, others: bool = False) -> Iterator[torch.Generator]:
    """torch's CPU generator as seeded by ``key``, and that of the current GPU too; afterwards they are as they were.

    With ``others`` the default generators of NumPy and Python are so, too, which takes half a millisecond.
    """
    generator = torch.default_generator
    seeded = [generator, *gpu_generator()]
    with _GENERATOR_IN_USE:
        _DRAWN.last = None
        before = [own.get_state() for own in seeded]
        numpys, pythons = (_numpys(), random.getstate()) if others else (None, None)
        for own in seeded:
            own.manual_seed(key)
        if others:
            np.random.seed(key % 2**32)  # the generator that others draw from
            random.seed(key)
        try:
            yield generator
        finally:
            for own, state in zip(seeded, before, strict=True):
                own.set_state(state)
            if numpys is not None and pythons is not None:
                np.random.set_state(numpys)
                random.setstate(pythons)


def other_states() -> tuple[object, ...]:
    """The states of the default generators of NumPy and of Python, to be compared with those of another time."""
    kind, words, *rest = _numpys()
    return kind, words.tobytes(), *rest, random.getstate()


def _numpys() -> tuple[Any, ...]:
    found = np.random.get_state()  # the generator that others draw from
    assert isinstance(found, tuple)
    return found
