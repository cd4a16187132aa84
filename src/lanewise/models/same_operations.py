"""Whether a module does the same tensor operations at every call, as far as its source tells.

A CUDA graph repeats what the device did while it was recorded, and nothing of what Python did: a counter would stand
still. So a step is recorded only where Python does nothing but call torch. Of torch's own layers that is known. Of a
``forward`` that somebody wrote it is read from the source: it may call torch's operations, layers, and functions and
methods of which the same holds, and it may use numbers and words; it may not change or ask anything else. What is not
understood counts as if it did more.
"""

import ast
import builtins
import inspect
import math
import textwrap
from collections import ChainMap
from collections.abc import Callable
from functools import cached_property
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, final

import torch
from torch import Tensor, nn

_STATEMENTS: Final = (
    ast.Return | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.If | ast.Expr | ast.Assert | ast.Raise
)
_JUMPS: Final = ast.Pass | ast.Break | ast.Continue
_EXPRESSIONS: Final = (
    ast.BoolOp | ast.BinOp | ast.UnaryOp | ast.IfExp | ast.Compare | ast.Call | ast.Subscript | ast.Slice | ast.Starred
)
_LITERALS: Final = ast.Constant | ast.JoinedStr | ast.FormattedValue | ast.List | ast.Tuple | ast.Dict
_LOOPS: Final = ast.ListComp | ast.DictComp | ast.GeneratorExp | ast.comprehension | ast.keyword
_SIGNS: Final = ast.operator | ast.unaryop | ast.boolop | ast.cmpop | ast.expr_context
_KNOWN: Final = _STATEMENTS | _JUMPS | _EXPRESSIONS | _LITERALS | _LOOPS | _SIGNS

# Else each name would have a line of its own.
# fmt: off
_BUILTINS: Final = frozenset([
    "abs", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list", "max", "min", "range", "reversed",
    "round", "sorted", "str", "sum", "tuple", "zip",
    "AssertionError", "IndexError", "NotImplementedError", "RuntimeError", "TypeError", "ValueError",
])
_TO_THE_HOST: Final = frozenset([
    "cpu", "cuda", "item", "numpy", "non_blocking", "pin_memory", "register_hook", "tolist",
])
# fmt: on
_CONSTANTS: Final = bool | int | float | str | None | torch.dtype | torch.device
_NAMESPACES: Final = (torch, nn, nn.functional, torch.special, torch.linalg, torch.fft, math)
_C: Final[Any] = torch._C  # untyped
_OPERATIONS: Final = (_C._VariableFunctions, _C._nn, torch.functional, *_NAMESPACES[2:])
"""What holds operations and nothing else; ``torch`` itself has much beside them."""

_DRAWING: Final = ("rand", "normal", "bernoulli", "multinomial", "poisson")
"""Beginnings of operations that draw: of a module it is seen what it draws, of a function not."""

_AT_BUILDING: Final = frozenset(["__init__", "__repr__", "__getstate__", "__setstate__"])
"""Methods that no call of a module reaches."""

_MADE: Final = (Tensor, list, tuple, dict, str)
"""What values of a call are. A name that none of these has is a layer's, whose method nobody has read."""

_LOCAL: Final = object()
"""Stands for a value that is made during a call: of tensors, numbers, layers and what is known to be as plain."""


def same_operations(called: Callable[..., Any]) -> bool:
    """Whether each call of a module or a function does the same tensor operations and nothing else.

    >>> same_operations(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    True
    >>> same_operations(print)
    False
    """
    if isinstance(called, nn.Module):
        return all(_plain(part) for part in called.modules())
    return isinstance(called, FunctionType) and (_from_torch(called) or _reads_plain(called, None, set()))


def altered(module: nn.Module) -> bool:
    """Whether calling the module does more than its class says: hooks, or a forward of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


def _plain(part: nn.Module) -> bool:
    if altered(part):
        return False
    kind = type(part)
    theirs = [base for base in kind.__mro__ if _from_torch(base) or base is object]
    own = {name for base in kind.__mro__ if base not in theirs for name, value in vars(base).items() if _written(value)}
    if not (_from_torch(kind.forward) or "forward" in own):
        return False
    replaced = {name for name in own - _AT_BUILDING if name[0] == "_" and any(hasattr(base, name) for base in theirs)}
    return all(_reads_plain(getattr(kind, name), part, set()) for name in {*replaced, *own & {"forward"}})


def _written(value: Any) -> bool:
    """Whether an entry of a class runs code of whoever wrote the class."""
    return isinstance(value, FunctionType | property | staticmethod | classmethod)


def _reads_plain(function: Any, owner: nn.Module | None, seen: set[Any]) -> bool:
    """Whether the source of a function, or of a method of ``owner``, has nothing but tensor operations in it."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):  # its source is that of another
        return False
    if (function, owner) in seen:
        return True
    seen.add((function, owner))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return False
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        return False
    try:
        _Reader(function, tree, owner, seen).read()
    except Exception:  # whatever the objects of others do when they are asked: it is not understood
        return False
    return True


