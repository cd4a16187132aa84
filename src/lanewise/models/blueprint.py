"""Reads an ordinary module: what of it is trained, what changes beside that, and what stays as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lanewise.errors import LanewiseError, UsageError, first_line
from lanewise.lanes.buffer import BufferLayout, Parameter
from lanewise.lanes.draws import generator
from lanewise.models.batch import Tree, form_of, how_called, mapped
from lanewise.models.between_passes import Between, between_passes, of_torch, structure
from lanewise.models.casting import LOW, low_precision
from lanewise.models.compiled import WORDS, CompiledCall, uncompiled
from lanewise.models.copied import check_computed_anew, computed, copied
from lanewise.models.groups import Factors
from lanewise.models.keyed_draws import other_states, own_generator
from lanewise.models.recomputing import Recomputing

MakeModel = Callable[[], nn.Module]

PROBE_SEEDS = (0, 1)
"""Two seeds: what differs between their modules although it is not trained belongs to a lane, too."""

PROBES = 16
"""Passes, each with draws of its own, in which a weight is looked for: a layer that is left out by chance in half of
them is missed in one of 65,000."""


UNCALLABLE = (torch.jit.ScriptModule, nn.DataParallel)
"""What ``torch.func.functional_call`` refuses."""


class StructuredOutputsError(UsageError):
    """The module returns something else than one tensor: it can be trained by whole passes only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blueprint:
    """What lanes of one module need to know of it.

    ``layout`` has a parameter for each that is trained, named as in ``named_parameters`` (tied weights once), and
    statistics for buffers that training changes and for untrained tensors that depend on the seed. All other tensors
    are those of ``template``. ``draws`` says whether a pass draws random numbers, ``draws_elsewhere`` whether from the
    default generators of NumPy or Python; ``unkeyed`` says in sentences what is drawn where no key reaches, ``notes``
    what else is worth saying. ``footprint`` is how many
    elements the largest activation of a row has. ``unreached`` names weights that require a gradient and got none: they
    stay as they are. With ``whole`` the module is given batches of whatever form, and
    returns numbers of its own choice rather than a row of outputs for each row of inputs. ``casts`` is the dtype of a
    ``torch.autocast`` of the module's own, float16 before bfloat16; None: it was not seen to use any. ``recomputes``:
    it calls parts of itself once more in the backward pass, as ``torch.utils.checkpoint`` does.
    """

    make: MakeModel
    template: nn.Module
    layout: BufferLayout
    dtype: torch.dtype
    draws: bool
    footprint: int
    whole: bool = False
    casts: torch.dtype | None = None
    recomputes: bool = False
    unreached: tuple[str, ...] = ()
    draws_elsewhere: bool = False
    unkeyed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    starts: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        make: MakeModel,
        inputs: Tree,
        *,
        whole: int = 0,
        factors: Callable[[nn.Module], Mapping[str, Factors]] | None = None,
        others: Callable[[int], Tree] | None = None,
        known: dict[tuple[object, ...], Between] | None = None,
    ) -> "Blueprint":
        """The blueprint of what ``make()`` returns, found by one pass over a batch ``inputs [B, ...]``.

        ``whole`` is the number of rows of a batch of another form, of which the module returns what it likes.
        ``factors`` gives those of each parameter by name, where there are groups of them. A weight that the pass does
        not reach is looked for in :data:`PROBES` passes, over the batches ``others(1)``, ``others(2)``, ...; None: the
        same one. ``known`` has what was found between passes of modules of the same :func:`structure`, and is given it.

        Raises ``UsageError``: no module, no trainable weights, weights of several dtypes or not on the CPU, outputs
        that are not one tensor ``[B, ...]``, passes that depend on those before by more than buffers.
        """
        template, compiled = _made_so(make, PROBE_SEEDS[0])
        dtype = _dtype_of(template)

        def batch(number: int) -> Tree:
            found = inputs if number == 0 or others is None else others(number)
            return mapped(lambda leaf: _as_weights(leaf, dtype), found)

        other = _made(make, PROBE_SEEDS[1])
        tensors = _tensors(template)
        seeded = {name for name, tensor in tensors.items() if not _equal(tensor, _tensors(other).get(name))}
        # A module may keep what it computed, which cannot be copied: so the template is never called.
        probe = _probe(other, batch, whole=whole)
        trained = [name for name, weight in template.named_parameters() if name in probe.reached]
        if not trained:
            message = (
                "the module has no weights to train: none has requires_grad and reaches the outputs; "
                "check what make_model freezes or detaches"
            )
            raise UsageError(message)
        known, kind = {} if known is None else known, structure(template)
        if kind not in known:
            known[kind] = between_passes(lambda: copied(template), lambda module: _called(module, batch(0)))
        between = known[kind]
        beside = [name for name in tensors if name not in trained and (name in probe.changed or name in seeded)]
        own = {} if factors is None else factors(template)
        layout = BufferLayout.of(
            [
                Parameter(name=name, shape=tuple(tensors[name].shape), fan_in=1, **vars(own.get(name, Factors())))
                for name in trained
            ],
            [Parameter(name=name, shape=tuple(tensors[name].shape), fan_in=1, penalised=False) for name in beside],
        )
        return cls(
            make=make,
            template=template,
            layout=layout,
            dtype=dtype,
            draws=probe.draws or probe.draws_elsewhere or between.evaluates,
            draws_elsewhere=probe.draws_elsewhere,
            unkeyed=between.unkeyed,
            notes=(*between.counted, *([WORDS] if compiled else [])),
            footprint=probe.footprint,
            whole=bool(whole),
            casts=probe.casts,
            recomputes=probe.recomputes,
            unreached=tuple(
                name for name, weight in template.named_parameters() if weight.requires_grad and name not in trained
            ),
        )

    def module(self) -> nn.Module:
        """A module to call with other weights, for one stack: threads must not share it."""
        return copied(self.template)

    @cached_property
    def compiled_call(self) -> CompiledCall:
        """One for all lanes of the module."""
        return CompiledCall()

    def anew(self) -> nn.Module:
        """A module of the user's own making, to be handed over."""
        return _made(self.make, PROBE_SEEDS[0])

    def start(self, seed: int) -> Tensor:
        """The row ``[P + S]`` of the module that ``torch.manual_seed(seed); make()`` gives."""
        if seed not in self.starts:
            tensors, given = _tensors(_made(self.make, seed)), _tensors(self.template)
            wanted = (*self.layout.parameters, *self.layout.statistics)
            for own in wanted:
                shape = tuple(tensors[own.name].shape) if own.name in tensors else None
                if shape != own.shape:
                    message = (
                        f"make_model gave {own.name} the shape {own.shape} at first and {shape} with seed {seed}; "
                        "it must build the same shapes each time"
                    )
                    raise UsageError(message)
                if seed == PROBE_SEEDS[0] and not _equal(tensors[own.name], given[own.name]):
                    message = (
                        f"make_model gave {own.name} other numbers when it was called again with seed {seed}, so lanes "
                        "would not start alike; draw weights from torch's default generator, or seed the other in it"
                    )
                    raise UsageError(message)
            self.starts[seed] = torch.cat([tensors[own.name].detach().to(self.dtype).flatten() for own in wanted])
        return self.starts[seed]


