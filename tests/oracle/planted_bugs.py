"""Bugs to plant in the implementation, one at a time: each is what someone could write by mistake.

A bug is a function that patches the code; its name says what is wrong. The draws that the truth shares
with the implementation (``RowStream``, ``generator``) are patched only where the stack uses them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.draws import RowStream, generator
from lanewise.models import layers, mlp
from lanewise.models.base import Inputs, StackedModel
from lanewise.models.mlp import StackedMLP
from lanewise.optim import adam, execution
from lanewise.optim.adam import Adam
from lanewise.optim.adamw import AdamW
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.momentum import Momentum
from lanewise.optim.nesterov import Nesterov
from lanewise.optim.rmsprop import RMSprop
from lanewise.optim.rule import rowwise
from lanewise.training import stack as stack_module
from lanewise.training import step as step_module
from lanewise.training.guard import Guard
from lanewise.training.stack import Stack
from lanewise.training.step import Batch, KeyedNoise

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]
BUGS: Final[list[Bug]] = []


def planted(bug: Bug) -> Bug:
    BUGS.append(bug)
    return bug


def around(patch: Patch, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by ``wrapper(original, *arguments)``."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))


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
    def swapped(step: Any, self: LaneOptimizer) -> None:
        views = self._buffer.layout.views(self._buffer.gradients)
        bias = views["bias" if "bias" in views else "head.bias"]
        bias[:2] = bias[:2].flip(0)
        step(self)

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
    around(patch, KeyedNoise, "__init__", lambda init, self, seeds, step: init(self, seeds, step - 1))


@planted
def dropout_draws_are_the_same_in_every_layer(patch: Patch) -> None:
    around(patch, KeyedNoise, "uniform", lambda uniform, self, layer, shape: uniform(self, "layer0", shape))


@planted
def dropout_is_drawn_per_lane(patch: Patch) -> None:
    def own(drop: Any, self: StackedMLP, hidden: Tensor, layer: str, inputs: Inputs, noise: Any) -> Tensor:
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

    patch.setattr(stack_module, "RowStream", leaking)


@planted
def last_rows_of_an_epoch_are_dropped(patch: Patch) -> None:
    class Dropping:
        def __init__(self, seed: int, rows: Tensor, total: int) -> None:
            self.stream, self.length = RowStream(seed, rows, total), len(rows)

        def take(self, start: int, count: int) -> Tensor:
            batches = self.length // count
            epoch, batch = divmod(start // count, batches)
            return self.stream.take(epoch * self.length + batch * count, count)

    patch.setattr(stack_module, "RowStream", Dropping)


@planted
def epochs_share_one_order(patch: Patch) -> None:
    class Repeating:
        def __init__(self, seed: int, rows: Tensor, total: int) -> None:
            self.order = RowStream(seed, rows, total).take(0, len(rows))

        def take(self, start: int, count: int) -> Tensor:
            return self.order[torch.arange(start, start + count) % len(self.order)]

    patch.setattr(stack_module, "RowStream", Repeating)


@planted
def inputs_go_to_the_wrong_group(patch: Patch) -> None:
    around(patch, Inputs, "per_lane", lambda per_lane, self, shared: per_lane(self, shared.roll(1, 0)))


@planted
def codes_are_those_of_another_fold(patch: Patch) -> None:
    def wrong(batch_of: Any, self: Stack, at: int) -> Batch:
        batch = batch_of(self, at)
        return dataclasses.replace(batch, inputs=dataclasses.replace(batch.inputs, codes=batch.inputs.codes.roll(1, 0)))

    around(patch, Stack, "_batch", wrong)


@planted
def start_is_drawn_by_place(patch: Patch) -> None:
    def placed(init: Any, self: StackedModel, seeds: Sequence[int], *rest: Any) -> Tensor:
        return init(self, [seed + 100 * row for row, seed in enumerate(seeds)], *rest)

    around(patch, StackedModel, "init", placed)


# --- schedule, clipping, penalties --------------------------------------------------------------


@planted
def schedule_is_one_step_ahead(patch: Patch) -> None:
    around(patch, LaneOptimizer, "rates", lambda rates, self, step: rates(self, step + 1))


@planted
def warmup_starts_at_zero(patch: Patch) -> None:
    def late(factors: Any, name: str, steps: Tensor, length: int, warmup: float) -> Tensor:
        climb = round(warmup * length)
        whole = factors(name, steps, length, warmup)
        return torch.where(steps < climb, steps / max(climb, 1), whole)

    around(patch, execution, "factors", late)


@planted
def schedules_are_those_of_the_neighbours(patch: Patch) -> None:
    around(patch, LaneOptimizer, "_schedule_table", lambda table, self, roster: table(self, roster).roll(1, 1))


@planted
def clipping_looks_at_the_whole_stack(patch: Patch) -> None:
    def together(self: LaneOptimizer) -> None:
        gradients = self._buffer.gradients
        limit = rowwise(self._clip, gradients)
        norm = torch.linalg.vector_norm(gradients)
        gradients.mul_(torch.where((limit > 0) & (norm > limit), limit / norm, torch.ones_like(limit)))

    patch.setattr(LaneOptimizer, "_clip_gradients", together)


@planted
def clipping_comes_after_l2(patch: Patch) -> None:
    def late(step: Any, self: LaneOptimizer) -> None:
        penalised = self._penalised
        weights = self._buffer.values[:, :penalised]
        self._buffer.gradients[:, :penalised].addcmul_(weights, rowwise(self._l2, weights))
        kept, self._l2 = self._l2, torch.zeros_like(self._l2)
        step(self)
        self._l2 = kept

    around(patch, LaneOptimizer, "step", late)


@planted
def l2_is_doubled(patch: Patch) -> None:
    def doubled(update: Any, self: LaneOptimizer, block: Any) -> None:
        kept, self._l2 = self._l2, self._l2 * 2
        update(self, block)
        self._l2 = kept

    around(patch, LaneOptimizer, "_update", doubled)


@planted
def weight_decay_reaches_biases(patch: Patch) -> None:
    def everywhere(update: Any, self: LaneOptimizer, block: Any) -> None:
        biases = self._buffer.values[block.rows, self._penalised :]
        biases.mul_(rowwise(1 - block.hyper["lr"] * block.hyper["weight_decay"], biases))
        update(self, block)

    around(patch, LaneOptimizer, "_update", everywhere)


@planted
def l1_reaches_biases(patch: Patch) -> None:
    def everywhere(update: Any, self: LaneOptimizer, block: Any) -> None:
        update(self, block)
        biases = self._buffer.values[block.rows, self._penalised :]
        threshold = rowwise(block.hyper["lr"] * self._l1[block.rows], biases)
        biases.copy_(biases.sign() * (biases.abs() - threshold).clamp_min(0))

    around(patch, LaneOptimizer, "_update", everywhere)


@planted
def l1_threshold_knows_no_rate(patch: Patch) -> None:
    def rateless(shrink: Any, weights: Tensor, metric: Tensor, penalty: Tensor) -> None:
        shrink(weights, torch.ones_like(metric), penalty)

    around(patch, execution, "soft_threshold", rateless)


@planted
def l1_threshold_is_in_the_plain_metric(patch: Patch) -> None:
    for kind in (Adam, RMSprop):
        patch.setattr(kind, "metric", lambda self, state, hyper, step: [hyper["lr"]])


# --- rules --------------------------------------------------------------------------------------


@planted
def bias_correction_is_one_step_late(patch: Patch) -> None:
    around(patch, adam, "bias_correction", lambda correct, beta, step: correct(beta, step + 1))


@planted
def epsilon_is_inside_the_root(patch: Patch) -> None:
    def inside(update: Any, self: Adam, params: Any, grads: Any, state: Any, hyper: Any, step: Tensor) -> None:
        before = [param.clone() for param in params]
        update(self, params, grads, state, hyper, step)
        correction = adam.bias_correction(hyper["beta2"], step)
        for param, old, square in zip(params, before, state["mean_square"], strict=True):
            true = square / rowwise(correction, square)
            epsilon = rowwise(hyper["eps"], square)
            param.copy_(old + (param - old) * (true.sqrt() + epsilon) / (true + epsilon).sqrt())

    around(patch, Adam, "update", inside)


@planted
def momentum_is_dampened(patch: Patch) -> None:
    def dampened(update: Any, self: Momentum, params: Any, grads: Any, state: Any, hyper: Any, step: Tensor) -> None:
        update(self, params, [grad * rowwise(1 - hyper["momentum"], grad) for grad in grads], state, hyper, step)

    around(patch, Momentum, "update", dampened)


@planted
def nesterov_does_not_look_ahead(patch: Patch) -> None:
    patch.setattr(Nesterov, "update", Momentum.update)


@planted
def rmsprop_remembers_the_wrong_share(patch: Patch) -> None:
    def swapped(update: Any, self: RMSprop, params: Any, grads: Any, state: Any, hyper: Any, step: Tensor) -> None:
        update(self, params, grads, state, {**hyper, "alpha": 1 - hyper["alpha"]}, step)

    around(patch, RMSprop, "update", swapped)


@planted
def decay_of_adamw_is_coupled(patch: Patch) -> None:
    patch.setattr(AdamW, "decoupled_decay", False)


@planted
def decay_of_adamw_ignores_the_schedule(patch: Patch) -> None:
    def peak(update: Any, self: LaneOptimizer, block: Any) -> None:
        if block.rule.decoupled_decay:
            weights = self._buffer.values[block.rows, : self._penalised]
            wrong = 1 - block.peak * block.hyper["weight_decay"]
            right = 1 - block.hyper["lr"] * block.hyper["weight_decay"]
            weights.mul_(rowwise(wrong / right, weights))
        update(self, block)

    around(patch, LaneOptimizer, "_update", peak)


@planted
def fused_kernel_counts_from_zero(patch: Patch) -> None:
    # torch's kernel would divide by zero at step 0, so the bug is a count that stands still at 1.
    around(patch, Adam, "fused", lambda fused, self, rows, hyper, step: fused(self, rows, hyper, torch.ones_like(step)))


@planted
def layer_norm_has_another_epsilon(patch: Patch) -> None:
    normalize = mlp.stacked_layer_norm
    patch.setattr(mlp, "stacked_layer_norm", lambda inputs, scale, shift: normalize(inputs, scale, shift, 1e-6))


@planted
def relu_lets_every_gradient_through(patch: Patch) -> None:
    patch.setattr(torch.ops.aten, "threshold_backward", lambda grad, outputs, threshold: grad)


@planted
def full_batch_is_an_ordinary_batch(patch: Patch) -> None:
    def ordinary(init: Any, self: Stack, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._full_batch = False

    around(patch, Stack, "__init__", ordinary)


# --- leaving, repairing, resuming, predicting ---------------------------------------------------


@planted
def state_stays_behind_when_rows_leave(patch: Patch) -> None:
    def unmoved(keep: Any, self: LaneOptimizer, rows: Sequence[int], roster: Any, buffer: LaneBuffer) -> None:
        keep(self, list(range(len(rows))), roster, buffer)

    around(patch, LaneOptimizer, "keep", unmoved)


@planted
def dropout_rates_stay_behind_when_rows_leave(patch: Patch) -> None:
    def unmoved(keep: Any, self: Stack, lanes: Any) -> None:
        assert isinstance(self.model, StackedMLP)
        before = self.model.dropout
        keep(self, lanes)
        assert isinstance(self.model, StackedMLP)
        self.model.dropout = None if before is None else before[: len(self.lanes)]

    around(patch, Stack, "keep", unmoved)


@planted
def lower_rate_is_lost_when_rows_leave(patch: Patch) -> None:
    def forgetful(restore: Any, self: LaneOptimizer, state: Any) -> None:
        restore(self, state)
        self._rate_factor = torch.ones_like(self._rate_factor)

    around(patch, LaneOptimizer, "restore", forgetful)


@planted
def snapshot_of_the_neighbour_is_restored(patch: Patch) -> None:
    def mistaken(rewind: Any, self: Guard, row: int, buffer: LaneBuffer, *rest: Any) -> None:
        rewind(self, row, buffer, *rest)
        buffer.values[row] = self.snapshot["values"][(row + 1) % len(buffer)]

    around(patch, Guard, "rewind", mistaken)


@planted
def repair_leaves_the_optimizer_as_it_is(patch: Patch) -> None:
    def partial(rewind: Any, self: Guard, row: int, buffer: LaneBuffer, optimizer: LaneOptimizer, mean: Tensor) -> None:
        before = optimizer.state()
        rewind(self, row, buffer, optimizer, mean)
        after = optimizer.state()
        optimizer.restore(before | {"rate_factor": after["rate_factor"]})

    around(patch, Guard, "rewind", partial)


@planted
def resumed_count_of_steps_is_one_short(patch: Patch) -> None:
    def short(restore: Any, self: Stack, tensors: Any, rest: Any) -> None:
        restore(self, tensors, rest)
        self.optimizer.taken -= 1

    around(patch, Stack, "restore", short)


@planted
def resumed_optimizer_starts_anew(patch: Patch) -> None:
    patch.setattr(LaneOptimizer, "restore", lambda self, state: None)


@planted
def center_of_the_target_is_lost(patch: Patch) -> None:
    def uncentered(respond: Any, self: Stack, fold: int, raw: Tensor) -> Any:
        return respond(self, fold, raw) - self.data.folds[fold].center

    around(patch, Stack, "_response", uncentered)


@planted
def unit_of_the_target_is_that_of_another_fold(patch: Patch) -> None:
    around(patch, Stack, "_response", lambda respond, self, fold, raw: respond(self, (fold + 1) % 3, raw))


@planted
def predictions_are_of_other_rows(patch: Patch) -> None:
    def shifted(outputs: Any, self: Stack, rows_of: Callable[[int], Tensor]) -> list[Tensor]:
        return outputs(self, lambda fold: rows_of(fold).roll(1))

    around(patch, Stack, "outputs", shifted)
