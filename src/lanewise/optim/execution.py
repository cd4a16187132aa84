"""Runs the rules of a stack over its lane buffer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.roster import Roster
from lanewise.optim.registry import rule
from lanewise.optim.rule import Rule, rowwise
from lanewise.optim.schedules import factors

FUSED_FROM = 4096
"""Parameters per lane from which one fused call per row beats one vectorized pass over all rows."""


@dataclass
class _Block:
    """Consecutive rows that the same rule updates, with its state ``[R, P]`` per slot.

    ``leaves`` holds for each row ``[params, grads, *slots]`` as the fused kernels take them; making these
    views anew at every step would cost as much as the update of a small network.
    """

    rule: Rule
    rows: slice
    slots: dict[str, Tensor]
    hyper: dict[str, Tensor]
    peak: Tensor
    leaves: list[list[list[Tensor]]]


class LaneOptimizer:
    """Per-lane optimization of a stack: rule, schedule, penalties, clipping.

    ``length`` is the number of steps of a full training, over which the schedules run. Order of a
    step: clip the gradient, add L2, decay, update, shrink by L1.
    """

    def __init__(self, roster: Roster, buffer: LaneBuffer, *, length: int) -> None:
        self.length = length
        self.taken = 0
        self._build(roster, buffer)

    def _build(self, roster: Roster, buffer: LaneBuffer, slots: Mapping[str, Tensor] | None = None) -> None:
        values = buffer.values
        self._buffer = buffer
        self._penalised = buffer.layout.penalised
        column = lambda name: torch.tensor(  # noqa: E731  # read four times, here only
            [lane.candidate.number(name) for lane in roster], dtype=torch.float64
        )
        self._l1, self._l2, self._clip = column("l1"), column("l2"), column("clip_norm")
        self._rate_factor = torch.ones(len(roster), dtype=torch.float64)
        # Steps behind each lane's state: a lane that was rewound has taken fewer than the stack.
        self._steps = torch.zeros(len(roster), dtype=torch.float64)
        self._blocks: list[_Block] = []
        for name, rows in roster.blocks():
            method = rule(name)
            lanes = roster.lanes[rows]
            hyper = {
                spec.name: torch.tensor(
                    [lane.candidate.number(spec.name, float(spec.default)) for lane in lanes], dtype=torch.float64
                )
                for spec in method.hypers
            }
            state = {slot: torch.zeros_like(values[rows]) for slot in method.slots}
            pieces = [values[rows], buffer.gradients[rows], *state.values()]
            leaves = [[[piece[row]] for piece in pieces] for row in range(len(lanes))] if self._fuses(values) else []
            self._blocks.append(_Block(method, rows, state, hyper, hyper["lr"].clone(), leaves))
        self._factors = self._schedule_table(roster)

    def _schedule_table(self, roster: Roster) -> Tensor:
        """Schedule factor of every step and lane ``[T, L]``; one column per distinct schedule is computed."""
        keys = [(lane.candidate.text("schedule", "linear"), lane.candidate.number("warmup")) for lane in roster]
        steps = torch.arange(self.length)
        distinct = {key: factors(key[0], steps, self.length, key[1]) for key in dict.fromkeys(keys)}
        return torch.stack([distinct[key] for key in keys], 1)

    def rates(self, step: int) -> Tensor:
        """Factor of the peak rate of every lane ``[L]`` at ``step`` (from 0), repairs included."""
        return self._factors[min(step, self.length - 1)] * self._rate_factor

    def step(self) -> None:
        """One update of every lane from the gradients in the buffer."""
        rates = self.rates(self.taken)
        self.taken += 1
        self._steps += 1
        self._clip_gradients()
        for block in self._blocks:
            block.hyper["lr"] = block.peak * rates[block.rows]
            self._update(block)
        self._buffer.refresh()

    def _clip_gradients(self) -> None:
        if not bool((self._clip > 0).any()):
            return
        gradients = self._buffer.gradients
        norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        limit = rowwise(self._clip, gradients)
        # where() and not a product: a lane without a limit must not even be multiplied by 1 x inf
        gradients.mul_(torch.where((limit > 0) & (norms > limit), limit / norms, torch.ones_like(norms)))

    def _update(self, block: _Block) -> None:
        rows, method, hyper = block.rows, block.rule, block.hyper
        values, gradients = self._buffer.values[rows], self._buffer.gradients[rows]
        weights, slopes = values[:, : self._penalised], gradients[:, : self._penalised]
        penalty = self._l2[rows]
        if not method.decoupled_decay and "weight_decay" in hyper:
            penalty = penalty + hyper["weight_decay"]
        if bool((penalty > 0).any()):
            slopes.addcmul_(weights, rowwise(penalty, weights))
        if method.decoupled_decay:
            weights.mul_(rowwise(1 - hyper["lr"] * hyper["weight_decay"], weights))
        taken = self._steps[rows]
        self._run(block, values, gradients, taken)
        l1 = self._l1[rows]
        if bool((l1 > 0).any()):
            state = {name: [slot[:, : self._penalised]] for name, slot in block.slots.items()}
            (metric,) = method.metric(state, hyper, taken)
            soft_threshold(weights, metric if metric.dim() > 1 else rowwise(metric, weights), rowwise(l1, weights))

    @staticmethod
    def _fuses(values: Tensor) -> bool:
        return values.shape[1] >= FUSED_FROM and values.dtype == torch.float32

    def _run(self, block: _Block, values: Tensor, gradients: Tensor, taken: Tensor) -> None:
        if block.leaves:
            settings = {name: column.tolist() for name, column in block.hyper.items()}
            steps = taken.float()
            for row, leaves in enumerate(block.leaves):
                if not block.rule.fused(leaves, {name: column[row] for name, column in settings.items()}, steps[row]):
                    break
            else:
                return
        state = {name: [slot] for name, slot in block.slots.items()}
        block.rule.update([values], [gradients], state, block.hyper, taken)

    def slow(self, row: int, factor: float) -> None:
        """Multiply every later rate of one lane by ``factor``."""
        self._rate_factor[row] *= factor

    def keep(self, rows: Sequence[int], roster: Roster, buffer: LaneBuffer) -> None:
        """Compact the state to ``rows``; ``roster`` and ``buffer`` are compacted already."""
        before = self.state()
        self._build(roster, buffer)
        index = torch.tensor(list(rows))
        self.restore({name: tensor[index] for name, tensor in before.items()})

    def state(self) -> dict[str, Tensor]:
        """All per-lane state ``[L, ...]`` by name, slots of absent rules as zeros."""
        result = {"rate_factor": self._rate_factor.clone(), "steps": self._steps.clone()}
        for block in self._blocks:
            for name, slot in block.slots.items():
                whole = result.setdefault(name, slot.new_zeros(len(self._rate_factor), slot.shape[1]))
                whole[block.rows] = slot
        return result

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self._rate_factor = state["rate_factor"].clone()
        self._steps = state["steps"].clone()
        for block in self._blocks:
            for name, slot in block.slots.items():
                slot.copy_(state[name][block.rows])


def soft_threshold(weights: Tensor, metric: Tensor, penalty: Tensor) -> None:
    """Proximal step of L1, in place: ``sign(w) max(|w| - metric penalty, 0)``.

    It makes weights exactly zero, which a subgradient does not (Parikh & Boyd 2014, section 6.5.2).
    ``weights [R, P]``, ``metric`` the effective rate per coordinate, ``penalty [R, 1]``.
    """
    threshold = metric * penalty
    weights.copy_(weights.sign() * (weights.abs() - threshold).clamp_min(0))
