"""Rules as ordinary ``torch.optim.Optimizer``: the base of every public class of ``lanewise.optim``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Final, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.lanes.draws import keyed_seed
from lanewise.optim.leaves import ListLeaves
from lanewise.optim.rule import Rule, State

BLOCK = 1 << 18
"""Elements that are worked on at once on a CPU: a few leaves of this length stay in the cache together."""

_torch: Final[Any] = torch  # its foreach operations are untyped

LOW = (torch.float16, torch.bfloat16)


@dataclass
class _Batch:
    """Leaves of one row with the same dtype, device and step count; ``slots`` in the order of the rule's."""

    step: int
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    slots: list[list[Tensor]] = field(default_factory=list)
    draws: list[Tensor] = field(default_factory=list)

    def columns(self) -> list[list[Tensor]]:
        return [self.params, self.grads, *self.slots]

    def span(self, first: int, last: int) -> "_Batch":
        """The leaves from ``first`` up to ``last``."""
        slots = [column[first:last] for column in self.slots]
        return _Batch(self.step, self.params[first:last], self.grads[first:last], slots)

    def blocks(self) -> Iterator["_Batch"]:
        """Pieces of about :data:`BLOCK` elements, so that a pass of several operations reads memory once."""
        first, held = 0, 0
        for at, size in enumerate(map(Tensor.numel, self.params)):
            if held + size <= BLOCK:
                held += size
                continue
            if at > first:
                yield self.span(first, at)
            first, held = at, size
            if size > BLOCK:
                yield from self.span(at, at + 1).pieces()
                first, held = at + 1, 0
        if first < len(self.params):
            yield self.span(first, len(self.params))

    def pieces(self) -> Iterator["_Batch"]:
        """The one large leaf in pieces, if it and what belongs to it lie alike in memory."""
        leaves = [column[0] for column in self.columns()]
        if not all(map(Tensor.is_contiguous, leaves)):
            yield self
            return
        for param, grad, *slots in zip(*(leaf.view(-1).split(BLOCK) for leaf in leaves), strict=True):
            yield _Batch(self.step, [param], [grad], [[slot] for slot in slots])


