"""The rows of a stack that one rule updates, laid out as the leaves that the rule wants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lanewise.lanes.buffer import BufferLayout, Group, LaneBuffer
from lanewise.lanes.draws import generator
from lanewise.lanes.roster import Lane
from lanewise.optim.leaves import RowLeaves, Scalar
from lanewise.optim.rule import Rule, State

SPLIT_FROM = 50_000
"""Weights of a lane from which another call of a kernel takes less time than a pass that decays them."""


@dataclass
class Part:
    """Leaves that one call of the rule updates; ``penalised`` says whether weight decay is for them."""

    params: RowLeaves
    grads: RowLeaves
    state: State
    penalised: bool = True


@dataclass
class Fused:
    """One call of a fused kernel: ``[params, grads, *slots]`` of a row or of a part of it, and its fixed settings."""

    row: int
    tensors: list[list[Tensor]]
    fixed: dict[str, float]


@dataclass
class Block:
    """A group of parameters in consecutive rows with the same rule, and its state by the key under which it is saved.

    ``whole`` are all leaves; ``parts`` are the same as ``update`` gets them, apart by whether they are penalised
    where the rule decays them itself. ``penalised`` is the state of the penalised weights, as the proximal step reads
    it. ``decays`` and ``shrinks`` say whether any row has a penalty that is added to its gradient, and L1;
    ``decouples`` whether any has a decay apart from it. ``fused`` is what the fused kernels are called with; making
    these views anew at every step would cost as much as the update of a small network. ``within`` says that they decay.
    ``apart`` begins the keys of the state where there are several groups.
    """

    rule: Rule
    rows: slice
    group: Group
    seeds: list[int]
    hyper: dict[str, Tensor]
    peak: Tensor
    slots: dict[str, Tensor]
    numbers: dict[str, Scalar]
    whole: Part
    parts: list[Part]
    penalised: State
    decays: bool = False
    shrinks: bool = False
    decouples: bool = False
    fused: list[Fused] = field(default_factory=list)
    within: bool = False
    apart: str = ""

    def fuse(self, pieces: Sequence[Tensor], *, edge: int) -> None:
        """Prepare calls of the fused kernels over ``pieces [R, P]``, penalised up to ``edge``.

        A kernel decays all weights of a call alike: two calls a row are worth it where they spare a pass over many.
        """
        lanes, width = pieces[0].shape
        self.within = self.decouples and (edge == width or width >= SPLIT_FROM)
        columns = {name: column.tolist() for name, column in self.hyper.items()}
        for row in range(lanes):
            fixed = {name: column[row] for name, column in columns.items()}
            # By the row's own decay and no other's: where a call is cut, its last weights may round otherwise.
            decays = self.within and fixed["weight_decay"] > 0
            cut = decays and edge < width
            parts = [(slice(edge), True), (slice(edge, None), False)] if cut else [(slice(width), True)]
            for part, penalised in parts:
                own = fixed if decays and penalised else {**fixed, "weight_decay": 0.0}
                self.fused.append(Fused(row, [[piece[row, part]] for piece in pieces], own))

    def saved(self) -> dict[str, Tensor]:
        """State ``[R, ...]`` by name; what a leaf has no need of is left out."""
        found = {name: slot for name, slot in self.slots.items() if slot.numel()}
        start = f"{self.apart}{self.rule.name}/"
        return found | {f"{start}{name}": torch.as_tensor(own) for name, own in self.numbers.items()}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Take over what :meth:`saved` gave."""
        for name, slot in self.slots.items():
            if slot.numel():
                slot.copy_(saved[name])
        for name in self.numbers:
            self.numbers[name] = saved[f"{self.apart}{self.rule.name}/{name}"].clone()

    def draw(self, part: Part, steps: Tensor) -> None:
        """Standard normal numbers for a part, keyed by each lane's seed and step ``[R]``."""
        keys = list(zip(self.seeds, map(int, steps.tolist()), strict=True))
        sources = {key: generator(key[0], "draws", key[1], f"{self.apart}{int(part.penalised)}") for key in keys}

        def drawn(leaf: Tensor) -> Tensor:
            shape = leaf.shape[1:]
            own = {key: torch.randn(shape, generator=source, dtype=leaf.dtype) for key, source in sources.items()}
            return torch.stack([own[key] for key in keys]).to(leaf.device)

        part.state.leaves = {**part.state.leaves, "draws": part.params.map(drawn)}


