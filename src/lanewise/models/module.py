"""Any ``torch.nn.Module`` as lanes: one call of the module under ``torch.func.vmap``, or lane by lane."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lanewise.errors import UsageError
from lanewise.lanes.hyper import Hyper
from lanewise.models.attention_kernels import attends, attention_kernels
from lanewise.models.base import Inputs, Noise, StackedModel, Weights
from lanewise.models.batch import Tree, channels_last
from lanewise.models.blueprint import Blueprint, check_outputs
from lanewise.models.bound import Bound
from lanewise.models.casting import CastProducts
from lanewise.models.chain import Chain
from lanewise.models.complex_views import ComplexViews
from lanewise.models.keyed_draws import generator_in_use, keyed_draws
from lanewise.models.rectified import Rectified, within

Tensors = Mapping[str, Tensor]

Reader = Callable[[Tensor, int], Tree]
"""``(rows [B], key)`` to the batch of those rows; what reading draws is keyed."""

SEQUENCE_DIMS = 3
"""From so many dims on outputs ``[B, T, ...]`` may be of sequences."""

IN_EVALUATION = 0
"""Key of what a module draws although it is not being trained."""


@contextmanager
def without_batching_rules() -> Iterator[None]:
    """torch calls lane by lane what it cannot vectorize, and warns of it at each place: it is the plan's affair."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        yield


