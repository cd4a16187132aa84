"""How a point that a user sees, a number, an array or a tree of tensors, lies in a row ``[P]``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import UsageError

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

    def row(self, point: object, name: str) -> Tensor:
        """The numbers ``[P]`` of another point of this form, or of one vector of all its numbers."""
        leaves: list[Tensor] = []
        tree = _measure(point, leaves, name)
        row = torch.cat([leaf.detach().to(torch.float64).reshape(-1) for leaf in leaves])
        if tree == self.tree or (len(leaves) == 1 and len(row) == self.width):
            return row
        message = f"{name} must have the shape of x0, {describe(self.tree)}; got {describe(tree)}"
        raise UsageError(message)

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
