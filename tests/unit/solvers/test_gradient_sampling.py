"""Descent over kinks by gradients of points close by."""

import torch

from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.gradient_sampling import GradientSampling, shortest_average
from lanewise.solvers.posed import PosedObjective


def test_the_shortest_average_is_that_of_a_triangle() -> None:
    corners = torch.tensor([[1.0, 3.0], [1.0, -2.0], [6.0, 0.0]], dtype=torch.float64)
    none = torch.zeros(0, 2, dtype=torch.float64)
    torch.testing.assert_close(shortest_average(corners, none)[0], torch.tensor([1.0, 0.0]).double())
    pressed, _ = shortest_average(corners, torch.tensor([[-1.0, 0.0]]).double())  # at the lower bound of x1
    torch.testing.assert_close(pressed, torch.zeros(2).double(), atol=1e-12, rtol=0)


def test_it_goes_down_a_bent_valley_with_a_kink_and_tells_a_slope_from_a_minimum() -> None:
    def single(x):
        return (8 * (x[0] ** 2 - x[1]).abs() + (1 - x[0]) ** 2)[None]

    objective = PosedObjective(function=TorchFunction(single=single))
    solver = GradientSampling(objective=objective, low=None, high=None, max_evaluations=20_000)
    start = torch.tensor([0.9, 0.81], dtype=torch.float64)
    found = solver.run(start, float(single(start)))
    assert found.stationary
    # Gradients are up to 17, so that an average up to 1.7e-6 is zero. At x1 = 1 - e, x2 = x1^2 the shortest average is
    # (2e, 0) less its part along (2, -1): 0.8e in its largest entry. So e is up to 2.2e-6, and x2 is off by 2e.
    torch.testing.assert_close(found.point, torch.ones(2).double(), atol=4.4e-6, rtol=0)
    slope = PosedObjective(function=TorchFunction(single=lambda x: (x.abs().sum() + 3 * x[0])[None]))
    solver = GradientSampling(objective=slope, low=None, high=None, max_evaluations=300)
    assert not solver.run(torch.zeros(2).double(), 0.0).stationary
