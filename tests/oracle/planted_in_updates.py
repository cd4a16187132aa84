"""Bugs of the update and of what follows: penalties, rules, leaving, repairing, resuming, predicting."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from planting import Bug, Patch, around, planting
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models import layers, mlp
from lanewise.models.mlp import StackedMLP
from lanewise.optim import adam, execution
from lanewise.optim.adam import AdamRule
from lanewise.optim.adamw import AdamWRule
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.leaves import rowwise
from lanewise.optim.momentum import MomentumRule
from lanewise.optim.nesterov import NesterovRule
from lanewise.optim.rmsprop import RMSpropRule
from lanewise.training.batches import Batches
from lanewise.training.data import TrainingData
from lanewise.training.stack import Stack
from lanewise.training.watching.guard import Guard

BUGS: Final[list[Bug]] = []
planted = planting(BUGS)

# --- schedule, clipping, penalties --------------------------------------------------------------


@planted
def schedule_is_one_step_ahead(patch: Patch) -> None:
    around(patch, LaneOptimizer, "rates", lambda rates, self, step: rates(self, step + 1))


@planted
def warmup_starts_at_zero(patch: Patch) -> None:
    def late(factors: Any, name: str, steps: Tensor, length: int, *rest: Any) -> Tensor:
        climb = round(rest[0] * length)
        whole = factors(name, steps, length, *rest)
        return torch.where(steps < climb, steps / max(climb, 1), whole)

    around(patch, execution, "factors", late)


@planted
def schedules_are_those_of_the_neighbours(patch: Patch) -> None:
    around(patch, LaneOptimizer, "_schedule_table", lambda table, self, roster: table(self, roster).roll(1, 1))


@planted
def clipping_looks_at_the_whole_stack(patch: Patch) -> None:
    def together(self: LaneOptimizer) -> None:
        gradients = self._buffer.gradients
        limit = rowwise(self._clipping.norm, gradients)
        norm = torch.linalg.vector_norm(gradients)
        gradients.mul_(torch.where((limit > 0) & (norm > limit), limit / norm, torch.ones_like(limit)))

    patch.setattr(LaneOptimizer, "_clip_gradients", together)


@planted
def clipping_comes_after_l2(patch: Patch) -> None:
    def late(step: Any, self: LaneOptimizer, losses: Tensor) -> None:
        penalised = self._buffer.layout.penalised
        weights = self._buffer.values[:, :penalised]
        self._buffer.gradients[:, :penalised].addcmul_(weights, rowwise(self._l2, weights))
        kept, self._l2 = self._l2, torch.zeros_like(self._l2)
        step(self, losses)
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
        biases = self._buffer.values[block.rows, self._buffer.layout.penalised :]
        biases.mul_(rowwise(1 - block.hyper["lr"] * block.hyper["weight_decay"], biases))
        update(self, block)

    around(patch, LaneOptimizer, "_update", everywhere)


@planted
def l1_reaches_biases(patch: Patch) -> None:
    def everywhere(update: Any, self: LaneOptimizer, block: Any) -> None:
        update(self, block)
        biases = self._buffer.values[block.rows, self._buffer.layout.penalised :]
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
    for kind in (AdamRule, RMSpropRule):
        patch.setattr(kind, "metric", lambda self, state, hyper, step: [hyper["lr"]])


# --- rules --------------------------------------------------------------------------------------


@planted
def bias_correction_is_one_step_late(patch: Patch) -> None:
    around(patch, adam, "bias_correction", lambda correct, beta, step: correct(beta, step + 1))


@planted
def epsilon_is_inside_the_root(patch: Patch) -> None:
    def inside(update: Any, self: AdamRule, params: Any, grads: Any, *rest: Any) -> None:
        state, hyper, step = rest
        before = [param.clone() for param in params]
        update(self, params, grads, state, hyper, step)
        correction = adam.bias_correction(hyper["beta2"], step)
        for param, old, square in zip(params, before, state["mean_square"], strict=True):
            true = square / rowwise(correction, square)
            epsilon = rowwise(hyper["eps"], square)
            param.copy_(old + (param - old) * (true.sqrt() + epsilon) / (true + epsilon).sqrt())

    around(patch, AdamRule, "update", inside)


@planted
def momentum_is_dampened(patch: Patch) -> None:
    def dampened(update: Any, self: MomentumRule, params: Any, grads: Any, *rest: Any) -> None:
        state, hyper, step = rest
        update(self, params, grads.mul(1 - hyper["momentum"]), state, hyper, step)

    around(patch, MomentumRule, "update", dampened)


@planted
def nesterov_does_not_look_ahead(patch: Patch) -> None:
    patch.setattr(NesterovRule, "update", MomentumRule.update)


@planted
def rmsprop_remembers_the_wrong_share(patch: Patch) -> None:
    def swapped(update: Any, self: RMSpropRule, params: Any, grads: Any, *rest: Any) -> None:
        state, hyper, step = rest
        update(self, params, grads, state, {**hyper, "alpha": 1 - hyper["alpha"]}, step)

    around(patch, RMSpropRule, "update", swapped)


@planted
def decay_of_adamw_is_coupled(patch: Patch) -> None:
    patch.setattr(AdamWRule, "decay", "coupled")


@planted
def decay_of_adamw_ignores_the_schedule(patch: Patch) -> None:
    def peak(update: Any, self: LaneOptimizer, block: Any) -> None:
        if block.rule.decay == "decoupled":
            weights = self._buffer.values[block.rows, : self._buffer.layout.penalised]
            wrong = 1 - block.peak * block.hyper["weight_decay"]
            right = 1 - block.hyper["lr"] * block.hyper["weight_decay"]
            weights.mul_(rowwise(wrong / right, weights))
        update(self, block)

    around(patch, LaneOptimizer, "_update", peak)


@planted
def fused_kernel_counts_from_zero(patch: Patch) -> None:
    # torch's kernel would divide by zero at step 0, so the bug is a count that stands still at 1.
    around(patch, AdamRule, "fused", lambda fused, self, rows, hyper, step: fused(self, rows, hyper, 1.0))


@planted
def layer_norm_has_another_epsilon(patch: Patch) -> None:
    normalize = mlp.stacked_layer_norm
    patch.setattr(mlp, "stacked_layer_norm", lambda inputs, scale, shift: normalize(inputs, scale, shift, 1e-6))


@planted
def relu_lets_every_gradient_through(patch: Patch) -> None:
    patch.setattr(layers, "_through_relu", lambda grad, outputs: grad)


@planted
def full_batch_is_an_ordinary_batch(patch: Patch) -> None:
    def ordinary(init: Any, self: Batches, data: TrainingData, roster: Any, **own: Any) -> None:
        init(self, data, roster, **{**own, "batch_size": own["batch_size"] or data.rows})

    around(patch, Batches, "__init__", ordinary)


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
    def mistaken(rewind: Any, self: Guard, row: int, buffer: LaneBuffer, *rest: Any, **settings: Any) -> None:
        rewind(self, row, buffer, *rest, **settings)
        buffer.values[row] = self.snapshot["values"][(row + 1) % len(buffer)]

    around(patch, Guard, "rewind", mistaken)


@planted
def repair_leaves_the_optimizer_as_it_is(patch: Patch) -> None:
    def partial(rewind: Any, self: Guard, row: int, *rest: Any, **settings: Any) -> None:
        optimizer: LaneOptimizer = rest[1]
        before = optimizer.state()
        rewind(self, row, *rest, **settings)
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
    def shifted(outputs: Any, self: Stack, rows_of: Callable[[int], Tensor], **given: Any) -> list[Tensor]:
        return outputs(self, lambda fold: rows_of(fold).roll(1), **given)

    around(patch, Stack, "outputs", shifted)
