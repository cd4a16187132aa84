"""Rules as ordinary ``torch.optim.Optimizer``: the base of every public class of ``lanewise.optim``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import eq
from types import MappingProxyType
from typing import Any, ClassVar, Final, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.lanes.draws import keyed_seed
from lanewise.optim.batches import Batch, KnownStates, gathered_alike, runs_of
from lanewise.optim.captured import captured_step
from lanewise.optim.leaves import ListLeaves
from lanewise.optim.parameter_state import LOW, laid_out_as, numbers_of, start_state
from lanewise.optim.rule import Part, Rule, State
from lanewise.optim.saved_state import check_saved, check_shapes
from lanewise.optim.settings import check_settings
from lanewise.optim.torch_state import is_torchs, saved_for_torch, settings_of, state_for_torch, states_of

_torch: Final[Any] = torch  # its foreach operations are untyped


class DropIn(Optimizer):
    """A rule as a ``torch.optim.Optimizer``. Subclasses name their ``rule`` and spell out its hyper-parameters;
    ``fractions`` are those that must stay below 1, as betas must, ``counts`` those that are whole numbers from 1 on.

    As torch's own: parameter groups, closures, ``maximize``, hooks, schedulers, state dicts. Each parameter group is
    one row of the rule; parameters without a gradient are skipped and do not count the step. Sums over several weights,
    where a rule has them, run over the group. Arithmetic and state of float16 and bfloat16 parameters are float32, also
    after ``load_state_dict``. ``lr`` may be a one-element tensor, read at each step. With ``capturable`` the step count
    is a tensor on the device, so that ``torch.compile`` compiles a step once; uncompiled that is slow. ``foreach`` and
    ``fused``, which only choose how torch's own compute a step, are taken where torch's class of the same name has
    them, and ignored. Not offered: ``differentiable``.
    """

    rule: ClassVar[Rule]
    parts: Mapping[Tensor, Part] = MappingProxyType({})  # of parameters that are parts of a weight over ranks
    fractions: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[tuple[str, ...]] = ()
    _step_supports_amp_scaling = True  # a gradient scaler hands over ``grad_scale`` and ``found_inf``

    def __init__(self, params: ParamsT, *, maximize: bool = False, capturable: bool = False, **settings: Any) -> None:
        settings |= {"maximize": maximize, "capturable": capturable}
        self._check(settings)
        super().__init__(params, settings)

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        """The rule of a parameter group; a class that offers several chooses by its options."""
        del group
        return self.rule

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its own settings are checked as those of the constructor are."""
        if isinstance(param_group, dict):
            self._check(param_group)
        super().add_param_group(param_group)
        added = self.param_groups[-1]
        if self.rule_of(added).draws:  # each group has draws of its own
            added.setdefault("chain", len(self.param_groups) - 1)

    def _check(self, settings: Mapping[str, Any]) -> None:
        """``UsageError`` for a setting that no rule can work with."""
        check_settings(type(self), settings, fractions=self.fractions, counts=self.counts)

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
            captured = all([group["capturable"] for group in self.param_groups])
            known = None if captured else KnownStates(self.state)  # torch.compile would guard what it holds
            for group in self.param_groups:
                self._step_group(group, known)
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

    def _step_group(self, group: dict[str, Any], known: KnownStates | None) -> None:
        rule = self.rule_of(group)
        if group["capturable"]:
            for param in group["params"]:
                if param.grad is not None:
                    captured_step(rule, param, self.state[param], group)
            return
        assert known is not None
        hyper = numbers_of(group)
        batches = self._gather(rule, group, known)
        numbers: dict[str, Any] = {}
        if rule.numbers:
            batches = list(batches)
            if not batches:
                return
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

    def _gather(self, rule: Rule, group: Mapping[str, Any], known: KnownStates) -> Iterable[Batch]:
        """The leaves that have a gradient, with their state; counts their step."""
        runs = runs_of(rule, group["params"])
        if len(runs) == 1:
            return self._gather_run(rule, group, runs[0], known)
        return (batch for params in runs for batch in self._gather_run(rule, group, params, known))

    def _gather_run(
        self, rule: Rule, group: Mapping[str, Any], params: list[Tensor], known: KnownStates
    ) -> list[Batch]:
        alike = gathered_alike(rule, group, params, known)
        return self._gather_each(rule, group, params) if alike is None else [alike]

    def _gather_each(self, rule: Rule, group: Mapping[str, Any], params: Sequence[Tensor]) -> list[Batch]:
        """As :meth:`_gather`, whatever ``params`` are."""
        names = [slot.name for slot in rule.slots]
        states, strided, held = self.state, torch.strided, len(names)
        batches: dict[tuple[Any, ...], Batch] = {}
        batch, count, kind, on_cpu = Batch(0), 0, None, False
        columns: list[tuple[str, list[Tensor]]] = []
        for at, param in enumerate(params):
            grad = param.grad
            if grad is None:
                continue
            state = states[param]
            if len(state) <= held:
                start_state(rule, param, state, numbers_of(group))
            state["step"] = step = state["step"] + 1
            dtype = param.dtype
            if step != count or dtype is not kind or not on_cpu or not param.is_cpu:  # else as for the one before
                count, kind, on_cpu = step, dtype, param.is_cpu
                key = (step, dtype, param.device)
                if key not in batches:
                    batches[key] = Batch(step, slots=[[] for _ in names])
                batch = batches[key]
                columns = list(zip(names, batch.slots, strict=True))
            if rule.draws:
                batch.draws.append(_drawn(rule, param, group, step, at))
            if grad.layout is not strided or dtype.is_complex or rule.per_weight:
                self._gather_apart(rule, group, param, batch)
                continue
            batch.params.append(param)
            batch.grads.append(grad)
            for name, column in columns:
                column.append(state[name])
        return [batch for batch in batches.values() if batch.params]

    def _gather_apart(self, rule: Rule, group: Mapping[str, Any], param: Tensor, batch: Batch) -> None:
        """A leaf with a sparse gradient, a complex one, or one that the rule wants with its axes, into ``batch``."""
        grad, state = param.grad, self.state[param]
        assert grad is not None
        slots = [state[slot.name] for slot in rule.slots]
        if grad.layout is not torch.strided:
            if rule.sparse is None:
                _refuse_sparse(type(self).__name__, param)
            if _row_by_row(rule, param, slots, group, batch.step):
                return
            grad = grad.to_dense()
        if param.is_complex():
            param, grad = torch.view_as_real(param), torch.view_as_real(grad)
        elif rule.per_weight:
            batch.parts.append(self.parts.get(param))
            param, grad, slots = param.unsqueeze(0), grad.unsqueeze(0), [slot.unsqueeze(0) for slot in slots]
        batch.params.append(param)
        batch.grads.append(grad)
        for column, slot in zip(batch.slots, slots, strict=True):
            column.append(slot)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for at, group in enumerate(self.param_groups):  # options that are younger than the state
            for name, default in self.defaults.items():
                if name != "differentiable":  # torch adds it to the defaults of a copy
                    group.setdefault(name, default)
            if self.rule_of(group).draws:
                group.setdefault("chain", at)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, and the rule of each group by name, so that no other takes the state for its own."""
        return {**super().state_dict(), "rules": [self.rule_of(group).name for group in self.param_groups]}

    def _translated(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A state dict of torch's own optimizer of the same name with our names, any other as it is."""
        name = self._name_in_torch
        rules = [self.rule_of({**self.defaults, **group}) for group in state_dict["param_groups"]]
        if not is_torchs(name, rules, state_dict):
            return state_dict
        groups = [settings_of(name, group) for group in state_dict["param_groups"]]
        return {"state": states_of(rules, groups, state_dict["state"]), "param_groups": groups}

    def torch_state_dict(self) -> dict[str, Any]:
        """The state dict that torch's own optimizer of the same name goes on from: the way back into torch.

        Raises ``UsageError`` where torch has none of that name, or not a setting that is in use.
        """
        name, saved = self._name_in_torch, self.state_dict()
        groups = [saved_for_torch(name, group, self.defaults) for group in saved["param_groups"]]
        states = {}
        for group, own in zip(saved["param_groups"], self.param_groups, strict=True):
            for key, param in zip(group["params"], own["params"], strict=True):
                if state := saved["state"].get(key):
                    rule, pairs = self.rule_of(group), param.is_complex()
                    states[key] = state_for_torch(name, rule, group, state, pairs=pairs)
        return {"state": states, "param_groups": groups}

    @property
    def _name_in_torch(self) -> str:
        """The name of torch's optimizer of the same arithmetic, if there is one."""
        return type(self).__name__

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but the state keeps its own dtype, and is copied rather than shared with ``state_dict``.

        That of torch's own optimizer of the same name is taken as well: training goes on as it would have in torch.
        Raises ``UsageError`` for the state of another optimizer, and for that of parameters of other shapes.
        """
        state_dict = self._translated(state_dict)
        rules = [self.rule_of({**self.defaults, **group}) for group in state_dict["param_groups"]]
        check_saved(type(self).__name__, rules, state_dict)
        check_shapes(type(self).__name__, rules, state_dict, [group["params"] for group in self.param_groups])
        super().load_state_dict(state_dict)
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, param in zip(saved, params, strict=True):
            for name, value in state_dict["state"].get(key, {}).items():
                if isinstance(value, Tensor):
                    self.state[param][name] = laid_out_as(param, value)


def _drawn(rule: Rule, param: Tensor, group: Mapping[str, Any], step: int, at: int) -> Tensor:
    """Standard normal numbers for the parameter ``at`` of a group, which depend on seed, chain, step and place only."""
    leaf = torch.view_as_real(param) if param.is_complex() else param
    dtype = torch.float32 if leaf.dtype in LOW else leaf.dtype
    seed = keyed_seed(group["seed"], "draws", group["chain"], step, at)
    source = torch.Generator(leaf.device).manual_seed(seed)
    drawn = torch.randn(leaf.shape, generator=source, dtype=dtype, device=leaf.device)
    return drawn.unsqueeze(0) if rule.per_weight else drawn


def _fuse(rule: Rule, batch: Batch, hyper: Mapping[str, float]) -> bool:
    """Whether torch's fused kernel made the whole step; it wants one real dtype for all that it reads."""
    first = batch.params[0]
    if (
        rule.numbers
        or type(rule).fused is Rule.fused
        or first.dtype not in (torch.float32, torch.float64)
        or not (first.is_cpu or first.is_cuda)
    ):
        return False
    # the kernels walk through memory; the state has the layout of its parameter
    if not (all(map(Tensor.is_contiguous, batch.params)) and all(map(Tensor.is_contiguous, batch.grads))):
        return False
    # They do not ask whether it has the size of its parameter still, which somebody may have put a larger one into.
    if batch.slots and not (
        batch.slots[0][0].dtype is first.dtype
        and all(map(eq, map(Tensor.numel, batch.params), map(Tensor.numel, batch.slots[0])))
    ):
        return False
    return rule.fused(batch.columns(), hyper, float(batch.step))


