"""Where a sequential model is cut into the stages of a pipeline."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.distributed.mesh import Mesh
from lanewise.errors import UsageError, suggestion


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of a ``Sequential`` in their order, by their names in the model; one within it is opened.

    Raises ``UsageError`` for a model that is none, or whose layers share a weight.

    >>> list(layers_of(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 1)))))
    ['0', '1.0', '1.1']
    """
    found = _opened("", module)
    if "" in found:
        message = (
            f"a pipeline takes a torch.nn.Sequential, whose layers follow one another, and the model is "
            f"{type(module).__name__}; write it as one, or leave pipeline out"
        )
        raise UsageError(message)
    holders: dict[int, str] = {}
    for name, layer in found.items():
        for weight in layer.parameters():
            other = holders.setdefault(id(weight), name)
            if other != name:
                message = f"layers {other} and {name} share a weight, which two stages of a pipeline cannot hold"
                raise UsageError(message)
    return found


def stages_of(layers: dict[str, nn.Module], mesh: Mesh, split: Sequence[str] | None = None) -> list[list[str]]:
    """The names of the layers of each stage along ``pipeline``: those of ``split`` begin the stages after the first.

    Without ``split`` the stage with most parameters has as few as can be.

    Raises ``UsageError`` where there are too few layers with weights to train, or ``split`` does not cut them so.

    >>> layers = layers_of(nn.Sequential(nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3), nn.Tanh(), nn.Linear(3, 1)))
    >>> stages_of(layers, Mesh(pipeline=2))
    [['0', '1'], ['2', '3', '4']]
    """
    names, parts = list(layers), mesh.pipeline
    trained = [sum(own.numel() for own in one.parameters() if own.requires_grad) for one in layers.values()]
    mesh.check(layers=sum(size > 0 for size in trained))
    starts = balanced(trained, parts) if split is None else _starts(names, split, parts)
    stages = [names[one:other] for one, other in pairwise([*starts, len(names)])]
    for place, (one, other) in enumerate(pairwise([*starts, len(names)])):
        if not any(trained[one:other]):
            message = f"stage {place} of split={list(split or [])} has no weight to train; cut the model elsewhere"
            raise UsageError(message)
    return stages


def balanced(sizes: Sequence[int], parts: int) -> list[int]:
    """Where each of ``parts`` begins, none of them empty, so that the largest sum of ``sizes`` is the smallest.

    >>> balanced([4, 0, 1, 1, 1, 1], 2)
    [0, 2]
    """
    sums = [0, *accumulate(sizes)]
    none = (float("inf"), -1)
    costs: list[tuple[float, int]] = [(0.0, 0), *[none] * len(sizes)]
    cuts: list[list[int]] = []
    for _ in range(parts):
        options = [
            [(max(costs[cut][0], sums[end] - sums[cut]), -cut) for cut in range(end) if sums[end] > sums[cut]]
            for end in range(len(sums))
        ]
        costs = [min(one, default=none) for one in options]
        cuts.append([-cut for _, cut in costs])
    starts, end = [], len(sizes)
    for one in reversed(cuts):
        end = one[end]
        starts.append(end)
    return starts[::-1]


def keep_only(module: nn.Module, names: Sequence[str], prefix: str = "") -> None:
    """Take all layers but ``names`` out of a ``Sequential`` and those within it; what stays keeps its name."""
    for part, child in list(module.named_children()):
        name = prefix + part
        if _is_sequence(child):
            keep_only(child, names, f"{name}.")
            if any(True for _ in child.children()):
                continue
        elif name in names:
            continue
        delattr(module, part)


def passed_on(layers: dict[str, nn.Module], inputs: Any) -> dict[str, Tensor]:
    """What each layer hands to the next one for a microbatch ``inputs [B, ...]``, without memory behind it.

    Raises ``UsageError`` for inputs that are not one tensor; a layer that makes anything else is not in the answer.
    """
    if not isinstance(inputs, Tensor):
        message = f"a pipeline takes one tensor as inputs, and a batch of the data has {type(inputs).__name__}"
        raise UsageError(message)
    found: dict[str, Tensor] = {}
    modes = [(own, own.training) for layer in layers.values() for own in layer.modules()]
    with torch.no_grad():
        for layer in layers.values():
            layer.eval()
        now: Any = inputs
        for name, layer in layers.items():
            now = layer(now)
            if isinstance(now, Tensor) and now.is_floating_point():
                found[name] = torch.empty_like(now, device="meta")
    for own, training in modes:
        own.training = training
    return found


def _opened(name: str, module: nn.Module) -> dict[str, nn.Module]:
    if not _is_sequence(module):
        return {name: module}
    found: dict[str, nn.Module] = {}
    for part, child in module.named_children():
        found |= _opened(f"{name}.{part}" if name else part, child)
    return found


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _starts(names: Sequence[str], split: Sequence[str], parts: int) -> list[int]:
    if len(split) != parts - 1:
        message = (
            f"split={list(split)} cuts the model into {len(split) + 1} stages, and pipeline={parts}; give {parts - 1}"
        )
        raise UsageError(message)
    for name in split:
        if name not in names[1:]:
            message = (
                f"split has {name!r}, with which no stage can begin; {suggestion(name, names[1:], place='layers')}"
            )
            raise UsageError(message)
    starts = [names.index(name) for name in split]
    if sorted(set(starts)) != starts:
        message = f"split must name layers in the order of the model, got {list(split)}"
        raise UsageError(message)
    return [0, *starts]
