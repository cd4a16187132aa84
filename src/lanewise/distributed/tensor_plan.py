"""Which weight matrices the axis ``tensor`` splits, and how: found in the structure of a model, or as the user says."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import final

from torch import nn

from lanewise.distributed.mesh import Mesh
from lanewise.errors import UsageError, suggestion

COLUMN, ROW, GATHERED = "column", "row", "gathered"
STYLES = (COLUMN, ROW, GATHERED)
"""Of a linear layer: ``column`` gives each rank some outputs, ``row`` some inputs, whose products are summed over ranks
(it follows ``column``), ``gathered`` some outputs that every rank then gets all of. Of an embedding, whose outputs
every rank gets all of: ``row`` gives it some entries, ``column`` some of the width."""

ELEMENTWISE = (
    nn.CELU,
    nn.Dropout,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)
"""Layers without weights that may stand between a pair: what they do to a unit does not depend on the others."""

PAIRS = (
    (("linear1",), "linear2"),
    (("fc1",), "fc2"),
    (("lin1",), "lin2"),
    (("c_fc",), "c_proj"),
    (("gate", "up"), "down"),
    (("up",), "down"),
    (("gate_proj", "up_proj"), "down_proj"),
    (("up_proj",), "down_proj"),
    (("w1", "w3"), "w2"),
    (("w1",), "w2"),
)
"""Names under which feed-forward blocks keep the layers that widen, and the one that comes back; with a gate
first."""

ATTENTION = (
    ("q", "k", "v"),
    ("wq", "wk", "wv"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("query", "key", "value"),
    ("to_q", "to_k", "to_v"),
)
OUTPUT = ("o", "wo", "o_proj", "out", "out_proj", "out_lin", "output", "proj", "dense", "to_out")
"""Names under which attention keeps its projections."""

HEADS = ("num_heads", "n_heads", "n_head", "nhead", "heads", "num_attention_heads")
GROUPS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head", "kv_heads")
"""Names under which it keeps how many heads it has, and how many share keys and values."""


@final
@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """``styles`` of the layers that are split, one of :data:`STYLES`, by their names in the model; ``heads`` are
    attributes of attention modules that count the heads of a rank from now on."""

    styles: Mapping[str, str]
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        """As ``tensor_plan`` takes it; layers that differ in their numbers only are one pattern.

        >>> str(TensorPlan(styles={"blocks.0.up": "column", "blocks.1.up": "column"}))
        "{'blocks.*.up': 'column'}"
        """
        numbered = {name: re.sub(r"(?<![^.])\d+(?![^.])", "*", name) for name in self.styles}
        found: dict[str, set[str]] = {}
        for name, style in self.styles.items():
            found.setdefault(numbered[name], set()).add(style)
        alike = {numbered[name] if len(found[numbered[name]]) == 1 else name: own for name, own in self.styles.items()}
        return repr(alike)


def plan_of(module: nn.Module, mesh: Mesh, given: Mapping[str, str] | None = None) -> TensorPlan:
    """The plan for ``module`` over the axis ``tensor`` of ``mesh``; ``given`` maps patterns of names to styles.

    Without ``given``: pairs of linear layers in a ``Sequential`` or under usual names are ``column`` then ``row``, as
    are the projections of attention; embeddings are split by row or column, all other linear layers ``gathered`` where
    their outputs divide. What two modules share stays whole, as does every other kind of layer.

    Raises ``UsageError`` where sizes do not divide, with the number to change, and where nothing is to be split.

    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> plan_of(model, Mesh(tensor=2)).styles
    {'0': 'column', '2': 'row'}
    >>> plan_of(model, Mesh(tensor=3))
    Traceback (most recent call last):
    lanewise.errors.UsageError: layer 0: 8 hidden units do not split evenly over tensor=3; set tensor to 1, 2, 4 or 8,
    or hidden to 6 or 9
    """
    own = dict(module.named_modules())
    styles = _found(own, mesh) if given is None else _given(own, given)
    if not styles:
        message = (
            f"mesh {mesh} splits linear layers and embeddings along tensor, and the model has none that can be; leave "
            "tensor out, or name them in tensor_plan"
        )
        raise UsageError(message)
    for name, style in styles.items():
        _check(name, own[name], style, mesh)
    heads = {}
    for name, one in own.items():
        parts = _attention_of(name, one)
        if parts and all(styles.get(part) == COLUMN for part in parts[:-1]):
            heads[name] = _heads_of(one)
            for attribute in heads[name]:
                _fits(name or "the model", mesh, heads=getattr(one, attribute))
    return TensorPlan(styles=styles, heads=heads)


def _found(own: Mapping[str, nn.Module], mesh: Mesh) -> dict[str, str]:
    shared = _shared(own)
    styles: dict[str, str] = {}
    for columns, row in _pairs(own):
        names = (*columns, row)
        if not any(name in styles or name in shared for name in names):
            styles |= dict.fromkeys(columns, COLUMN) | {row: ROW}
    for name, one in own.items():
        if name in styles or name in shared:
            continue
        if type(one) is nn.Linear and one.out_features % mesh.tensor == 0:
            styles[name] = GATHERED
        elif type(one) is nn.Embedding and one.max_norm is None and not one.sparse:
            if one.num_embeddings % mesh.tensor == 0 and one.padding_idx is None:
                styles[name] = ROW
            elif one.embedding_dim % mesh.tensor == 0:
                styles[name] = COLUMN
    return styles


def _pairs(own: Mapping[str, nn.Module]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Layers to be split by column, and the one to be split by row that takes what they make."""
    for name, one in own.items():
        prefix = f"{name}." if name else ""
        if isinstance(one, nn.Sequential):
            yield from _in_sequence(prefix, one)
            continue
        parts = _attention_of(name, one)
        if parts:
            yield parts[:-1], parts[-1]
        for firsts, last in PAIRS:
            linear = [_linear(one, part) for part in (*firsts, last)]
            widths = {layer.out_features for layer in linear[:-1] if layer is not None}
            if None not in linear and linear[-1] is not None and widths == {linear[-1].in_features}:
                yield tuple(prefix + part for part in firsts), prefix + last