@final
class StackedModule(StackedModel):
    """The lanes of one :class:`Blueprint`.

    A :class:`Chain` of torch's own layers runs as batched products. Any other module trains a single lane itself,
    :class:`Bound` to it, and is called under vmap for several; with ``looped`` for one lane after another: for what
    vmap cannot do, and for what is faster so. The lanes of a group share their batch and what the module draws. With
    ``read`` the inputs are numbers of rows, which it makes a batch of, once for all lanes of a group. With
    ``pixelwise`` images are laid out pixel by pixel, their channels last. With ``compiled`` a single lane in training
    is called as the blueprint's :class:`~lanewise.models.compiled.CompiledCall` has it.
    """

    name: ClassVar[str] = "module"
    hypers: ClassVar[tuple[Hyper, ...]] = ()
    structure: ClassVar[tuple[str, ...]] = ("batch_size",)

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        looped: bool = False,
        pixelwise: bool = False,
        compiled: bool = False,
        read: Reader | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.looped = looped
        self.pixelwise = pixelwise
        self._compiled = blueprint.compiled_call if compiled else None
        self._read = read
        self.layout = blueprint.layout
        self.footprint = blueprint.footprint
        self._module = blueprint.module().train()  # as built it may be in another mode than train() leaves it in
        tensors = {**dict(self._module.named_parameters()), **dict(self._module.named_buffers())}
        self._dtypes = {own.name: tensors[own.name].dtype for own in self.layout.statistics}
        self._names = _names_of_each(self._module, tensors)
        self._chain = None if looped else Chain.of(self._module, self.layout)
        self._attends = attends(self._module)
        self._joining = ComplexViews.of(self.layout)
        self._bound: Bound | None = None
        self._forms: dict[tuple[bool, torch.Size], torch.Size] = {}
        self._device: torch.device | None = None

    def place(self, device: torch.device) -> None:
        self._device = device
        self._module.to(device)

    def init(self, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.stack([self.blueprint.start(seed).to(dtype) for seed in seeds])

    def solo(self, row: Tensors) -> nn.Module:
        """A module of the user's own class with the weights and statistics of ``row``."""
        module = self.blueprint.anew()
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        shared = {**dict(self._module.named_parameters()), **dict(self._module.named_buffers())}
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(row.get(name, shared[name]))
        return module

    def forward(self, weights: Weights, inputs: Inputs, *, noise: Noise | None = None) -> Tensor:
        if self._chain is not None:
            return self._chain(weights, inputs, layer=self.name, noise=noise)
        if noise is not None and inputs.sizes == (1,):
            return self._single(weights, inputs.dense[0], noise.key(self.name, 0))
        training = noise is not None
        if training:
            # A module that decides in Python, by a draw say, may skip a weight, whose gradient is then not written.
            for own in self.layout.parameters:
                grad = weights[own.name].value.grad
                assert grad is not None
                grad.zero_()
        if self._module.training is not training:
            self._module.train(training)
        read = {own.name: weights[own.name].read() for own in self.layout.parameters}
        state = {own.name: weights[own.name].value for own in self.layout.statistics}
        if len(inputs.sizes) == 1:
            key = noise.key(self.name, 0) if noise is not None else IN_EVALUATION
            return self._group(read, state, inputs.dense[0], key, training=training)
        trained = {name: tensor.split(inputs.sizes) for name, tensor in read.items()}
        beside = {name: tensor.split(inputs.sizes) for name, tensor in state.items()}
        outputs = []
        for group, batch in enumerate(inputs.dense):
            key = noise.key(self.name, group) if noise is not None else IN_EVALUATION
            own = {name: parts[group] for name, parts in trained.items()}
            kept = {name: parts[group] for name, parts in beside.items()}
            outputs.append(self._group(own, kept, batch, key, training=training))
        return torch.cat(outputs)

    def _single(self, weights: Weights, shared: Tensor, key: int) -> Tensor:
        """Outputs ``[1, B, ...]`` of the only lane in training."""
        batch = self._batch(shared, key)
        if not self._module.training:
            self._module.train()
        if self._bound is None or self._bound.weights is not weights:
            if self._bound is not None:
                self._module = self.blueprint.module().to(self._device).train()
            self._bound = Bound(self._module, weights, self.layout)
        # What is switched off after the first pass, as joining is, would have it compiled twice.
        drawing = self._drawing(key, joins=self._compiled is None)
        with self._bound.training() as module, self._attending(plain=False), drawing:
            outputs = module(batch) if self._compiled is None else self._compiled(module, batch)
            return self._checked(outputs, batch).unsqueeze(0)

    def _batch(self, shared: Tensor, key: int) -> Tree:
        batch = shared if self._read is None else self._read(shared, key)
        return channels_last(batch) if self.pixelwise else batch

    def _checked(self, outputs: Tensor, batch: Tree) -> Tensor:
        if self.blueprint.whole:
            return outputs
        found = check_outputs(outputs, len(batch))
        # A loss may take any width: a module that changes its own would train on, and mean something else. Only of
        # sequences the length may go with what is in them.
        known = self._forms.setdefault((self._module.training, batch.shape[1:]), found.shape[1:])
        if known != found.shape[1:] and (found.dim() < SEQUENCE_DIMS or len(known) != found.dim() - 1):
            message = (
                f"the module returned {tuple(found.shape)} for a batch of {len(batch)} rows, and {tuple(known)} for "
                "each row before; equal shapes of inputs must give equal shapes of outputs, in every call"
            )
            raise UsageError(message)
        return found

    def _group(self, weights: Tensors, kept: Tensors, shared: Tensor, key: int, *, training: bool) -> Tensor:
        """Outputs ``[L, B, ...]`` of lanes that share a batch ``[B, ...]``; ``kept`` is written in training."""
        batch = self._batch(shared, key)
        # Copies: a normalization under vmap changes what it is given only if that lies in one piece.
        changed = {name: tensor.to(self._dtypes[name], copy=True) for name, tensor in kept.items()}
        lanes = len(next(iter(weights.values())))
        if self.looped or lanes == 1:
            outputs = self._one_by_one(weights, changed, batch, key)
        else:
            with self._attending(plain=True), self._drawing(key), self._casting(weights):
                outputs = vmap(self._call, in_dims=(0, 0, None), randomness="same")(weights, changed, batch)
        if training:
            with torch.no_grad():
                for name, tensor in kept.items():
                    tensor.copy_(changed[name])
        return outputs

    def _one_by_one(self, weights: Tensors, kept: Tensors, batch: Tree, key: int) -> Tensor:
        pieces = {name: tensor.unbind(0) for name, tensor in weights.items()}
        found = []
        for lane in range(len(next(iter(pieces.values())))):
            own = {name: parts[lane] for name, parts in pieces.items()}
            with self._attending(plain=False), self._drawing(key):
                found.append(self._call(own, {name: tensor[lane] for name, tensor in kept.items()}, batch))
        return found[0].unsqueeze(0) if len(found) == 1 else torch.stack(found)

    def _call(self, weights: Tensors, kept: Tensors, batch: Tree) -> Tensor:
        return self._checked(self._output(weights, kept, batch), batch)

    def _output(self, weights: Tensors, kept: Tensors, batch: Tree, **options: bool) -> Any:
        tensors = {name: tensor for own, tensor in (*weights.items(), *kept.items()) for name in self._names[own]}
        return functional_call(self._module, tensors, (batch,), options, tie_weights=False)

    def silent(self, weights: Tensors, shared: Tensor) -> list[Tensor]:
        """For each rectifier of a pass, which units ``[L, U]`` give zero for all rows of a batch ``[B, ...]``.

        ``weights`` are views ``[L, *shape]`` of all parameters and statistics of lanes, which are not changed.
        """
        batch = self._batch(shared, IN_EVALUATION)
        self._module.eval()
        tensors = {**weights, **{name: weights[name].to(dtype, copy=True) for name, dtype in self._dtypes.items()}}
        whole = self.blueprint.whole
        asked = self._module.children() if whole else [self._module]  # not what the loss rectifies
        options = {"watched": True} if whole else {}  # no row by itself, whose units are not those of the batch
        with torch.no_grad(), self._attending(plain=True), within(asked) as counts:

            def look(own: Tensors, batch: Tree) -> tuple[Tensor, ...]:
                with self._drawing(IN_EVALUATION), Rectified(self._module, counts) as seen:
                    self._output(own, {}, batch, **options)
                return tuple(seen.silent)

            if not self.looped:
                with self._casting(weights):
                    return list(vmap(look, in_dims=(0, None), randomness="same")(tensors, batch))
            lanes = range(len(next(iter(tensors.values()))))
            each = [look({name: tensor[lane] for name, tensor in tensors.items()}, batch) for lane in lanes]
            return [torch.stack(own) for own in zip(*each, strict=True)]

    def _casting(self, weights: Tensors):
        """What makes ``torch.autocast``, here or in the module itself, cast under vmap as without it."""
        kind = next(iter(weights.values())).device.type
        asked = self.blueprint.casts is not None or torch.is_autocast_enabled(kind)
        return CastProducts() if asked else nullcontext()

    def _attending(self, *, plain: bool):
        """The kernels of attention, for which other threads may have to be waited for, where there may be any."""
        return attention_kernels(plain=plain) if self._attends else nullcontext()

    def _drawing(self, key: int, *, joins: bool = True):
        own = self.blueprint
        draws = nullcontext()
        if own.draws:
            draws = keyed_draws(key, others=own.draws_elsewhere, recomputed=own.recomputes)
        if self._joining is None or self._joining.idle or not joins:
            return draws
        return self._joining.within(draws)

    def backward(self):
        return self._recomputing() if self.blueprint.recomputes else nullcontext()

    @contextmanager
    def _recomputing(self) -> Iterator[None]:
        """Parts of the module that are called once more find the kernels of the forward pass; others that draw wait.

        They do so also for a module that draws nothing: torch sets the generator back, and then forward, all the same.
        """
        with self._attending(plain=False), generator_in_use():
            yield


def _names_of_each(module: nn.Module, tensors: Tensors) -> dict[str, list[str]]:
    """All names under which the module has each tensor: more than one where weights are tied."""
    everywhere = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {own: [name for name, other in everywhere if other is tensor] for own, tensor in tensors.items()}
