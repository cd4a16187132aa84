"""How a point that a user sees, a number, an array or a tree of tensors, lies in a row ``[P]``."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import UsageError, suggestion

Leaf = Callable[[Tensor], Any]


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One leaf: ``size`` numbers of a row from ``start`` on, as an array of ``shape``."""

    start: int
    size: int
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The shape of a point: a leaf, or dicts, lists and tuples of leaves.

    ``torch`` says that a tensor was among the leaves; points are then shown as tensors, else as
    float64 arrays of NumPy. A list or tuple of plain numbers is one vector.

    >>> form, row = Form.of({"a": torch.zeros(2), "b": [1.0, 2.0]})
    >>> row.tolist(), form.width
    ([0.0, 0.0, 1.0, 2.0], 4)
    >>> form.tensors(row)["b"]
    tensor([1., 2.], dtype=torch.float64)
    """

    tree: Any
    width: int
    torch: bool

    @classmethod
    def of(cls, point: object) -> tuple["Form", Tensor]:
        """The form of a point and its numbers ``[P]`` in float64. Raises ``UsageError`` for other things."""
        leaves: list[Tensor] = []
        tree = _measure(point, leaves, "x0")
        devices = {leaf.device for leaf in leaves}
        if len(devices) > 1:
            message = f"all tensors of x0 must lie on one device, got {', '.join(sorted(map(str, devices)))}"
            raise UsageError(message)
        width = sum(leaf.numel() for leaf in leaves)
        if width == 0:
            message = "x0 must hold at least one number, got none"
            raise UsageError(message)
        row = torch.cat([leaf.detach().to(torch.float64).reshape(-1) for leaf in leaves])
        return cls(tree=tree, width=width, torch=_has_tensor(point)), row

    def tensors(self, row: Tensor) -> Any:
        """The point of a row ``[P]``, made of views of it."""
        return self._build(self.tree, lambda piece: row[piece.start : piece.start + piece.size].reshape(piece.shape))

    def arrays(self, row: Tensor) -> Any:
        """The point of a row ``[P]`` as float64 arrays; a single number is an array without axes."""
        numbers = row.detach().cpu().numpy().astype(np.float64)  # a copy, which the function may change
        return self._build(
            self.tree, lambda piece: numbers[piece.start : piece.start + piece.size].reshape(piece.shape)
        )

    def shown(self, row: Tensor) -> Any:
        """A point of a solution: like the ``x0`` that was given; a plain number becomes a float."""
        if self.torch:
            return self.tensors(row.detach().clone())
        arrays = self.arrays(row)
        return float(arrays) if isinstance(self.tree, _Piece) and self.tree.shape == () else arrays

    def row(self, point: object, name: str, *, fill: float | None = None) -> Tensor:
        """The numbers ``[P]`` of another point of this form, or of one vector of all its numbers.

        With ``fill`` a part of it may also be one number, for all of that part, or None, which stands for ``fill``, as
        it does in lists of numbers.
        """
        leaves: list[Tensor] = []
        alike = isinstance(point, Mapping)
        if isinstance(self.tree, (list, tuple)):
            alike |= isinstance(point, (list, tuple)) and len(point) == len(self.tree)
        if alike:
            _follow(self.tree, point, leaves, name, fill)
        else:
            whole = _Piece(start=0, size=self.width, shape=self.tree.shape if isinstance(self.tree, _Piece) else ())
            leaves.append(_leaf(whole, point, name, fill, describe(self.tree)))
        return torch.cat([leaf.detach().to(torch.float64).reshape(-1) for leaf in leaves])

    def place(self, number: int) -> str:
        """What the number in that place of a row is called: by its path where ``x0`` is a tree.

        >>> form, _ = Form.of({"a": [0.0, 0.0], "b": torch.zeros(2, 2)})
        >>> form.place(1), form.place(3), Form.of([0.0, 0.0])[0].place(1)
        ("x0['a'][1]", "x0['b'][0, 1]", 'variable 1')
        """
        if isinstance(self.tree, _Piece):
            return f"variable {number}"
        path, piece = next((path, one) for path, one in _pieces(self.tree) if number < one.start + one.size)
        index = ", ".join(map(str, np.unravel_index(number - piece.start, piece.shape))) if piece.shape else ""
        return f"x0{path}[{index}]" if index else f"x0{path}"

    def _build(self, tree: Any, leaf: Callable[[_Piece], Any]) -> Any:
        if isinstance(tree, _Piece):
            return leaf(tree)
        if isinstance(tree, dict):
            return {name: self._build(branch, leaf) for name, branch in tree.items()}
        return type(tree)(self._build(branch, leaf) for branch in tree)


def describe(tree: Any) -> str:
    """A form in words.

    >>> describe(Form.of({"a": np.zeros((2, 3)), "b": [0.0, 1.0]})[0].tree)
    '{a: [2, 3], b: [2]}'
    """
    if isinstance(tree, _Piece):
        return str(list(tree.shape))
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name}: {describe(branch)}" for name, branch in tree.items()) + "}"
    return "(" + ", ".join(describe(branch) for branch in tree) + ")"


def _pieces(tree: Any, path: str = "") -> Iterator[tuple[str, _Piece]]:
    """The leaves of a form in order, each with its path."""
    if isinstance(tree, _Piece):
        yield path, tree
        return
    for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _pieces(branch, f"{path}[{key!r}]")


def _follow(tree: Any, point: Any, leaves: list[Tensor], name: str, fill: float | None) -> None:
    """Append the leaves of ``point`` in the order of ``tree``, whatever the order of its own keys."""
    if isinstance(tree, _Piece):
        leaves.append(_leaf(tree, point, name, fill, describe(tree)))
        return
    keyed = isinstance(tree, dict)
    if point is None and fill is not None:
        point = dict.fromkeys(tree) if keyed else [None] * len(tree)
    if keyed and isinstance(point, Mapping):
        _check_keys(tree, point, name, fill)
    elif keyed or not isinstance(point, (list, tuple)) or len(point) != len(tree):
        raise _unlike(name, describe(tree), point)
    for key, branch in tree.items() if keyed else enumerate(tree):
        _follow(branch, point[key], leaves, f"{name}[{key!r}]", fill)


def _check_keys(tree: dict[Any, Any], point: Mapping[Any, Any], name: str, fill: float | None) -> None:
    """Refuse keys that ``x0`` does not have, and the lack of those that it has."""
    for key in point:
        if key not in tree:
            message = f"{name} has {key!r}, which x0 has not; {suggestion(key, map(str, tree))}"
            raise UsageError(message)
    for key in tree:
        if key not in point:
            message = f"{name} lacks {key!r}, which x0 has" + ("" if fill is None else "; give None where it is free")
            raise UsageError(message)


def _leaf(piece: _Piece, point: Any, name: str, fill: float | None, shape: str) -> Tensor:
    """The numbers of ``point``, which are those of ``piece`` or one vector of as many."""
    if fill is not None and point is None:
        return torch.full((piece.size,), fill, dtype=torch.float64)
    if isinstance(point, Mapping):
        raise _unlike(name, shape, point)
    leaf = _numbers(point if fill is None else _filled(point, fill), name)
    if fill is not None and leaf.ndim == 0:
        return leaf.expand(piece.size)
    if leaf.numel() == piece.size and (leaf.shape == piece.shape or leaf.squeeze().ndim <= 1):
        return leaf
    alone = "; write a number without a list for all of it" if fill is not None and leaf.numel() == 1 else ""
    message = f"{_unlike(name, shape, point)}{alone}"
    raise UsageError(message)


def _filled(point: Any, fill: float) -> Any:
    """A list with ``fill`` in the place of each None."""
    if isinstance(point, (list, tuple)):
        return [_filled(entry, fill) for entry in point]
    return fill if point is None else point


def _unlike(name: str, shape: str, point: Any) -> UsageError:
    return UsageError(f"{name} must have the shape of x0, {shape}; got {describe(_measure(point, [], name))}")


def _measure(point: object, leaves: list[Tensor], name: str) -> Any:
    if isinstance(point, Mapping):
        return {key: _measure(value, leaves, f"{name}[{key!r}]") for key, value in point.items()}
    if isinstance(point, (list, tuple)) and _is_tree(point):
        branches = [_measure(entry, leaves, f"{name}[{place}]") for place, entry in enumerate(point)]
        return branches if isinstance(point, list) else tuple(branches)
    leaf = _numbers(point, name)
    start = sum(earlier.numel() for earlier in leaves)
    leaves.append(leaf)
    return _Piece(start=start, size=leaf.numel(), shape=tuple(leaf.shape))


def _numbers(point: object, name: str) -> Tensor:
    if isinstance(point, Tensor):
        if point.is_complex():
            message = f"{name} must hold real numbers, got {point.dtype}"
            raise UsageError(message)
        return point
    try:
        if point is not None:  # which NumPy takes for nan
            return torch.from_numpy(np.array(point, dtype=np.float64))
    except (TypeError, ValueError):
        pass
    message = f"{name} must be numbers, an array, a tensor, or a dict, list or tuple of these; got {point!r:.80}"
    raise UsageError(message)


def _is_tree(point: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list holds arrays, tensors or dicts, however deep, rather than numbers alone."""
    return any(
        _is_tree(entry) if isinstance(entry, (list, tuple)) else isinstance(entry, (Tensor, np.ndarray, Mapping))
        for entry in point
    )


def _has_tensor(point: object) -> bool:
    if isinstance(point, Mapping):
        return any(_has_tensor(value) for value in point.values())
    if isinstance(point, (list, tuple)):
        return any(_has_tensor(entry) for entry in point)
    return isinstance(point, Tensor)