@dataclass(frozen=True, kw_only=True)
class _Probe:
    reached: frozenset[str]
    changed: frozenset[str]
    draws: bool
    draws_elsewhere: bool
    footprint: int
    casts: torch.dtype | None
    recomputes: bool


def _made(make: MakeModel, seed: int) -> nn.Module:
    return _made_so(make, seed)[0]


def _made_so(make: MakeModel, seed: int) -> tuple[nn.Module, bool]:
    """The module that was made with a seed, and whether it was compiled, as it is no more."""
    with own_generator(seed, others=True):
        try:
            module = make()
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            given = ", ".join(f"{name}={value!r}" for name, value in getattr(make, "keywords", {}).items())
            message = f"make_model failed: {said}; it is called {f'with {given}' if given else 'without arguments'}"
            raise UsageError(message) from error
    if not isinstance(module, nn.Module):
        message = f"make_model must return a torch.nn.Module, got {type(module).__name__}"
        raise UsageError(message)
    return uncompiled(module)


def _dtype_of(module: nn.Module) -> torch.dtype:
    for name, part in module.named_modules():
        if isinstance(part, UNCALLABLE):
            what = "made by torch.jit" if isinstance(part, torch.jit.ScriptModule) else f"a {type(part).__name__}"
            message = (
                f"{name or 'the module that make_model builds'} is {what}, which cannot be called "
                "with the weights of lanes; give the module that it was made of"
            )
            raise UsageError(message)
    weights = dict(module.named_parameters())
    for name, weight in weights.items():
        if is_lazy(weight):
            message = (
                f"{name} is of a lazy layer, whose shape the first batch decides; give its size, or have make_model "
                "call the module on a batch once before it returns it"
            )
            raise UsageError(message)
        if weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None):
            message = (
                f"{name} has a hook on its gradient, which lanes would not call, for their weights are others; change "
                "gradients within forward, or say by groups= how fast it trains"
            )
            raise UsageError(message)
    for name, tensor in _tensors(module).items():
        if tensor.device.type != "cpu":
            message = f"{name} is on {tensor.device}; make_model must build the module on the CPU"
            raise UsageError(message)
    if not weights:
        message = "the module that make_model builds has no weights, so there is nothing to train; give it a layer"
        raise UsageError(message)
    found = {weight.dtype for weight in weights.values()}
    if len(found) != 1 or not next(iter(found)).is_floating_point:
        listed = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
        remedy = "convert it with .float()"
        if any(dtype.is_complex for dtype in found):
            remedy = "keep a complex weight as its real and imaginary part, and join them by torch.view_as_complex"
        message = f"the weights of a module must have one floating dtype, got {listed}; {remedy}"
        raise UsageError(message)
    return found.pop()


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and bool(torch.equal(one, other))


