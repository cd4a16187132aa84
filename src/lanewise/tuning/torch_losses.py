"""What torch's own losses take of outputs and targets, in words: their own errors name sizes of tensors at best."""

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.training.modules.subject import FUNCTIONS

NAMES: Final = {
    nn.BCELoss: "BCELoss",
    nn.BCEWithLogitsLoss: "bce_with_logits",
    nn.CrossEntropyLoss: "cross_entropy",
    nn.HuberLoss: "huber",
    nn.L1Loss: "l1",
    nn.MSELoss: "mse",
    nn.SmoothL1Loss: "smooth_l1",
}


BINARY: Final = (nn.BCELoss, nn.BCEWithLogitsLoss)
"""Losses of two classes, whose targets are floating numbers from 0 to 1."""

KNOWN: Final = (*FUNCTIONS, (F.binary_cross_entropy, nn.BCELoss))
"""Functions of torch, each with the class of the same loss."""


def kind_of(loss: Callable[..., Any]) -> type[nn.Module] | None:
    """The class of one of torch's own losses that are known here; None for any other."""
    known = type(loss) if isinstance(loss, nn.Module) else next((own for one, own in KNOWN if one is loss), None)
    return known if known in NAMES else None


def is_vain(loss: Callable[..., Any], outputs: Any, targets: Tensor) -> bool:
    """Whether torch computes something that no module can learn by: :func:`misfit` says why.

    Cross-entropy over a single output is always 0. Classes that are compared with outputs ``[n, 1]`` number by number
    are paired each with each; that numbers are is noticed by their losses.
    """
    kind = kind_of(loss)
    if kind is None or not isinstance(outputs, Tensor) or not targets.numel():
        return False
    if kind is nn.CrossEntropyLoss:
        return outputs.dim() > 1 and outputs.shape[1] == 1
    alike = outputs.shape == targets.shape or outputs.numel() != targets.numel()
    return not alike and not targets.is_floating_point()


def misfit(loss: Callable[..., Any], outputs: Any, targets: Tensor) -> str:
    """Why one of torch's own losses cannot be what ``targets [n, ...]`` and ``outputs [n, ...]`` are trained by.

    The words say what the loss takes, what the targets are, and what fits; empty where nothing is known to be wrong.
    """
    kind = kind_of(loss)
    if kind is None or not isinstance(outputs, Tensor) or not outputs.dim() or not targets.numel():
        return ""
    if kind is nn.CrossEntropyLoss:
        return _not_classes(loss, outputs, targets) if outputs.dim() > 1 else ""
    return _not_paired(kind, outputs, targets)


def _not_paired(kind: type[nn.Module], outputs: Tensor, targets: Tensor) -> str:
    """Of a loss that compares element by element."""
    takes = f"the loss {NAMES[kind]} compares each output with a target of its own"
    whole = not targets.is_floating_point()
    if outputs.shape == targets.shape:
        return f"{takes}, as floating numbers; give them as y.float()" if whole and kind in BINARY else ""
    those = f"the outputs are {_form(outputs)}, and the targets {_form(targets)}, {_numbers(targets)}"
    as_float = " and as floating numbers, y.float()" if whole and kind in BINARY else ""
    if outputs.numel() == targets.numel():
        return f"{takes}, but {those}; give them in the shape of the outputs{as_float}"
    if whole and outputs.dim() == targets.dim() + 1:
        return f"{takes}, but {those}, as classes are; take the loss cross_entropy for classes"
    one = "[rows, 1]" if targets.dim() == 1 else _rows(targets)
    same = f", and targets of that shape{as_float}" if targets.dim() == 1 else as_float
    return f"{takes}, but {those}; let the module return {one}, an output for each target{same}"


def _not_classes(loss: Any, outputs: Tensor, targets: Tensor) -> str:
    """Of cross-entropy: ``outputs [n, classes, ...]``, ``targets [n, ...]`` or like the outputs."""
    if outputs.shape[1] == 1:
        why = _single(targets)
    elif targets.is_floating_point():
        why = _fractions(outputs, targets)
    else:
        why = _classes(outputs, targets, getattr(loss, "ignore_index", -100))
    return (
        f"the loss cross_entropy takes classes, one for each row, and an output for each class, but {why}"
        if why
        else ""
    )


def _single(targets: Tensor) -> str:
    two = _is_whole(targets) and int(targets.min()) >= 0 and int(targets.max()) <= 1
    fits = "bce_with_logits for two classes" if two else "mse for numbers"
    more = "" if targets.is_floating_point() else f", or {_more_classes(targets)}"
    return f"the module has a single output, and {_those(targets)}; take the loss {fits}{more}"


def _fractions(outputs: Tensor, targets: Tensor) -> str:
    if targets.shape == outputs.shape:
        return ""
    if not _is_whole(targets):
        return f"{_those(targets)}; for numbers such as these take the loss mse, with an output for each"
    flat = "" if targets.shape == (len(outputs), *outputs.shape[2:]) else ".flatten()"
    return f"{_those(targets)} of floating type; give them as y.long(){flat}"


def _classes(outputs: Tensor, targets: Tensor, left_out: int) -> str:
    classes, shape = outputs.shape[1], (len(outputs), *outputs.shape[2:])
    own = targets[targets != left_out]
    if targets.shape != shape:
        hint = "y.flatten()" if targets.numel() == len(outputs) else f"a shape of {_rows(outputs[:, 0])}"
        return f"{_those(targets)}; give them as {hint}"
    if targets.dtype != torch.int64:
        return f"the targets are {_name(targets)}; give them as y.long()"
    if own.numel() and int(own.min()) < 0:
        return f"{_those(targets)}; number the classes from 0"
    if own.numel() and int(own.max()) >= classes:
        return f"the module has {classes} outputs, and {_those(targets)}; {_more_classes(targets)}"
    return ""


def _those(targets: Tensor) -> str:
    return f"the targets are {_form(targets)}, {_numbers(targets)}"


def _more_classes(targets: Tensor) -> str:
    """That the module must have an output for every class, of which the first batch may not show all."""
    return f"let the module have an output for each of the classes 0 to {int(targets.max())} or more"


def _is_whole(targets: Tensor) -> bool:
    if not targets.is_floating_point():
        return True  # torch does not round those that are True or False
    return bool((targets.isfinite() & (targets == targets.round())).all())


def _numbers(targets: Tensor) -> str:
    """What numbers they are, in words.

    >>> _numbers(torch.tensor([0, 2, 1])), _numbers(torch.tensor([0.5, 2.25]))
    ('whole numbers from 0 to 2', 'numbers from 0.5 to 2.25')
    """
    low, high = targets.min(), targets.max()
    if _is_whole(targets):
        return f"whole numbers from {int(low)} to {int(high)}"
    return f"numbers from {float(low):.4g} to {float(high):.4g}"


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {_name(tensor)}"


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _rows(targets: Tensor) -> str:
    return f"[{', '.join(['rows', *map(str, targets.shape[1:])])}]"