class DropIn(Optimizer):
    """A rule as a ``torch.optim.Optimizer``. Subclasses name their ``rule`` and spell out its hyper-parameters.

    As torch's own: parameter groups, closures, ``maximize``, hooks, schedulers, state dicts. Each parameter group is
    one row of the rule; parameters without a gradient are skipped and do not count the step. Sums over several weights,
    where a rule has them, run over the group. Arithmetic and state of float16 and bfloat16 parameters are float32, also
    after ``load_state_dict``. ``lr`` may be a one-element tensor, read at each step. Not offered: ``differentiable``,
    ``capturable``.
    """

    rule: ClassVar[Rule]
    above_one: ClassVar[tuple[str, ...]] = ()
    """Settings that may be 1 and more, although those of that name may not elsewhere."""
    _step_supports_amp_scaling = True  # a gradient scaler hands over ``grad_scale`` and ``found_inf``

    def __init__(self, params: ParamsT, *, maximize: bool = False, **settings: Any) -> None:
        _check(type(self), settings)
        super().__init__(params, {**settings, "maximize": maximize})

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        """The rule of a parameter group; a class that offers several chooses by its options."""
        del group
        return self.rule

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its own settings are checked as those of the constructor are."""
        if isinstance(param_group, dict):
            _check(type(self), param_group)
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update from the gradients; ``closure`` evaluates the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._scaled():
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _scaled(self) -> bool:
        """Undo the gradient scaler's factor; False if it found a gradient that is not finite."""
        found, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if found is not None and bool(found.item()):
            return False
        if scale is not None:
            grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            if grads:
                _torch._foreach_mul_(grads, 1.0 / float(scale))
        return True

    def _step_group(self, group: dict[str, Any]) -> None:
        rule = self.rule_of(group)
        hyper = _numbers(group)
        batches = self._gather(rule, group)
        if not batches:
            return
        numbers: dict[str, Any] = {}
        if rule.numbers:
            numbers = group.setdefault("numbers", {number.name: number.start for number in rule.numbers} | {"step": 0})
            numbers["step"] += 1
            _measure(rule, batches, hyper, numbers, maximize=group["maximize"])
        for batch in batches:
            if rule.numbers:
                batch.step = numbers["step"]
            if not group["maximize"] and _fuse(rule, batch, hyper):
                continue
            whole = rule.per_weight or rule.draws or batch.params[0].device.type != "cpu"
            for block in [batch] if whole else batch.blocks():
                _update(rule, block, hyper, numbers, maximize=group["maximize"])

    def _gather(self, rule: Rule, group: Mapping[str, Any]) -> list[_Batch]:
        """The leaves that have a gradient, with their state; counts their step."""
        names = [slot.name for slot in rule.slots]
        states, strided = self.state, torch.strided
        batches: dict[tuple[Any, ...], _Batch] = {}
        last: tuple[Any, ...] = (0, None, None)
        batch = _Batch(0)
        for at, whole in enumerate(group["params"]):
            param, grad = whole, whole.grad
            if grad is None:
                continue
            state = states[param]
            if len(state) <= len(names):
                _start(rule, param, state)
            state["step"] = step = state["step"] + 1
            dtype, device = param.dtype, param.device
            if step != last[0] or dtype is not last[1] or device != last[2]:  # most often it is as for the one before
                last = (step, dtype, device)
                if last not in batches:
                    batches[last] = _Batch(step, slots=[[] for _ in names])
                batch = batches[last]
            slots = [state[name] for name in names]
            if grad.layout is not strided:
                if rule.sparse is None:
                    _refuse_sparse(type(self).__name__, param)
                if _row_by_row(rule, param, slots, group, step):
                    continue
                grad = grad.to_dense()
            if dtype.is_complex:
                param, grad = torch.view_as_real(param), torch.view_as_real(grad)
            elif rule.per_weight:
                param, grad, slots = param.unsqueeze(0), grad.unsqueeze(0), [slot.unsqueeze(0) for slot in slots]
            if rule.draws:
                batch.draws.append(_drawn(param, group["seed"], group.get("chain", 0), step, at))
            batch.params.append(param)
            batch.grads.append(grad)
            for column, slot in zip(batch.slots, slots, strict=True):
                column.append(slot)
        return [batch for batch in batches.values() if batch.params]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # options that are younger than the state
            for name, default in self.defaults.items():
                if name != "differentiable":  # torch adds it to the defaults of a copy
                    group.setdefault(name, default)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but the state keeps its own dtype, and is copied rather than shared with ``state_dict``."""
        super().load_state_dict(state_dict)
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, param in zip(saved, params, strict=True):
            for name, value in state_dict["state"].get(key, {}).items():
                if isinstance(value, Tensor):
                    self.state[param][name] = _laid_out_as(param, value)


class EvaluatingDropIn(DropIn):
    """A drop-in whose weights to be judged by are not those that gradients are taken at.

    It begins ready for training. Which of the two the parameters hold is part of the state dict.
    """

    between: ClassVar[str] = "beta1"
    """The hyper-parameter that says where between base and average gradients are taken."""

    def __init__(self, params: ParamsT, **settings: Any) -> None:
        super().__init__(params, evaluating=False, **settings)
        for group in self.param_groups:
            between = _numbers(group)[self.between]
            if not 0 < between < 1:
                words = "the first of betas" if self.between == "beta1" else self.between
                allowed = "above 0 and below 1, or the average cannot be recovered"
                message = f"{type(self).__name__}: {words} must be {allowed}, got {between}"
                raise UsageError(message)

    def eval(self) -> None:
        """Put the weights to be judged by, and to be saved, into the parameters."""
        self._exchange(evaluation=True)

    def train(self) -> None:
        """Put the weights that gradients are taken at back into the parameters."""
        self._exchange(evaluation=False)

    @torch.no_grad()
    def _exchange(self, *, evaluation: bool) -> None:
        for group in self.param_groups:
            rule, hyper = self.rule_of(group), _numbers(group)
            if group["evaluating"] == evaluation:
                continue
            for param in group["params"]:
                held = self.state.get(param)
                if held:
                    leaf = torch.view_as_real(param) if param.is_complex() else param
                    wide = leaf.float() if leaf.dtype in LOW else leaf
                    state = State({slot.name: ListLeaves([held[slot.name]]) for slot in rule.slots})
                    rule.exchange(ListLeaves([wide]), state, hyper, evaluation=evaluation)
                    leaf.copy_(wide)
            group["evaluating"] = evaluation

    def _step_group(self, group: dict[str, Any]) -> None:
        if group["evaluating"]:
            message = f"{type(self).__name__} is in evaluation mode: call optimizer.train() before step()"
            raise UsageError(message)
        super()._step_group(group)


def _laid_out_as(param: Tensor, value: Tensor) -> Tensor:
    """A copy of ``value`` on the device of ``param``, and in its layout if it has its shape."""
    result = value.detach().to(param.device, copy=True)
    if result.shape == param.shape and result.stride() != param.stride():
        return torch.empty_like(param, dtype=value.dtype).copy_(result)
    return result


def _drawn(param: Tensor, seed: int, *key: int) -> Tensor:
    """Standard normal numbers for one parameter, which depend on the key only."""
    dtype = torch.float32 if param.dtype in LOW else param.dtype
    source = torch.Generator(param.device).manual_seed(keyed_seed(seed, "draws", *key))
    return torch.randn(param.shape, generator=source, dtype=dtype, device=param.device)


def _start(rule: Rule, param: Tensor, state: dict[str, Any]) -> None:
    """Make what is missing of the state of one parameter."""
    if param.is_complex() and rule.per_weight:
        message = f"{rule.name} takes real parameters only, got {param.dtype} of shape {tuple(param.shape)}"
        raise UsageError(message)
    state.setdefault("step", 0)
    leaf = torch.view_as_real(param) if param.is_complex() else param
    leaf = leaf.detach().float() if leaf.dtype in LOW else leaf.detach()
    for slot in rule.slots:
        if slot.name not in state:
            state[slot.name] = slot.start(leaf.unsqueeze(0)).squeeze(0)


def _fuse(rule: Rule, batch: _Batch, hyper: Mapping[str, float]) -> bool:
    """Whether torch's fused kernel made the whole step; it wants one real dtype for all that it reads."""
    first = batch.params[0]
    if rule.numbers or first.dtype not in (torch.float32, torch.float64) or first.device.type not in ("cpu", "cuda"):
        return False
    # the kernels walk through memory; the state has the layout of its parameter
    if not (all(map(Tensor.is_contiguous, batch.params)) and all(map(Tensor.is_contiguous, batch.grads))):
        return False
    return rule.fused(batch.columns(), hyper, float(batch.step))