def leaves_of(rule: Rule, layout: BufferLayout, values: Tensor) -> dict[str, Tensor]:
    """The leaves of ``values [R, P]`` as the rule wants them: whole rows, each weight, or penalised and not."""
    if rule.per_weight:
        return layout.views(values)
    edge = layout.penalised
    if rule.decay == "own" and 0 < edge < layout.width:
        return {"penalised": values[:, :edge], "free": values[:, edge:]}
    return {"": values}


def state_elements(rule: Rule, layout: BufferLayout) -> int:
    """How many numbers the slots of one lane hold; they are made for a moment (meta tensors load half of torch)."""
    leaves = leaves_of(rule, layout, torch.zeros(1, layout.width)).values()
    hyper = {spec.name: float(spec.default) for spec in rule.hypers}
    return sum(slot.first(leaf, hyper).numel() for leaf in leaves for slot in rule.slots)


def lane_block(rule: Rule, rows: slice, lanes: Sequence[Lane], buffer: LaneBuffer, place: int = 0) -> Block:
    """A block of the group of that ``place`` in the layout, with its state as before the first step."""
    group = buffer.layout.groups[place]
    layout, apart = group.layout, f"group {place}/" if place else ""
    hyper = _hyper(rule, lanes, group, buffer.values.device)
    numbers: dict[str, Scalar] = {
        number.name: torch.full((len(lanes),), number.start, dtype=torch.float64, device=buffer.values.device)
        for number in rule.numbers
    }
    params = leaves_of(rule, layout, buffer.values[rows, group.columns])
    grads = leaves_of(rule, layout, buffer.gradients[rows, group.columns])
    key = {name: apart + (f"{rule.name}/{name}/" if name else "") for name in params}
    slots = {
        key[name] + slot.name: slot.first(leaf, hyper).contiguous()
        for name, leaf in params.items()
        for slot in rule.slots
    }

    def part(names: Sequence[str], *, penalised: bool = True) -> Part:
        state = {slot.name: RowLeaves([slots[key[name] + slot.name] for name in names]) for slot in rule.slots}
        return Part(
            RowLeaves([params[name] for name in names]),
            RowLeaves([grads[name] for name in names]),
            State(state, numbers),
            penalised,
        )

    whole = part(list(params))
    split = _by_decay(rule, layout, params)
    penalised = (
        {}
        if rule.per_weight
        else {name: RowLeaves([slot[0][:, : layout.penalised]]) for name, slot in whole.state.leaves.items()}
    )
    return Block(
        rule=rule,
        rows=rows,
        group=group,
        apart=apart,
        seeds=[lane.seed for lane in lanes],
        hyper=hyper,
        peak=hyper["lr"].clone(),
        slots=slots,
        numbers=numbers,
        whole=whole,
        parts=[part(names, penalised=side) for names, side in split] if split else [whole],
        penalised=State(penalised, numbers),
    )


def _hyper(rule: Rule, lanes: Sequence[Lane], group: Group, device: torch.device) -> dict[str, Tensor]:
    """Hyper-parameters ``[R]`` of the lanes by name, with what the group multiplies rate and decay by."""
    hyper = {
        spec.name: torch.tensor(
            [lane.candidate.number(spec.name, float(spec.default)) for lane in lanes],
            dtype=torch.float64,
            device=device,
        )
        for spec in rule.hypers
    }
    hyper["lr"] *= group.rate
    if "weight_decay" in hyper:
        hyper["weight_decay"] *= group.decay
    return hyper


def _by_decay(rule: Rule, layout: BufferLayout, leaves: Iterable[str]) -> list[tuple[list[str], bool]]:
    """The leaves that a rule decays itself, and those that it does not; nothing where the step decays."""
    if rule.decay != "own":
        return []
    if rule.per_weight:
        own = {parameter.name: parameter.penalised for parameter in layout.parameters}
    else:
        own = {"penalised": True, "free": False, "": layout.penalised > 0}
    names = list(leaves)
    split = [([name for name in names if own[name] is side], side) for side in (True, False)]
    return [(some, side) for some, side in split if some]
