"""Which way lanes of a user's own module are run: of those that give what a lane alone does, the faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lanewise.errors import Interrupted, LanewiseError, first_sentence
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.batch import IMAGE_DIMS, leaves
from lanewise.models.module import IN_EVALUATION, without_batching_rules
from lanewise.training.modules.subject import lane_loss
from lanewise.training.modules.teams import ALONE, ModuleTeams, Way
from lanewise.training.stack import Stack

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 2.0**-8, torch.bfloat16: 2.0**-5}
"""By how much stacked gradients may differ from those of a lane alone, relative to the largest.

In the lower precisions that is a few roundings of the products: four units in the last place."""

CHECKED_STEPS = 2
CHECKED_ROWS = 3
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SEVERAL = 2
"""Convolutions from which images with their channels last are faster on a CPU, 1.1 to 1.4 times; a single one of three
channels, whose outputs are flattened, takes twice as long so."""

ONE_BY_ONE = "lanes are trained one by one"

Faster = Callable[[ModuleTeams, Sequence[Way]], Way]
"""Of ways that give the same, the one that is faster for such lanes."""


def choose_way(teams: ModuleTeams, batch: int, *, faster: Faster | None = None) -> Way:
    """Whether lanes of this batch size can be stacked, and whether that pays.

    Two lanes are trained for two steps stacked and one by one: losses, gradients and statistics must agree; where
    products are rounded to a lower precision, both so and without, which shows more. Of what agrees ``faster`` takes
    one. None: no clock is read, and lanes are stacked but for convolutions on a CPU. A module that recomputes parts of
    itself in the backward pass finds other weights there than those it was called with, unless its lane is alone.
    """
    asked = [teams] if teams.autocast is None else [replace(teams, autocast=None), teams]
    truths = [(own, _tried(own, batch, ALONE, lanes=1 if own.blueprint.recomputes else 2)) for own in asked]
    on_cpu = teams.device.type == "cpu"
    slow = on_cpu and any(isinstance(part, CONVOLUTIONS) for part in teams.blueprint.template.modules())
    stacked, why = None, "convolutions are faster so on a CPU"
    if teams.blueprint.recomputes:
        why = "the module computes parts of itself once more in the backward pass, as torch.utils.checkpoint does"
    elif not slow or faster is not None:
        width = teams.usual_width(batch)
        words = f"stacked, up to {width} lanes in one pass"
        ways = [Way(looped=False, loss_looped=looped, width=width, words=words) for looped in (False, True)]
        stacked, said = _first_equal(truths, batch, ways)
        if stacked is None:
            why = f"stacking them failed ({said})"
        elif faster is None:
            return stacked
        elif not slow:
            why = "that is faster"
    words = f"{ONE_BY_ONE}: {why}"
    ways = [Way(looped=True, loss_looped=False, width=1, words=words)]
    if on_cpu and _convolves(teams, batch):
        ways.insert(0, replace(ways[0], pixelwise=True, words=f"{words}, images with their channels last"))
    found, _ = _first_equal(truths, batch, ways)
    looped = found or Way(looped=True, loss_looped=True, width=1, words=words)
    if stacked is None or faster is None:
        return looped
    return faster(teams, (looped, stacked) if slow else (stacked, looped))


def compiled_differs(teams: ModuleTeams, batch: int, way: Way) -> str:
    """What differs between a lane that is trained for two steps by compiled code and as it is; empty: nothing.

    Raises whatever torch raises where it cannot be compiled.
    """
    truth = _tried(teams, batch, replace(way, compiled=False), lanes=1)
    with teams.blueprint.compiled_call.compiling():
        return _differs(teams, batch, way, truth)


def _convolves(teams: ModuleTeams, batch: int) -> bool:
    """Whether :data:`SEVERAL` convolutions read images."""
    if sum(isinstance(part, nn.Conv2d) for part in teams.blueprint.template.modules()) < SEVERAL:
        return False
    shown = teams.data.folds[0].dense[:batch]
    inputs = shown if teams.read is None else teams.read(shown, IN_EVALUATION)
    return any(isinstance(leaf, Tensor) and leaf.dim() == IMAGE_DIMS for _, leaf in leaves(inputs))


def _first_equal(
    truths: Sequence[tuple[ModuleTeams, "_Tried"]], batch: int, ways: Sequence[Way]
) -> tuple[Way | None, str]:
    """The first of ``ways`` that gives what is true for each of the teams; None, and why the last one does not."""
    said = ""
    for way in ways:
        try:
            with without_batching_rules():
                found = (_differs(own, batch, way, truth) for own, truth in truths)
                said = next(filter(None, found), "")
        except Interrupted:
            raise
        except Exception as error:  # whatever vmap or the user's code raises there
            # Of a step or a loss that is refused on the way the cause says why, and nothing is the user's to mend.
            cause = (isinstance(error, LanewiseError) and error.__cause__) or error
            said = f"{type(cause).__name__}: {first_sentence(cause)}"
        if not said:
            return way, ""
    return None, said


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """Lanes after a few steps, and how each row of a few is judged, ``[L, n]``."""

    stack: Stack
    judged: Tensor


def _tried(teams: ModuleTeams, batch: int, way: Way, *, lanes: int) -> _Tried:
    tried = [
        Lane(
            candidate=Candidate(
                id=f"try{place}",
                model="module",
                optimizer="sgd",
                settings={"lr": 1e-3 * (place + 1), "batch_size": batch, "schedule": "constant"},
            ),
            fold=0,
            seed=0,
        )
        for place in range(lanes)
    ]
    stack = teams.stack(tried, way, length=CHECKED_STEPS)
    if stack.optimizer.scaling is not None:
        stack.optimizer.scaling.scale.fill_(1.0)  # the usual one is too large at first, and says nothing of the ways
    stack.advance(1.0)
    rows = teams.data.folds[0].valid[:CHECKED_ROWS]
    outputs = stack.outputs(lambda fold: rows)
    if teams.blueprint.whole:
        return _Tried(stack=stack, judged=torch.stack(outputs))
    with torch.no_grad():
        loss = lane_loss(teams.loss, teams.data, looped=way.loss_looped)
        judged = torch.stack([loss.rows(own, teams.data.folds[0].targets(rows)) for own in outputs])
    return _Tried(stack=stack, judged=judged)


def _differs(teams: ModuleTeams, batch: int, way: Way, truth: _Tried) -> str:
    """What differs between lanes that are run this way and the same in ``truth``; empty where nothing does."""
    found = _tried(teams, batch, way, lanes=len(truth.stack.lanes))
    allowed = TOLERANCE.get(teams.rounds_to, TOLERANCE[torch.float32])
    for what, one, other in (
        ("gradients", found.stack.buffer.gradients, truth.stack.buffer.gradients),
        ("weights or statistics", found.stack.buffer.rows, truth.stack.buffer.rows),
        ("losses of rows", found.judged, truth.judged),
    ):
        gap, largest = float((one - other).abs().max()), float(other.abs().max())
        if not gap <= allowed * max(largest, 1e-30):
            return f"{what} differ by {gap / max(largest, 1e-30):.1e} of the largest"
    return ""
