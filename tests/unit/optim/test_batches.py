"""What one step of a drop-in gathers from its groups."""

from typing import Any

import pytest
import torch
from torch import nn

import lanewise.optim as ours
from lanewise.optim import batches
from lanewise.optim.batches import KnownStates, gathered_alike
from lanewise.optim.momentum import MomentumRule

Params = list[nn.Parameter]


def weights(count: int) -> Params:
    found = [nn.Parameter(torch.full((2,), float(at))) for at in range(count)]
    for param in found:
        param.grad = torch.ones(2)
    return found


def gathered(params: Params, state: dict[Any, Any] | None = None) -> batches.Batch | None:
    state = {param: {} for param in params} if state is None else state
    return gathered_alike(MomentumRule(), {"lr": 0.1}, params, KnownStates(state))


def test_ordinary_leaves_are_one_batch_and_their_step_counts() -> None:
    params = weights(3)
    params[1].grad = None
    state: dict[Any, Any] = {param: {} for param in params}
    batch = gathered(params, state)
    assert batch is not None
    assert [id(param) for param in batch.params] == [id(params[0]), id(params[2])]
    assert batch.slots[0][1] is state[params[2]]["velocity"]
    assert [own.get("step") for own in state.values()] == [1, None, 1]


def test_states_are_found_in_order_and_out_of_it() -> None:
    params = weights(4)
    state: dict[Any, Any] = {param: {"of": at} for at, param in enumerate(params)}
    known = KnownStates(state)
    asked = [params[:2], params[3:], params[2:], [params[0]]]
    assert [[own["of"] for own in known.of(run)] for run in asked] == [[0, 1], [3], [2, 3], [0]]


@pytest.mark.parametrize("odd", ["double", "sparse", "step"])
def test_leaves_that_differ_are_left_to_the_careful_way_uncounted(odd: str) -> None:
    params = weights(3)
    state: dict[Any, Any] = {param: {"step": 4, "velocity": torch.zeros(2)} for param in params}
    if odd == "double":
        params[1].grad, params[1].data = None, params[1].data.double()
        params[1].grad = torch.ones(2).double()
    elif odd == "sparse":
        params[1].grad = torch.ones(2).to_sparse()
    else:
        state[params[1]]["step"] = 3
    before = [own["step"] for own in state.values()]
    assert gathered(params, state) is None
    assert [own["step"] for own in state.values()] == before


@pytest.mark.parametrize("run", [1, 2, 512])
def test_gradients_that_come_late_and_states_thrown_away_meet_the_right_weights(
    run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RUN", run)
    one, other = weights(5), weights(5)
    mine = ours.Momentum([{"params": one[:2]}, {"params": one[2:], "lr": 0.3}], lr=0.1)
    theirs = torch.optim.SGD([{"params": other[:2]}, {"params": other[2:], "lr": 0.3}], lr=0.1, momentum=0.9)
    for step in range(6):
        for params in (one, other):
            for at, param in enumerate(params):
                late = at in (0, 3) and step < 2
                param.grad = None if late else torch.full((2,), float(at + step))
        if step == 4:
            mine.state.pop(one[2])
            theirs.state.pop(other[2])
        mine.step()
        theirs.step()
    assert all(map(torch.allclose, one, other))
