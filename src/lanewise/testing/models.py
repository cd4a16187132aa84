"""What every stacked model must do."""

from collections.abc import Callable

import torch

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs, StackedModel

LANES, BATCH = 3, 5
TOLERANCE = 1e-12


def check_stacked_model(build: Callable[[], StackedModel], *, dense: int, levels: tuple[int, ...] = ()) -> None:
    """Outputs and gradients of every lane are those of its ``solo`` module; draws depend on the seed only.

    ``build`` makes the model for three lanes without dropout; ``dense`` and ``levels`` are the widths of its
    inputs. Raises ``AssertionError`` with what it broke.
    """
    model = build()
    values = model.init([4, 5, 4], torch.float64)
    _draws(model, values)
    values = values + 0.3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for sizes in ((LANES,), (2, 1)):
        _equals_solo(model, values.clone(), _inputs(dense, levels, sizes))


def _draws(model: StackedModel, values: torch.Tensor) -> None:
    name = model.name
    assert values.shape == (LANES, model.layout.width), f"{name}: init gives {tuple(values.shape)}"
    assert torch.equal(values[0], values[2]), f"{name}: two lanes of one seed start differently"
    assert torch.equal(values[1:2], model.init([5], torch.float64)), f"{name}: a start depends on its neighbours"


def _inputs(dense: int, levels: tuple[int, ...], sizes: tuple[int, ...]) -> Inputs:
    generator = torch.Generator().manual_seed(2)
    groups = len(sizes)
    numbers = torch.randn(groups, BATCH, dense, generator=generator, dtype=torch.float64)
    codes = [torch.randint(0, count, (groups, BATCH), generator=generator) for count in levels]
    stacked = torch.stack(codes, -1) if codes else torch.zeros(groups, BATCH, 0, dtype=torch.int64)
    return Inputs(dense=numbers, codes=stacked, sizes=sizes)


def _equals_solo(model: StackedModel, values: torch.Tensor, inputs: Inputs) -> None:
    buffer = LaneBuffer(model.layout, values)
    buffer.gradients.fill_(float("nan"))  # a gradient that is not written shows
    outputs = model.forward(buffer.weights, inputs)
    outputs.square().sum().backward()
    dense, codes = inputs.per_lane(inputs.dense), inputs.per_lane(inputs.codes)
    for lane in range(len(values)):
        row = {name: view[0] for name, view in model.layout.views(values[lane : lane + 1]).items()}
        solo = model.solo(row)
        expected = solo(dense[lane], codes[lane])
        assert torch.allclose(outputs[lane], expected, rtol=TOLERANCE, atol=TOLERANCE), (
            f"{model.name}: lane {lane} of the stack computes something else than its solo module"
        )
        expected.square().sum().backward()
        total = sum(float(p.grad.square().sum()) for p in solo.parameters() if p.grad is not None)
        found = float(buffer.gradients[lane].square().sum())
        assert abs(found - total) <= 1e-9 * max(1.0, total), f"{model.name}: lane {lane} has another gradient"
