"""Runs the rules of a stack over its lane buffer."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.roster import Roster
from lanewise.optim.blocks import Block, lane_block, leaves_of
from lanewise.optim.clipping import LaneClipping
from lanewise.optim.leaves import RowLeaves, rowwise
from lanewise.optim.registry import rule
from lanewise.optim.rule import Rule, State
from lanewise.optim.scaling import LaneScaling
from lanewise.optim.schedules import LanePlateau, factors, lane_plateau, schedule_of
from lanewise.optim.skipping import LaneSkipping

FUSED_FROM = 4096
"""Parameters per lane from which one fused call per row beats one vectorized pass over all rows."""

FUSED_SLOTS = 2
"""Slots from which it does: a rule of one or two operations has nothing to fuse."""

LEFT_OUT = ("skipped_in_a_row", "scaling/scale", "scaling/taken")
"""State that tells of updates that were left out, and so is kept where one is."""

SMALLEST = 1e-12
"""Added to the norm of a gradient, which may be zero."""


class LaneOptimizer:
    """Per-lane optimization of a stack: rule, schedule, penalties, clipping, sharpness-aware minimization.

    ``length`` is the number of steps of a full training, over which the schedules run. Order of a
    step: clip the gradient, add L2, decay, update, shrink by L1. ``skipped [L]`` says which lanes left the last update
    out, for ``skip_nonfinite``; None if none did. With ``scaled`` gradients are those of losses times ``scaling``, for
    passes in float16.
    """

    def __init__(self, roster: Roster, buffer: LaneBuffer, *, length: int, scaled: bool = False) -> None:
        self.length = length
        self._scaled = scaled
        self.taken = 0
        self._build(roster, buffer)

    def _build(self, roster: Roster, buffer: LaneBuffer) -> None:
        values = buffer.values
        roster = roster.at(self.taken, self.length)
        self._buffer = buffer
        device = values.device
        column = lambda name: torch.tensor(  # noqa: E731  # read here only
            [lane.candidate.number(name) for lane in roster], dtype=torch.float64, device=device
        )
        self._l1, self._l2, self._rho = map(column, ("l1", "l2", "sam_rho"))
        self.climbs = bool((self._rho > 0).any())
        self._clipping = LaneClipping(roster, device)
        wanted = column("skip_nonfinite") > 0
        self._skipping = LaneSkipping(wanted) if bool(wanted.any()) else None
        self.skipped: Tensor | None = None
        self.scaling = LaneScaling(len(roster), device) if self._scaled else None
        self._rate_factor = torch.ones(len(roster), dtype=torch.float64, device=device)
        # Steps behind each lane's state: a lane that was rewound has taken fewer than the stack.
        self._steps = torch.zeros(len(roster), dtype=torch.float64, device=device)
        self._blocks: list[Block] = []
        for name, rows in roster.blocks():
            for place in range(len(buffer.layout.groups)):
                self._blocks.append(self._block(lane_block(rule(name), rows, roster.lanes[rows], buffer, place)))
        self._factors = self._schedule_table(roster).to(device)
        self._plateau: LanePlateau | None = lane_plateau([lane.candidate for lane in roster], self.length, device)

    def _block(self, block: Block) -> Block:
        """The block, ready for the steps of these lanes."""
        rows, columns, buffer = block.rows, block.group.columns, self._buffer
        _check_l1(block.rule, self._l1[rows])
        decay = block.hyper.get("weight_decay", 0.0) if block.rule.decay == "coupled" else 0.0
        # Asked once: a look at a tensor costs as much as an operation on a small one.
        block.decays = bool((self._l2[rows] + decay > 0).any())
        block.shrinks = bool((self._l1[rows] > 0).any())
        block.decouples = block.rule.decay == "decoupled" and bool((block.hyper["weight_decay"] > 0).any())
        pieces = [buffer.values[rows, columns], buffer.gradients[rows, columns]]
        if self._fuses(block, pieces[0]):
            block.fuse([*pieces, *block.slots.values()], edge=block.group.layout.penalised)
        return block

    def _schedule_table(self, roster: Roster) -> Tensor:
        """Schedule factor of every step and lane ``[T, L]``; one column per distinct schedule is computed."""
        keys = [(*schedule_of(lane.candidate), lane.candidate.number("warmup")) for lane in roster]
        steps = torch.arange(self.length)
        distinct = {
            key: factors(name, steps, self.length, warmup, settings)
            for key in dict.fromkeys(keys)
            for name, settings, warmup in [key]
        }
        return torch.stack([distinct[key] for key in keys], 1)

    def rates(self, step: int) -> Tensor:
        """Factor of the peak rate of every lane ``[L]`` at ``step`` (from 0), repairs included."""
        rates = self._factors[min(step, self.length - 1)] * self._rate_factor
        return rates if self._plateau is None else rates * self._plateau.factors

    @property
    def recordable(self) -> bool:
        """Whether a step is made of operations on tensors alone, so that a CUDA graph can repeat it."""
        if self._plateau is not None or self._skipping is not None or self.scaling is not None:
            return False  # they look at losses and gradients
        rules = [block.rule for block in self._blocks]
        return all(own.capturable and not own.draws and not own.numbers for own in rules)

    def step(self, losses: Tensor | None = None, *, rates: Tensor | None = None) -> None:
        """One update of every lane from the gradients in the buffer, which came with ``losses [L]``.

        ``rates [L]`` are those of :meth:`rates`; None: they are asked for.
        """
        rates = self.rates(self.taken) if rates is None else rates
        self.taken += 1
        skipped = self._skipping.broken(self._buffer.gradients) if self._skipping else None
        overflowed = self.scaling.overflowed() if self.scaling else None
        broken = overflowed if skipped is None else skipped if overflowed is None else skipped | overflowed
        held = None if broken is None else (self._buffer.values[broken], self.state())
        self._steps += 1
        self._clip_gradients()
        for block in self._blocks:
            block.hyper["lr"] = block.peak * rates[block.rows]
            self._update(block)
        if self._plateau is not None and losses is not None:
            self._plateau.observe(losses)
        if broken is not None and held is not None:
            self._take_back(broken, *held)
        self.skipped = skipped
        self._buffer.refresh()

    def _take_back(self, rows: Tensor, values: Tensor, before: Mapping[str, Tensor]) -> None:
        """Put the lanes ``rows [L]`` back to what they were before the update."""
        self._buffer.values[rows] = values
        now = self.state()
        for name, tensor in now.items():
            if name not in LEFT_OUT:
                tensor[rows] = before[name][rows]
        self.restore(now)

    def climb(self) -> Tensor:
        """Move each lane that has a ``sam_rho`` by ``sam_rho g / |g|``, g being its gradient; returns the old values.

        That is where the loss around the weights is largest, to first order; the gradient taken there leads to
        flat minima (Foret et al. 2021). Lanes without a ``sam_rho`` stay where they are, to the bit.
        """
        values, gradients = self._buffer.values, self._buffer.gradients
        before = values.clone()
        norms = torch.linalg.vector_norm(gradients, dim=1, dtype=torch.float64)
        moved = torch.addcmul(values, gradients, rowwise(self._rho / (norms + SMALLEST), gradients))
        # Of a gradient that is not finite the update is left out, and statistics must not see such weights.
        climbs = (self._rho > 0) & norms.isfinite()
        values.copy_(torch.where(climbs[:, None], moved, values))
        self._buffer.refresh()
        return before

    def come_back(self, before: Tensor) -> None:
        """Put the weights back that :meth:`climb` returned."""
        self._buffer.values.copy_(before)
        self._buffer.refresh()

    def _clip_gradients(self) -> None:
        self._clipping.clip(self._buffer.values, self._buffer.gradients, self._buffer.layout)

    def _update(self, block: Block) -> None:
        rows, method, hyper = block.rows, block.rule, block.hyper
        taken = self._steps[rows]
        if block.decays:
            weights = self._buffer.values[rows, block.group.penalised]
            penalty = self._l2[rows]
            if method.decay == "coupled" and "weight_decay" in hyper:
                penalty = penalty + hyper["weight_decay"]
            self._buffer.gradients[rows, block.group.penalised].addcmul_(weights, rowwise(penalty, weights))
        if method.numbers:
            whole = block.whole
            method.measure(whole.params, whole.grads, whole.state, hyper, taken)
        self._run(block, taken)
        if block.shrinks:
            weights = self._buffer.values[rows, block.group.penalised]
            (metric,) = method.metric(block.penalised, hyper, taken)
            metric = metric if isinstance(metric, Tensor) and metric.dim() > 1 else rowwise(metric, weights)
            soft_threshold(weights, metric, rowwise(self._l1[rows], weights))

    @staticmethod
    def _fuses(block: Block, values: Tensor) -> bool:
        if values.shape[1] < FUSED_FROM or values.dtype != torch.float32 or values.device.type != "cpu":
            return False
        return len(block.slots) >= FUSED_SLOTS and not (block.rule.per_weight or block.rule.numbers)

    def _run(self, block: Block, taken: Tensor) -> None:
        method, hyper = block.rule, block.hyper
        if not block.within:
            self._decay(block)
        if block.fused:
            rates, steps = hyper["lr"].tolist(), taken.tolist()
            if all(
                method.fused(own.tensors, {**own.fixed, "lr": rates[own.row]}, steps[own.row]) for own in block.fused
            ):
                return
        if block.within:
            self._decay(block)
        for part in block.parts:
            if method.draws:
                block.draw(part, taken)
            own = hyper if part.penalised else {**hyper, "weight_decay": torch.zeros_like(taken)}
            method.update(part.params, part.grads, part.state, own, taken)

    def _decay(self, block: Block) -> None:
        """Shrink the penalised weights, where that is not a part of the rule's own update."""
        if block.decouples:
            weights = self._buffer.values[block.rows, block.group.penalised]
            weights.mul_(rowwise(1 - block.hyper["lr"] * block.hyper["weight_decay"], weights))

    def evaluation(self, values: Tensor) -> Tensor:
        """The weights ``[L, P]`` to judge lanes by, made of ``values [L, P]`` where a rule's differ from them."""
        result = values
        for block in self._blocks:
            if not block.rule.evaluates:
                continue
            result = values.clone() if result is values else result
            leaves = leaves_of(block.rule, block.group.layout, result[block.rows, block.group.columns])
            # a copy: training goes on from the state as it is
            slots = {name: slot.map(torch.clone) for name, slot in block.whole.state.leaves.items()}
            state = State(slots, block.numbers)
            block.rule.exchange(RowLeaves(list(leaves.values())), state, block.hyper, evaluation=True)
        return result

    def sparse(self, averages: Tensor) -> Tensor:
        """``averages [L, P + S]`` of weights, 0 where L1 holds a weight at exactly 0 now: an average of it never is."""
        result = averages
        for block in self._blocks:
            if block.shrinks:
                result = averages.clone() if result is averages else result
                held = self._buffer.values[block.rows, block.group.penalised] == 0
                result[block.rows, block.group.penalised].masked_fill_(held & (self._l1[block.rows] > 0)[:, None], 0.0)
        return result

    def slow(self, row: int, factor: float) -> None:
        """Multiply every later rate of one lane by ``factor``."""
        self._rate_factor[row] *= factor

    def keep(self, rows: Sequence[int], roster: Roster, buffer: LaneBuffer) -> None:
        """Compact the state to ``rows``; ``roster`` and ``buffer`` are compacted already."""
        before = self.state()
        self._build(roster, buffer)
        index = torch.tensor(list(rows))
        self.restore({name: tensor[index] for name, tensor in before.items()})

    def state(self, *, shared: bool = False) -> dict[str, Tensor]:
        """All per-lane state ``[L, ...]`` by name, state of absent rules as zeros.

        With ``shared``, to be read at once only: what need not be put together is not copied.
        """
        result = {"rate_factor": self._rate_factor.clone(), "steps": self._steps.clone()}
        whole = slice(0, len(self._rate_factor))
        for block in self._blocks:
            for name, own in block.saved().items():
                if shared and block.rows == whole:
                    result[name] = own
                    continue
                rows = result.setdefault(name, own.new_zeros(len(self._rate_factor), *own.shape[1:]))
                rows[block.rows] = own
        if self._skipping is not None:
            result["skipped_in_a_row"] = self._skipping.in_a_row.clone()
        if self.scaling is not None:
            result |= {"scaling/scale": self.scaling.scale.clone(), "scaling/taken": self.scaling.taken.clone()}
        if self._plateau is not None:
            result |= {f"plateau/{name}": own.clone() for name, own in self._plateau.state().items()}
        return result

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self._rate_factor.copy_(state["rate_factor"])
        self._steps.copy_(state["steps"])
        for block in self._blocks:
            block.restore({name: state[name][block.rows] for name in block.saved()})
        if self._skipping is not None:
            self._skipping.in_a_row = state["skipped_in_a_row"].clone()
        if self.scaling is not None:
            self.scaling.scale, self.scaling.taken = state["scaling/scale"].clone(), state["scaling/taken"].clone()
        if self._plateau is not None:
            self._plateau.restore({name: state[f"plateau/{name}"] for name in self._plateau.state()})


def _check_l1(rule: Rule, l1: Tensor) -> None:
    """Refuse L1 ``[R]`` where no proximal step goes with the rule."""
    if rule.proximal or not bool((l1 > 0).any()):
        return
    message = (
        f"l1 must be 0 with {rule.name}, got {float(l1.max()):g}: its step has no rate for each weight by which L1 "
        "could shrink it; take a weight_decay or l2 with it, or l1 with another rule, such as adamw or momentum (for a "
        "linear model also the solver lbfgs)"
    )
    raise UsageError(message)


def soft_threshold(weights: Tensor, metric: Tensor, penalty: Tensor) -> None:
    """Proximal step of L1, in place: ``sign(w) max(|w| - metric penalty, 0)``.

    It makes weights exactly zero, which a subgradient does not (Parikh & Boyd 2014, section 6.5.2).
    ``weights [R, P]``, ``metric`` the effective rate per coordinate, ``penalty [R, 1]``.
    """
    threshold = metric * penalty
    weights.copy_(weights.sign() * (weights.abs() - threshold).clamp_min(0))
