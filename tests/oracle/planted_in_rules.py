"""Bugs of the rules that torch lacks, of their noise, and of the gradient that is taken twice."""

from typing import Any, Final

import torch
from planting import Bug, Patch, around, planting
from torch import Tensor

from lanewise.optim import ademamix, blocks, kronecker, soap
from lanewise.optim.blocks import Block
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.prodigy import ProdigyRule
from lanewise.optim.schedule_free_sgd import ScheduleFreeSGDRule

BUGS: Final[list[Bug]] = []
planted = planting(BUGS)


@planted
def noise_is_the_same_at_every_step(patch: Patch) -> None:
    around(patch, Block, "draw", lambda draw, self, part, steps: draw(self, part, torch.ones_like(steps)))


@planted
def noise_is_that_of_another_seed(patch: Patch) -> None:
    around(patch, blocks, "generator", lambda make, seed, *key: make(seed + 1, *key))


@planted
def sharp_lanes_stay_where_they_climbed(patch: Patch) -> None:
    patch.setattr(LaneOptimizer, "come_back", lambda self, before: None)


@planted
def sharp_lanes_climb_along_the_gradients_of_all(patch: Patch) -> None:
    def together(climb: Any, self: LaneOptimizer) -> Tensor:
        own = self._rho
        norms = torch.linalg.vector_norm(self._buffer.gradients, dim=1, dtype=torch.float64)
        self._rho = own * norms / norms.norm()
        before = climb(self)
        self._rho = own
        return before

    around(patch, LaneOptimizer, "climb", together)


@planted
def squares_keep_their_order_when_the_basis_is_sorted(patch: Patch) -> None:
    def unsorted(turn: Any, matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        return turn(matrix, basis)[0], torch.arange(len(matrix))

    around(patch, soap, "turned_basis", unsorted)


@planted
def roots_are_made_one_step_late(patch: Patch) -> None:
    from lanewise.optim import shampoo

    around(patch, shampoo, "due", lambda due, step, every, rows: kronecker.due(step + every - 1, every, rows))


@planted
def warmed_memory_grows_by_itself_instead_of_by_its_half_life(patch: Patch) -> None:
    around(patch, ademamix, "warmed", lambda _, first, last, share: first + share * (last - first))


@planted
def average_forgets_the_weight_of_earlier_steps(patch: Patch) -> None:
    def forgetful(measure: Any, self: Any, params: Any, grads: Any, state: Any, *rest: Any) -> None:
        state.numbers["total"] = state.numbers["total"] * 0.9
        measure(self, params, grads, state, *rest)

    around(patch, ScheduleFreeSGDRule, "measure", forgetful)


@planted
def estimated_distance_may_shrink(patch: Patch) -> None:
    def shrinking(measure: Any, self: Any, params: Any, grads: Any, state: Any, *rest: Any) -> None:
        measure(self, params, grads, state, *rest)
        state.numbers["distance"] = state.numbers["distance"] * 0.99

    around(patch, ProdigyRule, "measure", shrinking)
