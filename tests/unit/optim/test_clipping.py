import math
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.lanes.buffer import BufferLayout, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.optim import AdamW, clip_grad_adaptive_
from lanewise.optim.clipping import LaneClipping

SHAPES = {"weight": (4, 3), "filter": (2, 3, 2, 2), "bias": (4,), "number": ()}
LAYOUT = BufferLayout.of([Parameter(name=name, shape=shape, fan_in=3) for name, shape in SHAPES.items()])


def lanes(*settings: Mapping[str, float]) -> list[Lane]:
    return [
        Lane(candidate=Candidate(id=f"c{at}", model="linear", optimizer="sgd", settings=one), fold=0, seed=0)
        for at, one in enumerate(settings)
    ]


def draws(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    values, gradients = torch.randn(2, rows, LAYOUT.width, generator=generator, dtype=torch.float64).unbind()
    values[:, :3] = 0.0  # a unit at zero
    return values, gradients


def row_as_parameters(values: torch.Tensor, gradients: torch.Tensor, row: int) -> list[nn.Parameter]:
    result = []
    pairs = zip(LAYOUT.views(values.clone()).values(), LAYOUT.views(gradients.clone()).values(), strict=True)
    for value, gradient in pairs:
        parameter = nn.Parameter(value[row].clone())
        parameter.grad = gradient[row].clone()
        result.append(parameter)
    return result


def flat(parameters: list[nn.Parameter]) -> torch.Tensor:
    return torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])


def test_the_limits_of_lanes_are_those_of_torch_lane_by_lane() -> None:
    values, gradients = draws(4)
    clipped = gradients.clone()
    LaneClipping(lanes({"clip_value": 0.4}, {}, {"clip_norm": 1.5}, {"clip_norm": 100.0})).clip(values, clipped, LAYOUT)
    by_value = row_as_parameters(values, gradients, 0)
    nn.utils.clip_grad_value_(by_value, 0.4)
    assert torch.equal(clipped[0], flat(by_value))
    assert torch.equal(clipped[1], gradients[1])
    by_norm = row_as_parameters(values, gradients, 2)
    nn.utils.clip_grad_norm_(by_norm, 1.5)
    # torch divides by the norm plus 1e-6
    assert torch.allclose(clipped[2], flat(by_norm), rtol=2e-6, atol=0)
    assert float(clipped[2].norm()) == pytest.approx(1.5, rel=1e-12)
    assert torch.equal(clipped[3], gradients[3])


def test_adaptive_clipping_is_the_plain_loop_of_the_paper() -> None:
    values, gradients = draws(1)
    parameters = row_as_parameters(values, gradients, 0)
    expected, count, clipped_units = [], 0, 0
    for parameter in parameters:
        gradient = parameter.grad.clone()
        for unit in [(at,) for at in range(len(parameter))] if parameter.dim() > 1 else [...]:
            weight_norm = max(math.sqrt(float(parameter.detach()[unit].square().sum())), 1e-3)
            norm = math.sqrt(float(gradient[unit].square().sum()))
            count += 1
            if norm / weight_norm > 0.8:
                clipped_units += 1
                gradient[unit] *= 0.8 * weight_norm / norm
        expected.append(gradient.reshape(-1))
    assert clip_grad_adaptive_(parameters, 0.8) == (clipped_units, count)
    assert 0 < clipped_units < count
    assert torch.allclose(flat(parameters), torch.cat(expected), rtol=1e-12, atol=0)


def test_adaptive_clipping_of_a_lane_is_that_of_its_parameters() -> None:
    values, gradients = draws(3)
    clipped = gradients.clone()
    LaneClipping(lanes({"clip_adaptive": 0.2}, {}, {"clip_adaptive": 0.9})).clip(values, clipped, LAYOUT)
    for row, limit in ((0, 0.2), (2, 0.9)):
        alone = row_as_parameters(values, gradients, row)
        clip_grad_adaptive_(alone, limit)
        assert torch.allclose(clipped[row], flat(alone), rtol=1e-12, atol=0)
    assert torch.equal(clipped[1], gradients[1])


@pytest.mark.parametrize("name", ["clip_value", "clip_norm", "clip_adaptive"])
def test_an_exploding_lane_touches_no_other(name: str) -> None:
    values, gradients = draws(3)
    gradients[1] = torch.inf
    gradients[1, 5] = torch.nan
    clipped = gradients.clone()
    LaneClipping(lanes({name: 0.3}, {}, {name: 0.3})).clip(values, clipped, LAYOUT)
    alone = gradients[[0, 2]].clone()
    LaneClipping(lanes({name: 0.3}, {name: 0.3})).clip(values[[0, 2]], alone, LAYOUT)
    assert torch.equal(clipped[[0, 2]], alone)
    assert torch.equal(clipped[1].isnan(), gradients[1].isnan())
    assert bool(clipped[1, :5].isinf().all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_low_precision_are_taken_in_float32(dtype: torch.dtype) -> None:
    weight = nn.Parameter(torch.full((1, 4096), 8.0, dtype=dtype))  # squares sum to 262144, above float16
    weight.grad = torch.full((1, 4096), 64.0, dtype=dtype)
    assert clip_grad_adaptive_(weight, 0.5) == (1, 1)
    assert weight.grad.unique().tolist() == [4.0]


def test_it_works_between_backward_and_step() -> None:
    layer = nn.Linear(3, 2)
    frozen = nn.Parameter(torch.ones(2))
    optimizer = AdamW([*layer.parameters(), frozen], lr=0.1)
    layer(torch.ones(4, 3)).square().sum().backward()
    clip_grad_adaptive_(optimizer.param_groups[0]["params"], 0.01)
    optimizer.step()
    assert frozen.grad is None


@pytest.mark.parametrize(("settings", "name"), [({"clipping": 0.0}, "clipping"), ({"eps": -1.0}, "eps")])
def test_a_limit_that_is_not_positive_is_refused(settings: dict[str, float], name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be positive"):
        clip_grad_adaptive_([], **settings)