def _gradients(rule: Rule, batch: _Batch, hyper: Mapping[str, float], *, maximize: bool) -> tuple[list[Tensor], ...]:
    """Weights and gradients to calculate with: float32 at least, ascent turned into descent, coupled decay added."""
    params, grads = batch.params, batch.grads
    if params[0].dtype in LOW:
        params, grads = [param.float() for param in params], [grad.float() for grad in grads]
    if maximize:
        grads = list(_torch._foreach_neg(grads))
    decay = hyper.get("weight_decay", 0.0)
    if rule.decay == "coupled" and decay:
        grads = list(_torch._foreach_add(grads, params, alpha=decay))
    return params, grads


def _state(rule: Rule, batch: _Batch, numbers: dict[str, Any]) -> State:
    leaves = {slot.name: ListLeaves(column) for slot, column in zip(rule.slots, batch.slots, strict=True)}
    return State(leaves, numbers)


def _measure(
    rule: Rule, batches: Sequence[_Batch], hyper: Mapping[str, float], numbers: dict[str, Any], *, maximize: bool
) -> None:
    """The sums over all leaves of a group, which may differ in dtype and device."""
    pieces = [_gradients(rule, batch, hyper, maximize=maximize) for batch in batches]
    params, grads = (ListLeaves([leaf for piece in pieces for leaf in piece[side]]) for side in (0, 1))
    whole = _Batch(0, slots=[[leaf for batch in batches for leaf in batch.slots[at]] for at in range(len(rule.slots))])
    rule.measure(params, grads, _state(rule, whole, numbers), hyper, numbers["step"])


