"""A batch as modules, losses and steps get it: a tensor, or dicts and tuples of tensors whose rows belong together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.errors import UsageError

Tree = Any
"""A tensor ``[B, ...]``, or a dict, tuple or list of trees; other leaves are handed on as they are."""

TARGETS = "labels"
"""The key of a dict batch under which its targets lie."""

PAIR = 2
IMAGE_DIMS = 4


def mapped(change: Callable[[Any], Any], tree: Tree) -> Tree:
    """``tree`` with ``change`` applied to every leaf; a mapping becomes a dict.

    >>> mapped(lambda leaf: leaf + 1, {"a": 1, "b": (2, [3])})
    {'a': 2, 'b': (3, [4])}
    """
    if isinstance(tree, Mapping):
        return {name: mapped(change, own) for name, own in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(mapped(change, own) for own in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(change, own) for own in tree)
    return change(tree)


def leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with where it lies.

    >>> dict(leaves({"a": 1, "b": (2, 3)}, "X"))
    {"X['a']": 1, "X['b'][0]": 2, "X['b'][1]": 3}
    """
    if isinstance(tree, Mapping):
        for key, own in tree.items():
            yield from leaves(own, f"{name}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for place, own in enumerate(tree):
            yield from leaves(own, f"{name}[{place}]")
    else:
        yield name, tree


def channels_last(tree: Tree) -> Tree:
    """``tree`` with its images ``[B, C, H, W]`` laid out pixel by pixel: convolutions read all channels of one at once.

    >>> images = channels_last({"x": torch.zeros(2, 1, 3, 3)})["x"]
    >>> images.shape, images.stride()
    (torch.Size([2, 1, 3, 3]), (9, 1, 3, 1))
    """
    return mapped(lambda leaf: _pixels(leaf) if isinstance(leaf, Tensor) and leaf.dim() == IMAGE_DIMS else leaf, tree)


def _pixels(images: Tensor) -> Tensor:
    _, channels, height, width = images.shape
    laid = images.contiguous(memory_format=torch.channels_last)
    # Of one channel both layouts are the same; the strides tell convolutions which of them is meant.
    return laid.as_strided(laid.shape, (channels * height * width, 1, width * channels, channels))


def take(tree: Tree, rows: Tensor) -> Tree:
    """The rows ``[B]`` of every tensor."""
    return mapped(lambda leaf: leaf.index_select(0, rows), tree)


def joined(trees: Sequence[Tree]) -> Tree:
    """The rows of ``trees`` of one form, below each other.

    >>> joined([{"a": torch.zeros(2)}, {"a": torch.ones(1)}])
    {'a': tensor([0., 0., 1.])}
    """
    first = trees[0]
    if isinstance(first, Mapping):
        return {name: joined([tree[name] for tree in trees]) for name in first}
    if isinstance(first, tuple | list):
        parts = [joined([tree[place] for tree in trees]) for place in range(len(first))]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return torch.cat(list(trees))


def inputs_and_targets(batch: Tree, *, otherwise: str = "") -> tuple[Tree, Tree]:
    """What the module is called with and what its outputs are held against.

    Of a sequence the last is the targets, and one thing before it is the inputs as it is; of a dict its ``"labels"``
    are. Raises ``UsageError`` for a batch that has no targets; ``otherwise`` says what can be done without.

    >>> inputs_and_targets(("ids", "mask", "y"))
    (('ids', 'mask'), 'y')
    >>> inputs_and_targets({"ids": 1, "labels": 2})
    ({'ids': 1}, 2)
    """
    if isinstance(batch, tuple | list) and len(batch) >= PAIR:
        inputs = batch[0] if len(batch) == PAIR else tuple(batch[:-1])
        return inputs, batch[-1]
    if isinstance(batch, Mapping) and TARGETS in batch and len(batch) > 1:
        return {name: own for name, own in batch.items() if name != TARGETS}, batch[TARGETS]
    message = (
        f"a batch is {form_of(batch)}, which does not say what the targets are: give (inputs, targets) or a dict with "
        f"{TARGETS!r}{otherwise}"
    )
    raise UsageError(message)


def targets_of(batch: Tree) -> Tree:
    """The targets of a batch, by which its rows are counted; of one that has none all of it.

    >>> targets_of({"nodes": 1, "labels": 2}), targets_of({"nodes": 1})
    (2, {'nodes': 1})
    """
    try:
        return inputs_and_targets(batch)[1]
    except UsageError:
        return batch


def called(module: nn.Module, inputs: Tree) -> Any:
    """What ``module`` makes of ``inputs``: a dict is given by name, a tuple by place."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple | list) else module(inputs)


def how_called(batch: Tree) -> str:
    """How :func:`called` gives a batch of several parts, and what to do about it; parted from what was said before.

    >>> how_called(("X", "y"))
    ''
    """
    other = "to call it otherwise give step=, a function of the model and the batch that returns the loss"
    if isinstance(batch, Mapping):
        return f"; what is in a dict is given by name, but for {TARGETS!r}, the targets: {other}"
    if isinstance(batch, tuple | list) and len(batch) > PAIR:
        return f"; of {len(batch)} tensors the last is the targets, and those before it are given by place: {other}"
    return ""


def form_of(tree: Tree) -> str:
    """What ``tree`` is, in words: shapes and dtypes of its tensors.

    >>> import torch
    >>> form_of({"ids": torch.zeros(2, 3)})
    'dict(ids: (2, 3) float32)'
    """
    if isinstance(tree, Tensor):
        return f"{tuple(tree.shape)} {str(tree.dtype).removeprefix('torch.')}"
    if isinstance(tree, Mapping):
        return f"{type(tree).__name__}({', '.join(f'{name}: {form_of(own)}' for name, own in tree.items())})"
    if isinstance(tree, tuple | list):
        return f"{type(tree).__name__}({', '.join(map(form_of, tree))})"
    return type(tree).__name__
