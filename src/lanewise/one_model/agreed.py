"""What ranks that train one model compare before the first step: others would train on in silence, each its own way."""

import hashlib
import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.models.batch import leaves
from lanewise.tuning.inputs.sources import Source

COMPARED = 64
"""So many rows tell data of one rank from that of another where reading all would take long."""

COMPARED_BYTES = 2**26
"""Tables up to this size are compared whole."""


def check_same_model(module: nn.Module, ranks: Ranks) -> None:
    """Raise ``UsageError`` on all ranks where their models differ, with the first layer or weight that does."""
    parts = parts_of(module)
    if len(set(ranks.gather(hashlib.sha256(repr(parts).encode()).digest()))) == 1:
        return
    first, *others = (json.loads(told) for told in ranks.gather(json.dumps(parts).encode()))
    for rank, own in enumerate(others, start=1):
        for here, there in zip_longest(first, own, fillvalue="nothing more"):
            if here != there:
                message = (
                    f"rank {rank} has a model with {there}, that of rank 0 has {here}; start all ranks with the same "
                    "command, data and versions"
                )
                raise UsageError(message)


def parts_of(module: nn.Module) -> list[str]:
    """The layers of a model, each before its weights and buffers, with their shapes.

    >>> parts_of(nn.Sequential(nn.Linear(2, 1, bias=False)))
    ['Sequential', 'layer 0 Linear', '0.weight of shape (1, 2), float32']
    """
    weights: dict[str, list[str]] = {}
    for name, own in module.state_dict().items():
        said = f"{name} of shape {tuple(own.shape)}, {str(own.dtype).removeprefix('torch.')}"
        weights.setdefault(name.rpartition(".")[0], []).append(said)
    parts: list[str] = []
    for name, layer in module.named_modules():
        kind = type(layer).__qualname__
        parts += [f"layer {name} {kind}" if name else kind, *weights.pop(name, ())]
    return [*parts, *(said for own in weights.values() for said in own)]


def rows_told(source: Source) -> str | None:
    """A digest of a table, of a large one that of some rows.

    None where rows are loaded as they are needed, which may draw each time anew.

    >>> table = (torch.zeros(100, 2), torch.zeros(100))
    >>> rows_told(Source(name="data", rows=100, table=table)) == rows_told(Source(name="data", rows=100, table=table))
    True
    """
    if source.table is None:
        return None
    each = sum(own[:1].nbytes for _, own in leaves(source.batch(torch.arange(1))) if isinstance(own, Tensor))
    count = source.rows if source.rows * each <= COMPARED_BYTES else min(source.rows, COMPARED)
    some = torch.arange(count) * (source.rows - 1) // max(1, count - 1)  # linspace rounds beyond the last of 2^24 rows
    found = hashlib.sha256()
    for name, own in leaves(source.batch(some)):
        if isinstance(own, Tensor):
            found.update(f"{name} {own.dtype} {tuple(own.shape)};".encode())
            found.update(own.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if own.numel() else b"")
    return found.hexdigest()[:12]


def name_told(loss: Any) -> str:
    """The name of a loss: of two functions of the same name nothing is told.

    >>> name_told(torch.nn.MSELoss()), name_told(torch.nn.functional.mse_loss)
    ('MSELoss', 'mse_loss')
    """
    return str(getattr(loss, "__qualname__", type(loss).__qualname__))


def optimizer_told(made: Optimizer) -> Mapping[str, Any]:
    """The rates of an optimizer and its other settings, by group."""
    rates = [_plain(group["lr"]) for group in made.param_groups]
    others = [
        {name: _plain(own) for name, own in group.items() if name not in ("params", "lr")}
        for group in made.param_groups
    ]
    return {"lr": rates[0] if len(rates) == 1 else rates, "settings of the optimizer": others}


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    return value if isinstance(value, int | float | str | tuple | list | None) else type(value).__name__