def _gradients(rule: Rule, batch: Batch, hyper: Mapping[str, float], *, maximize: bool) -> tuple[list[Tensor], ...]:
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


def _state(rule: Rule, batch: Batch, numbers: dict[str, Any]) -> State:
    leaves = {slot.name: ListLeaves(column) for slot, column in zip(rule.slots, batch.slots, strict=True)}
    return State(leaves, numbers, batch.parts)


def _measure(
    rule: Rule, batches: Sequence[Batch], hyper: Mapping[str, float], numbers: dict[str, Any], *, maximize: bool
) -> None:
    """The sums over all leaves of a group, which may differ in dtype and device."""
    pieces = [_gradients(rule, batch, hyper, maximize=maximize) for batch in batches]
    params, grads = (ListLeaves([leaf for piece in pieces for leaf in piece[side]]) for side in (0, 1))
    whole = Batch(0, slots=[[leaf for batch in batches for leaf in batch.slots[at]] for at in range(len(rule.slots))])
    rule.measure(params, grads, _state(rule, whole, numbers), hyper, numbers["step"])


def _update(rule: Rule, batch: Batch, hyper: Mapping[str, float], numbers: dict[str, Any], *, maximize: bool) -> None:
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
    grad, hyper = param.grad, numbers_of(group)
    assert grad is not None
    everywhere = rule.sparse == "dense" or rule.draws or rule.numbers or hyper.get("weight_decay", 0.0) != 0
    if everywhere or param.is_complex() or grad.layout is not torch.sparse_coo:
        return False
    grad = grad.coalesce()
    if grad.sparse_dim() != 1:
        return False
    rows = grad.indices()[0]
    parts = [tensor.index_select(0, rows) for tensor in (param, *slots)]
    batch = Batch(step, [parts[0]], [grad.values()], [[part] for part in parts[1:]])
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