def _update(rule: Rule, batch: _Batch, hyper: Mapping[str, float], numbers: dict[str, Any], *, maximize: bool) -> None:
    params, grads = _gradients(rule, batch, hyper, maximize=maximize)
    if rule.decay == "decoupled" and hyper["weight_decay"]:
        _torch._foreach_mul_(params, 1 - hyper["lr"] * hyper["weight_decay"])
    state = _state(rule, batch, numbers)
    if rule.draws:
        state.leaves = {**state.leaves, "draws": ListLeaves(batch.draws)}
    rule.update(ListLeaves(params), ListLeaves(grads), state, hyper, batch.step)
    if params is not batch.params:
        _torch._foreach_copy_(batch.params, params)


def _row_by_row(rule: Rule, param: Tensor, slots: Sequence[Tensor], group: Mapping[str, Any], step: int) -> bool:
    """Update only the rows that a sparse gradient names; False if it must be filled up with zeros instead."""
    grad, hyper = param.grad, _numbers(group)
    assert grad is not None
    decays = hyper.get("weight_decay", 0.0) != 0
    if rule.sparse == "dense" or decays or rule.numbers or param.is_complex() or grad.layout is not torch.sparse_coo:
        return False
    grad = grad.coalesce()
    if grad.sparse_dim() != 1:
        return False
    rows = grad.indices()[0]
    parts = [tensor.index_select(0, rows) for tensor in (param, *slots)]
    batch = _Batch(step, [parts[0]], [grad.values()], [[part] for part in parts[1:]])
    _update(rule, batch, hyper, {}, maximize=group["maximize"])
    for tensor, part in zip((param, *slots), parts, strict=True):
        tensor.index_copy_(0, rows, part)
    return True


def _refuse_sparse(name: str, param: Tensor) -> None:
    message = (
        f"{name} does not take sparse gradients, and got one for a parameter of shape {tuple(param.shape)}: "
        "build the embedding with sparse=False, or give it to SGD in an optimizer of its own"
    )
    raise UsageError(message)


def _numbers(group: Mapping[str, Any]) -> dict[str, float]:
    """The hyper-parameters of a group as floats, ``betas`` taken apart."""
    result = {}
    for name, value in group.items():
        if name == "betas":
            result |= {f"beta{at}": float(beta) for at, beta in enumerate(value, 1)}
        elif isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
            result[name] = float(value)
    return result


def _check(kind: type[DropIn], settings: Mapping[str, Any]) -> None:
    """``UsageError`` for a setting that no rule can work with."""
    lr = settings.get("lr")
    if isinstance(lr, Tensor) and lr.numel() != 1:
        message = f"lr must be a number or a tensor of one element, got one of shape {tuple(lr.shape)}"
        raise UsageError(message)
    for key, value in _numbers({key: value for key, value in settings.items() if key != "params"}).items():
        fraction = (key.rstrip("123") == "beta" or key == "alpha") and key not in kind.above_one
        if not 0 <= value < (1 if fraction else float("inf")):
            allowed = "at least 0 and below 1" if fraction else "a finite number, at least 0"
            message = f"{kind.__name__}: {key} must be {allowed}, got {value}"
            raise UsageError(message)
