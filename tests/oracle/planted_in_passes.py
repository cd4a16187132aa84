"""Bugs of the forward and backward pass: gradients, losses, rows and draws."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import torch
from planting import Bug, Patch, around, planting
from torch import Tensor

from lanewise.lanes.draws import RowStream, generator
from lanewise.models import layers
from lanewise.models.base import Inputs, StackedModel
from lanewise.models.mlp import StackedMLP
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.leaves import rowwise
from lanewise.training import batches as batches_module
from lanewise.training import step as step_module
from lanewise.training.batches import Batches
from lanewise.training.step import Batch, KeyedNoise

BUGS: Final[list[Bug]] = []
planted = planting(BUGS)

# --- gradients and losses -----------------------------------------------------------------------


@planted
def gradients_are_accumulated(patch: Patch) -> None:
    patch.setattr(layers, "_write_product", lambda a, b, out: out.add_(torch.bmm(a, b)))


@planted
def mean_is_divided_by_one_row_less(patch: Patch) -> None:
    def biased(mean_loss: Any, loss: str, outputs: Tensor, *rest: Any) -> Tensor:
        return mean_loss(loss, outputs, *rest) * outputs.shape[1] / (outputs.shape[1] - 1)

    around(patch, step_module, "mean_loss", biased)


@planted
def row_weights_are_ignored(patch: Patch) -> None:
    def unweighted(mean_loss: Any, loss: str, outputs: Tensor, batch: Batch, smoothing: Tensor | None) -> Tensor:
        return mean_loss(loss, outputs, dataclasses.replace(batch, weights=None), smoothing)

    around(patch, step_module, "mean_loss", unweighted)


@planted
def row_weights_are_normalised_per_batch(patch: Patch) -> None:
    def normalised(mean_loss: Any, loss: str, outputs: Tensor, batch: Batch, smoothing: Tensor | None) -> Tensor:
        if batch.weights is not None:
            batch = dataclasses.replace(batch, weights=batch.weights / batch.weights.mean(1, keepdim=True))
        return mean_loss(loss, outputs, batch, smoothing)

    around(patch, step_module, "mean_loss", normalised)


@planted
def label_smoothing_keeps_what_it_should_take(patch: Patch) -> None:
    def swapped(mean_loss: Any, loss: str, outputs: Tensor, batch: Batch, smoothing: Tensor | None) -> Tensor:
        return mean_loss(loss, outputs, batch, None if smoothing is None else 1 - smoothing)

    around(patch, step_module, "mean_loss", swapped)


@planted
def label_smoothing_of_the_neighbour(patch: Patch) -> None:
    def rolled(mean_loss: Any, loss: str, outputs: Tensor, batch: Batch, smoothing: Tensor | None) -> Tensor:
        return mean_loss(loss, outputs, batch, None if smoothing is None else smoothing.roll(1))

    around(patch, step_module, "mean_loss", rolled)


@planted
def two_lanes_are_swapped_in_one_view(patch: Patch) -> None:
    def swapped(step: Any, self: LaneOptimizer, losses: Tensor) -> None:
        views = self._buffer.layout.views(self._buffer.gradients)
        bias = views["bias" if "bias" in views else "head.bias"]
        bias[:2] = bias[:2].flip(0)
        step(self, losses)

    around(patch, LaneOptimizer, "step", swapped)


@planted
def repeated_codes_count_once(patch: Patch) -> None:
    def halved(read: Any, self: layers.Weight) -> Tensor:
        value = read(self)
        return value * 0.5 + value.detach() * 0.5

    around(patch, layers.Weight, "read", halved)


# --- which rows and draws -----------------------------------------------------------------------


@planted
def dropout_draws_are_of_the_step_before(patch: Patch) -> None:
    around(
        patch,
        KeyedNoise,
        "__init__",
        lambda init, self, seeds, step, *rest, **own: init(self, seeds, step - 1, *rest, **own),
    )


@planted
def dropout_draws_are_the_same_in_every_layer(patch: Patch) -> None:
    around(patch, KeyedNoise, "uniform", lambda uniform, self, layer, shape: uniform(self, "layer0", shape))


@planted
def dropout_is_drawn_per_lane(patch: Patch) -> None:
    def own(drop: Any, self: StackedMLP, hidden: Tensor, layer: str, *rest: Any) -> Tensor:
        inputs: Inputs = rest[0]

        class PerLane:
            def uniform(self, layer: str, shape: Sequence[int]) -> Tensor:
                draws = [torch.rand(tuple(shape), generator=generator(row, layer)) for row in range(len(hidden))]
                return torch.stack(draws)

        return drop(self, hidden, layer, dataclasses.replace(inputs, sizes=(1,) * len(hidden)), PerLane())

    around(patch, StackedMLP, "_drop", own)


@planted
def dropout_does_not_scale_what_it_keeps(patch: Patch) -> None:
    def unscaled(drop: Any, self: StackedMLP, hidden: Tensor, *rest: Any) -> Tensor:
        assert self.dropout is not None
        return drop(self, hidden, *rest) * rowwise(1 - self.dropout, hidden)

    around(patch, StackedMLP, "_drop", unscaled)


@planted
def validation_row_is_trained_on(patch: Patch) -> None:
    def leaking(seed: int, rows: Tensor, total: int) -> RowStream:
        held = [row for row in range(total) if row not in set(rows.tolist())]
        return RowStream(seed, torch.cat([rows, torch.tensor(held[:1])]), total)

    patch.setattr(batches_module, "RowStream", leaking)


@planted
def last_rows_of_an_epoch_are_dropped(patch: Patch) -> None:
    class Dropping:
        def __init__(self, seed: int, rows: Tensor, total: int) -> None:
            self.stream, self.length = RowStream(seed, rows, total), len(rows)

        def take(self, start: int, count: int) -> Tensor:
            batches = self.length // count
            epoch, batch = divmod(start // count, batches)
            return self.stream.take(epoch * self.length + batch * count, count)

    patch.setattr(batches_module, "RowStream", Dropping)


@planted
def epochs_share_one_order(patch: Patch) -> None:
    class Repeating:
        def __init__(self, seed: int, rows: Tensor, total: int) -> None:
            self.order = RowStream(seed, rows, total).take(0, len(rows))

        def take(self, start: int, count: int) -> Tensor:
            return self.order[torch.arange(start, start + count) % len(self.order)]

    patch.setattr(batches_module, "RowStream", Repeating)


@planted
def inputs_go_to_the_wrong_group(patch: Patch) -> None:
    around(patch, Inputs, "per_lane", lambda per_lane, self, shared: per_lane(self, shared.roll(1, 0)))


@planted
def codes_are_those_of_another_fold(patch: Patch) -> None:
    def wrong(batch_of: Any, self: Batches, shown: Sequence[Tensor]) -> Batch:
        batch = batch_of(self, shown)
        return dataclasses.replace(batch, inputs=dataclasses.replace(batch.inputs, codes=batch.inputs.codes.roll(1, 0)))

    around(patch, Batches, "batch", wrong)


@planted
def start_is_drawn_by_place(patch: Patch) -> None:
    def placed(init: Any, self: StackedModel, seeds: Sequence[int], *rest: Any) -> Tensor:
        return init(self, [seed + 100 * row for row, seed in enumerate(seeds)], *rest)

    around(patch, StackedModel, "init", placed)
