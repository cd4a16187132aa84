"""Lanes of rules that torch lacks are what plain loops from the papers make of them."""

import pytest
from lane_cases import BEYOND_TORCH, STRUCTURE, Race, check_every_regularizer, lane, race_data, rows_of

from lanewise.optim.registry import RULES

LENGTH = 24
"""Steps in which warm-ups end and matrices are factored six times."""


@pytest.mark.parametrize("rule", BEYOND_TORCH)
@pytest.mark.parametrize("model", STRUCTURE)
def test_rule_with_every_regularizer(model: str, rule: str) -> None:
    check_every_regularizer(model, rule, refused=() if RULES[rule].proximal else ("l1",), length=LENGTH)


@pytest.mark.parametrize("model", STRUCTURE)
def test_all_of_them_in_one_stack_that_lanes_leave_and_that_is_resumed(model: str) -> None:
    lanes = [
        lane(
            f"{rule}{turn}",
            model,
            rule,
            {"l2": 0.05} if turn else {"clip_norm": 0.4, "weight_decay": 0.05},
            fold=(at + turn) % 3,
            seed=(at + 2 * turn) % 3,
            schedule=("linear", "constant")[turn],
        )
        for at, rule in enumerate((*BEYOND_TORCH, "adamw"))
        for turn in (0, 1)
    ]
    race = Race(lanes=lanes, data=race_data(), length=LENGTH)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(0.4)
    stack.keep({one.id for one in stack.lanes[::2]} | {one.id for one in stack.lanes[5:12]})
    stack.advance(0.6)
    tensors, rest = stack.state()
    later = Race(lanes=stack.lanes, data=race.data, length=race.length).stack()
    later.restore({name: tensor.clone() for name, tensor in tensors.items()}, rest)
    later.advance(1.0)
    race.hold(start, rows_of(later))
