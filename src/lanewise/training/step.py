"""The one training step: of lanes in their buffer, and of one model that its ranks share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lanewise.distributed.data_axis import DataAxis
from lanewise.distributed.portion import Pass, Pieces, Portion
from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.draws import generator, keyed_seed
from lanewise.losses import LOSSES, Loss
from lanewise.models.base import Inputs, Noise, PartOfBatch, StackedModel
from lanewise.models.batch import called
from lanewise.models.casting import LOW
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.scaling import LaneScaling


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs with their ``targets [G, B]`` and ``weights [G, B]`` (None: all 1).

    ``share`` is that of their rows in the whole batch, where other ranks have the others.
    """

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None
    share: float = 1.0


class KeyedNoise(Noise):
    """Dropout draws keyed by seed, layer and step; ``seeds`` names the seed of each group.

    They are drawn on the CPU and brought to ``device``: every device sees the same.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        step: int,
        device: torch.device | None = None,
        *,
        part: PartOfBatch | None = None,
    ) -> None:
        self._seeds = seeds
        self._step = step
        self._device = device
        self.part = part

    def uniform(self, layer: str, shape: Sequence[int]) -> Tensor:
        draws = {
            seed: self.rows(
                lambda whole, seed=seed: torch.rand(whole, generator=generator(seed, "dropout", layer, self._step)),
                shape,
            )
            for seed in dict.fromkeys(self._seeds)
        }
        return torch.stack([draws[seed] for seed in self._seeds]).to(self._device)

    def key(self, layer: str, group: int) -> int:
        return keyed_seed(self._seeds[group], "dropout", layer, self._step)


def mean_loss(loss: str | Loss, outputs: Tensor, batch: Batch, smoothing: Tensor | None) -> Tensor:
    """Weighted mean over the batch of each lane's loss, ``[L]``."""
    outputs = outputs.float() if outputs.dtype in LOW else outputs
    kernel = LOSSES[loss] if isinstance(loss, str) else loss
    losses = kernel(outputs, batch.inputs.per_lane(batch.targets), smoothing)
    if batch.weights is not None:
        losses = losses * batch.inputs.per_lane(batch.weights)
    return losses.sum(-1) / losses.shape[-1]  # the gradient of mean() is a matrix that is filled with one number


def step(
    model: StackedModel,
    buffer: LaneBuffer,
    optimizer: LaneOptimizer,
    batch: Batch,
    *,
    loss: str | Loss,
    smoothing: Tensor | None,
    noise: Noise,
    rates: Tensor | None = None,
    axis: DataAxis | None = None,
    autocast: torch.dtype | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Tensor:
    """Forward, backward, update of all lanes on one batch; returns the losses ``[L]`` before it.

    The losses are summed over lanes and averaged over rows, so each lane's gradient is its own. Where a lane wants
    sharpness-aware minimization the gradient is taken again at its perturbed weights, with the same dropout draws.
    ``rates [L]`` are those of this step, where the optimizer is not to look them up. Of a batch that ranks share
    along an ``axis`` gradients and losses are those of all its rows, before anything looks at them; ``meanwhile`` is
    called while they travel, and is not to touch the buffer. ``autocast`` is the dtype of products in the forward pass.
    An optimizer with a scale for each lane finds the gradients of the losses times that, and takes it off.
    """

    def gradients(meanwhile: Callable[[], None] | None = None) -> Tensor:
        with casting(autocast, batch.inputs.dense.device):
            losses = _losses(model, buffer, batch, loss=loss, smoothing=smoothing, noise=noise)
        with model.backward():
            own = _gradients(buffer, losses, optimizer.scaling)
        total = own if axis is None else axis.add_gradients(buffer, own, meanwhile=meanwhile)
        if optimizer.scaling is not None:
            optimizer.scaling.unscale(buffer.gradients)
        return total

    losses = gradients(meanwhile)
    if optimizer.climbs:
        with torch.no_grad():
            before = optimizer.climb()
        gradients()
        with torch.no_grad():
            optimizer.come_back(before)
    with torch.no_grad():
        optimizer.step(losses) if rates is None else optimizer.step(losses, rates=rates)
    # The loss of an update that was left out would have its lane rewound.
    return losses if optimizer.skipped is None else torch.where(optimizer.skipped, 0.0, losses)


def _losses(
    model: StackedModel,
    buffer: LaneBuffer,
    batch: Batch,
    *,
    loss: str | Loss,
    smoothing: Tensor | None,
    noise: Noise,
) -> Tensor | None:
    """Their share of the losses ``[L]`` of the rows that are here; None where there are fewer rows than ranks."""
    if batch.share == 0.0:
        return None
    losses = mean_loss(loss, model.forward(buffer.weights, batch.inputs, noise=noise), batch, smoothing)
    return losses if batch.share == 1.0 else losses * batch.share


def _gradients(buffer: LaneBuffer, losses: Tensor | None, scaling: LaneScaling | None) -> Tensor:
    """Write the gradients of ``losses [L]``, scaled where they are to be, into the buffer; the losses themselves."""
    if losses is None:
        buffer.gradients.zero_()
        return buffer.gradients.new_zeros(len(buffer))
    told = losses if scaling is None else scaling.scaled(losses)
    # Of all lanes at once; told the ones instead of the sum, torch loads sympy first, which takes most of a second.
    told.sum().backward()
    return losses.detach()


def casting(dtype: torch.dtype | None, device: torch.device) -> AbstractContextManager[object]:
    """``torch.autocast`` to ``dtype`` on ``device``; nothing for None."""
    if dtype is None:
        return nullcontext()
    # What is kept from one use of a weight to the next must not be kept by a recorded step.
    return torch.autocast(device.type, dtype=dtype, cache_enabled=device.type == "cpu")


def step_of_model(
    portion: Portion, optimizer: Optimizer, pieces: Pieces, *, loss: Callable[[Any, Any], Tensor], clip_norm: float
) -> Tensor:
    """Forward, backward, update of one model on one batch; returns the loss of this rank's rows before it.

    ``pieces`` are the own rows, whose gradients are added up; ``clip_norm`` limits the norm of the gradient of all
    weights together, 0: it does not.
    """
    optimizer.zero_grad()
    value = portion.gradients(pieces, Pass(call=called, loss=loss, back=_back))
    if clip_norm:
        norm = portion.norm()
        factor = torch.where(norm > clip_norm, clip_norm / norm, torch.ones_like(norm))
        with torch.no_grad():
            for leaf in portion.leaves.values():
                if leaf.grad is not None:
                    leaf.grad.mul_(factor.to(leaf.grad.dtype))
    optimizer.step()
    return value


def _back(loss: Tensor) -> None:
    loss.backward()