def _in_sequence(prefix: str, one: nn.Sequential) -> Iterator[tuple[tuple[str, ...], str]]:
    before: tuple[str, nn.Linear] | None = None
    for part, layer in one.named_children():
        if type(layer) is nn.Linear:
            if before is not None and before[1].out_features == layer.in_features:
                yield (prefix + before[0],), prefix + part
                before = None
            else:
                before = part, layer
        elif not isinstance(layer, ELEMENTWISE):
            before = None


def _attention_of(name: str, one: nn.Module) -> tuple[str, ...]:
    """The names of the projections of attention, that of its outputs last; none where this is no plain attention."""
    prefix = f"{name}." if name else ""
    last = next((part for part in OUTPUT if _linear(one, part) is not None), None)
    firsts = next((parts for parts in ATTENTION if all(_linear(one, part) is not None for part in parts)), None)
    if last is None or firsts is None or not _heads_of(one):
        return ()
    own = {id(weight) for part in (*firsts, last) for weight in getattr(one, part).parameters()}
    if any(id(weight) not in own for weight in one.parameters()):
        return ()  # a weight of its own may work on heads, of which a rank has some
    return (*(prefix + part for part in firsts), prefix + last)


def _heads_of(one: nn.Module) -> tuple[str, ...]:
    count = [name for name in HEADS if isinstance(getattr(one, name, None), int)]
    return tuple(count + [name for name in GROUPS if isinstance(getattr(one, name, None), int)]) if count else ()


def _linear(one: nn.Module, part: str) -> nn.Linear | None:
    layer = getattr(one, part, None)
    return layer if type(layer) is nn.Linear else None


def _shared(own: Mapping[str, nn.Module]) -> set[str]:
    """Names of modules that hold a weight which another one holds too."""
    holders: dict[int, set[str]] = {}
    for name, one in own.items():
        for weight in one.parameters(recurse=False):
            holders.setdefault(id(weight), set()).add(name)
    return {name for names in holders.values() if len(names) > 1 for name in names}


def _given(own: Mapping[str, nn.Module], given: Mapping[str, str]) -> dict[str, str]:
    offered = {name: one for name, one in own.items() if type(one) in (nn.Linear, nn.Embedding)}
    shared = _shared(own)
    styles: dict[str, str] = {}
    for pattern, style in given.items():
        if style not in STYLES:
            message = f"tensor_plan[{pattern!r}] is {style!r}; {suggestion(style, STYLES)}"
            raise UsageError(message)
        names = [name for name in offered if _matches(name, pattern)]
        if not names:
            message = (
                f"tensor_plan has {pattern!r}, which names no Linear and no Embedding of the model; "
                f"{suggestion(pattern, offered, place='model.named_modules()')}"
            )
            raise UsageError(message)
        styles |= dict.fromkeys(names, style)
    for name in styles:
        if name in shared:
            message = f"layer {name} shares a weight with another one, so tensor cannot split it; leave it whole"
            raise UsageError(message)
    return styles


def _matches(name: str, pattern: str) -> bool:
    """Whether each part of a dotted name is what the pattern has in its place; ``*`` is any one part."""
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _check(name: str, one: nn.Module, style: str, mesh: Mesh) -> None:
    if isinstance(one, nn.Linear):
        size = one.in_features if style == ROW else one.out_features
    else:
        assert isinstance(one, nn.Embedding)
        size = one.num_embeddings if style == ROW else one.embedding_dim
        if style == ROW and one.padding_idx is not None:
            message = f"layer {name}: an embedding with padding_idx is split by column only; set it to 'column'"
            raise UsageError(message)
        if style == ROW and size % mesh.tensor:
            message = (
                f"layer {name}: {size} entries do not split evenly over tensor={mesh.tensor}; set num_embeddings to "
                f"{-size // mesh.tensor * -mesh.tensor}, or split it by 'column'"
            )
            raise UsageError(message)
    _fits(f"layer {name}", mesh, hidden=size)


def _fits(where: str, mesh: Mesh, **sizes: int) -> None:
    try:
        mesh.check(**sizes)
    except UsageError as error:
        message = f"{where}: {error}"
        raise UsageError(message) from None