class _Unknown(Exception):
    """Something in the source that is not known to be a tensor operation."""


@final
class _Reader:
    """Reads one function; ``self`` in it, if it is a method, is ``owner``."""

    def __init__(self, function: FunctionType, tree: ast.FunctionDef, owner: nn.Module | None, seen: set[Any]) -> None:
        self._tree, self._owner, self._seen = tree, owner, seen
        self._outside = ChainMap(dict(inspect.getclosurevars(function).nonlocals), function.__globals__)
        self._arguments = [one.arg for one in ast.walk(tree.args) if isinstance(one, ast.arg)]
        named = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        self._locals = {*self._arguments, *named}
        if owner is not None:
            self._locals.discard(self._arguments[0])

    def read(self) -> None:
        """Raises ``_Unknown``."""
        for default in (*self._tree.args.defaults, *self._tree.args.kw_defaults):
            if default is not None and not isinstance(default, ast.Constant):
                raise _Unknown
        for statement in self._tree.body:
            self._node(statement)

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name | ast.Attribute):
            self._value(node)
            return
        if not isinstance(node, _KNOWN) or (isinstance(node, ast.keyword) and node.arg in _TO_THE_HOST):
            raise _Unknown
        changed = node.value if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) else None
        if changed is not None and self._value(changed) is not _LOCAL:
            raise _Unknown
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.AnnAssign) and child is node.annotation):
                self._node(child)

    def _value(self, node: ast.AST) -> Any:
        """What a name or an attribute stands for; ``_LOCAL`` for whatever is made in the call."""
        if isinstance(node, ast.Name):
            return _LOCAL if node.id in self._locals else self._checked(self._named(node.id), node.id)
        if not isinstance(node, ast.Attribute):
            self._node(node)
            return _LOCAL
        base = self._value(node.value)
        if isinstance(node.ctx, ast.Store) or node.attr in _TO_THE_HOST or node.attr.startswith("__"):
            raise _Unknown
        if isinstance(base, Tensor):
            return _LOCAL
        if base is _LOCAL:
            if not any(hasattr(kind, node.attr) for kind in _MADE):
                raise _Unknown
            return _LOCAL
        if isinstance(inspect.getattr_static(base, node.attr, None), property | cached_property):
            raise _Unknown  # it may be another at the next call
        return self._checked(getattr(base, node.attr, _Unknown), node.attr, of=base)

    def _named(self, name: str) -> Any:
        if self._owner is not None and name == self._arguments[0]:
            return self._owner
        if name in self._outside:
            return self._outside[name]
        return getattr(builtins, name) if name in _BUILTINS else _Unknown

    def _checked(self, value: Any, name: str, *, of: Any = None) -> Any:
        """``value``, which is called ``name`` as a part ``of`` something or else outside the function, if plain."""
        if isinstance(value, nn.Module):  # parts are asked by themselves
            part = isinstance(of, nn.Module) and of._modules.get(name) is value
            plain = value is self._owner or part or same_operations(value)
        elif isinstance(value, Tensor):  # others do not lie where the module does
            plain = isinstance(of, nn.Module) and (name in of._parameters or name in of._buffers)
        elif _constant(value):
            plain = of is not None or name.isupper() or isinstance(value, torch.dtype)  # who knows who changes others
        elif isinstance(value, MethodType) and isinstance(of, nn.Module) and value.__self__ is of:
            plain = _reads_plain(value.__func__, of, self._seen)
        elif isinstance(value, FunctionType) and not _from_torch(value):
            plain = _reads_plain(value, None, self._seen)
        else:
            plain = _is_offered(value, name) and not (self._owner is None and name.startswith(_DRAWING))
        if not plain:
            raise _Unknown
        return value


def _from_torch(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").startswith("torch.")


def _constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_constant, value))
    return isinstance(value, _CONSTANTS)


def _is_offered(value: Any, name: str) -> bool:
    """Whether it is a namespace of torch's operations, one of these, or a function of Python that asks nothing."""
    if isinstance(value, ModuleType):
        return value in _NAMESPACES
    if isinstance(value, type):
        return value in (Tensor, nn.Module) or (name in _BUILTINS and value is getattr(builtins, name))
    if name.startswith("_") or not callable(value):
        return False
    if name in _BUILTINS:
        return value is getattr(builtins, name)
    return any(
        getattr(space, own, None) is value for space in _OPERATIONS for own in (name, getattr(value, "__name__", name))
    )