def _as_weights(leaf: object, dtype: torch.dtype) -> object:
    return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _probe(module: nn.Module, batch: Callable[[int], Tree], *, whole: int) -> _Probe:
    """Training passes, one or more for weights that it did not reach; buffers and hooks are left as they were."""
    given, beside = _tensors(module), list(computed(module))
    values = {name: tensor.detach().clone() for name, tensor in given.items()}
    sizes: list[int] = []
    casts: set[torch.dtype | None] = set()

    def seen(_part: nn.Module, _inputs: object, out: object) -> None:
        sizes.append(_size(out))
        casts.add(low_precision(out))

    hooks = [part.register_forward_hook(seen) for part in module.modules()]
    module.train()
    weights = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    elsewhere = not of_torch(module)
    reached, draws, draws_elsewhere, recomputes, rows = set[str](), False, False, False, 1
    try:
        for number in range(PROBES):
            inputs = batch(number)
            key = generator(0, "probe", *[number] * (number > 0)).initial_seed()
            with own_generator(key, others=elsewhere) as draw:
                state, others = draw.get_state(), other_states() if elsewhere else ()
                outputs = _called(module, inputs)
                draws |= not torch.equal(state, draw.get_state())
                draws_elsewhere |= elsewhere and others != other_states()
            if number == 0:
                rows = whole or len(inputs)
            if not whole or not isinstance(outputs, Tensor):
                outputs = check_outputs(outputs, rows)
            _check_kept(given, values, _tensors(module))
            check_computed_anew(beside, module)
            missing = [name for name in weights if name not in reached]
            if missing and outputs.requires_grad:
                grads, once_more = _gradients(outputs, [weights[name] for name in missing])
                recomputes |= once_more
                reached |= {name for name, grad in zip(missing, grads, strict=True) if grad is not None}
            if len(reached) == len(weights) or not reached:
                break
    finally:
        for hook in hooks:
            hook.remove()
    return _Probe(
        reached=frozenset(reached),
        changed=_put_back(given, values),
        draws=draws,
        draws_elsewhere=draws_elsewhere,
        footprint=max([64, *sizes]) // max(rows, 1) + 1,
        casts=next((dtype for dtype in LOW if dtype in casts), None),
        recomputes=recomputes,
    )


def _put_back(given: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> frozenset[str]:
    """Give tensors the numbers again that they had, and name those that had others."""
    changed = frozenset(name for name, tensor in values.items() if not _equal(tensor, given[name]))
    with torch.no_grad():  # make_model may give the same module each time
        for name in changed:
            given[name].copy_(values[name])
    return changed


def _check_kept(given: Mapping[str, Tensor], values: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> None:
    """Raise ``UsageError`` where a pass put other numbers in the place of a buffer ``given``, rather than in it.

    Lanes call the module with tensors of their own and would lose them. A cache that is made anew is no matter.
    """
    for name, value in values.items():
        own = now.get(name)
        if own is None or own is given[name] or own.shape != value.shape or torch.equal(own, value):
            continue
        message = (
            f"a training pass gives the module a new tensor as {name}, which a lane would lose; change it where it "
            f"lies: with torch.no_grad(): self.{name.rpartition('.')[2]}.copy_(...)"
        )
        raise UsageError(message)


def _gradients(outputs: Tensor, weights: Sequence[Tensor]) -> tuple[Sequence[Tensor | None], bool]:
    """The gradients, and whether anything was computed once more for them."""
    try:
        total = outputs.pow(2).sum()
        with torch.no_grad(), Recomputing() as seen:
            return torch.autograd.grad(total, weights, allow_unused=True), seen.once_more
    except RuntimeError as error:
        message = (
            f"no gradient can be taken through the module: {first_line(error)}; it must change no tensor in place that "
            "the gradient needs, and leave backward to the race"
        )
        raise UsageError(message) from error


def _called(module: nn.Module, inputs: Tree) -> object:
    try:
        return module(inputs)
    except LanewiseError:
        raise
    except Exception as error:
        form = form_of(inputs)
        message = f"the module failed on a batch of inputs {form}: {type(error).__name__}: {first_line(error)}"
        if isinstance(error, TypeError) and "argument" in str(error):
            message += how_called(inputs)
        raise UsageError(message) from error


def _size(outputs: object) -> int:
    return outputs.numel() if isinstance(outputs, Tensor) else 0


def check_outputs(outputs: object, rows: int) -> Tensor:
    """The outputs; raises ``UsageError`` unless they are one tensor with a row for each of ``rows`` rows."""
    if not isinstance(outputs, Tensor):
        parts = f" of {len(outputs)}" if isinstance(outputs, Sequence | dict) else ""
        message = (
            f"the module returned a {type(outputs).__name__}{parts}; it must return one tensor [B, ...]: "
            "wrap it in a module that picks what the loss needs"
        )
        raise StructuredOutputsError(message)
    if not outputs.dim() or len(outputs) != rows:
        message = (
            f"the module returned a tensor {tuple(outputs.shape)} for a batch of {rows} rows; "
            "the first dim of its outputs must be the rows; of others take the loss by step="
        )
        raise UsageError(message)
    return outputs
