"""The optimizer of one model: by name, by class or function, or one that was made already."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lanewise.distributed.portion import Portion
from lanewise.errors import UsageError, suggestion
from lanewise.optim import SAM
from lanewise.optim.drop_in import DropIn
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.tuning.drop_ins import DROP_INS

ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.ASGD,
    torch.optim.Rprop,
)
"""torch's own that treat each number of a weight by itself."""

Given = str | Optimizer | Callable[[Iterable[nn.Parameter]], Optimizer]

OTHERS = "use sgd, momentum, adam, adamw, lion, muon or another that treats each number of a weight by itself"


def check_averaged(made: Optimizer) -> None:
    """Raise ``UsageError`` for an optimizer that has weights in its state, which nobody would average."""
    if isinstance(made, EvaluatingDropIn):
        message = (
            f"{type(made).__name__} keeps a second set of weights in its state, which stays with each rank when "
            "average_every averages the weights; use adamw, sgd or another that has one set"
        )
        raise UsageError(message)


def optimizer_over(portion: Portion, given: Given, lr: float | None, names: Mapping[nn.Parameter, str]) -> Optimizer:
    """The optimizer over the leaves of ``portion``; ``names`` are those of the parameters before they were split.

    Raises ``UsageError`` for a name that there is not, and for one that cannot work on parts of weights.
    """
    if isinstance(given, Optimizer):
        found = _moved(portion, given, lr, names)
    else:
        leaves = list(portion.leaves.values())
        found = _made(leaves, given, lr)
    _check(found, splits=portion.splits, complete=portion.complete)
    if isinstance(found, DropIn) and portion.splits:
        found.parts = {leaf: partial(_of_whole, portion, name) for name, leaf in portion.leaves.items()}
    return found


def _of_whole(portion: Portion, name: str, function: Callable[[Tensor], Tensor], leaf: Tensor) -> Tensor:
    """As a rule asks for it, whose leaves ``[1, ...]`` have an axis of rows."""
    part = portion.whole(name, lambda whole: function(whole.unsqueeze(0)).squeeze(0), leaf.squeeze(0))
    return part.unsqueeze(0)


def _made(leaves: list[nn.Parameter], given: Any, lr: float | None) -> Optimizer:
    settings: dict[str, Any] = {} if lr is None else {"lr": lr}
    if isinstance(given, str):
        if given not in DROP_INS:
            message = f"there is no optimizer {given!r}; {suggestion(given, DROP_INS, place='docs/methods')}"
            raise UsageError(message)
        return DROP_INS[given](leaves, **settings)
    found = given(leaves, **settings) if callable(given) else given
    if not isinstance(found, Optimizer):
        message = (
            "optimizer must be a name such as 'adamw', a class or function that makes one of the parameters, or one "
            f"that was made, got {type(found).__name__}"
        )
        raise UsageError(message)
    return found


def _moved(portion: Portion, given: Optimizer, lr: float | None, names: Mapping[nn.Parameter, str]) -> Optimizer:
    """An optimizer over the user's parameters, put over the leaves that took their place."""
    if lr is not None:
        message = f"the optimizer that was given has a rate of its own, and lr={lr:g} is another; leave lr out"
        raise UsageError(message)
    strange = [own for group in given.param_groups for own in group["params"] if own not in names]
    if strange:
        message = (
            f"the optimizer that was given has {len(strange)} tensors that are no parameters of the model; make it of "
            "model.parameters(), and give both the same model"
        )
        raise UsageError(message)
    every = [own for group in given.param_groups for own in group["params"]]
    if all(portion.leaves.get(names[own]) is own for own in every):
        return given
    if given.state:
        message = (
            "the optimizer that was given has made steps already, and its state cannot be split with the model; give "
            "its name or class, or go on from a checkpoint of lanewise.train"
        )
        raise UsageError(message)
    for group in given.param_groups:
        named = [names[own] for own in group["params"]]
        group["params"] = [portion.leaves[name] for name in named if name in portion.leaves]
    return given


def treats_all_alike(given: Given) -> bool:
    """Whether an optimizer has the same groups whatever weights a rank has; a function may want to see them all."""
    return isinstance(given, str | type | Optimizer)


def works_on_parts(given: Given, lr: float | None) -> bool:
    """Whether an optimizer is known to work where a rank has parts of weights, of some of them.

    A function of the parameters is not asked.
    """
    if not treats_all_alike(given):
        return False
    made = given if isinstance(given, Optimizer) else _made([nn.Parameter(torch.zeros(2, 2))], given, lr)
    try:
        _check(made, splits=True, complete=False)
    except UsageError:
        return False
    return True


def _check(found: Optimizer, *, splits: bool, complete: bool) -> None:
    name = type(found).__name__
    if isinstance(found, SAM | torch.optim.LBFGS):
        message = f"{name} asks for more than one gradient a step, which train does not take; {OTHERS}"
        raise UsageError(message)
    rules = [found.rule_of(group) for group in found.param_groups] if isinstance(found, DropIn) else []
    known = isinstance(found, (DropIn, *ELEMENTWISE))
    if splits and any(own.gathers for own in rules) and any(own["capturable"] for own in found.param_groups):
        message = (
            f"{name} with capturable=True works on whole weights, and shard or tensor gives a rank a part; leave it out"
        )
        raise UsageError(message)
    if splits and (not known or any(own.per_weight and not own.gathers for own in rules)):
        message = f"{name} needs each weight whole, and shard or tensor gives a rank a part of it; {OTHERS}"
        raise UsageError(message)
    if splits or not complete:
        for own in rules:
            if own.numbers or own.draws:
                does = "sums over all weights" if own.numbers else "draws a number for every weight"
                message = f"{name} {does}, of which a rank has a part in this mesh; {OTHERS}"
                raise UsageError(message)
