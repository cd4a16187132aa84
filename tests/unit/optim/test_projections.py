"""Projections: in the set, the nearest point of it, idempotent, row by row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim import projections

NORMAL = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
LOW, HIGH = torch.tensor([-1.0, 0.0, -9.0, 2.0]).double(), torch.tensor([1.0, 0.5, 9.0, 2.0]).double()


@dataclass(frozen=True, kw_only=True)
class Case:
    project: Callable[[Tensor], Tensor]
    inside: Callable[[Tensor], Tensor]
    constraints: tuple[dict, ...] = ()
    bounds: tuple[tuple[float | None, float | None], ...] | None = None


def near(values: Tensor, goal: float) -> Tensor:
    return (values - goal).abs() <= 1e-9


CASES: dict[str, Case] = {
    "nonnegative": Case(project=projections.nonnegative, inside=lambda x: (x >= 0).all(1), bounds=((0.0, None),) * 4),
    "box": Case(
        project=partial(projections.box, low=LOW, high=HIGH),
        inside=lambda x: ((x >= LOW) & (x <= HIGH)).all(1),
        bounds=tuple(zip(LOW.tolist(), HIGH.tolist(), strict=True)),
    ),
    "simplex": Case(
        project=partial(projections.simplex, total=2.0),
        inside=lambda x: (x >= 0).all(1) & near(x.sum(1), 2.0),
        constraints=({"type": "eq", "fun": lambda x: x.sum() - 2},),
        bounds=((0.0, None),) * 4,
    ),
    "l2 ball": Case(
        project=partial(projections.l2_ball, radius=1.5),
        inside=lambda x: x.norm(dim=1) <= 1.5 + 1e-9,
        constraints=({"type": "ineq", "fun": lambda x: 1.5**2 - x @ x},),
    ),
    "l1 ball": Case(
        project=partial(projections.l1_ball, radius=1.5),
        inside=lambda x: x.abs().sum(1) <= 1.5 + 1e-9,
        constraints=tuple(
            {"type": "ineq", "fun": lambda x, s=signs: 1.5 - s @ x}
            for signs in np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
        ),
    ),
    "linf ball": Case(
        project=partial(projections.linf_ball, radius=1.5),
        inside=lambda x: x.abs().amax(1) <= 1.5 + 1e-9,
        bounds=((-1.5, 1.5),) * 4,
    ),
    "hyperplane": Case(
        project=partial(projections.hyperplane, normal=NORMAL, offset=0.7),
        inside=lambda x: near(x @ NORMAL, 0.7),
        constraints=({"type": "eq", "fun": lambda x: NORMAL.numpy() @ x - 0.7},),
    ),
    "half-space": Case(
        project=partial(projections.half_space, normal=NORMAL, offset=0.7),
        inside=lambda x: x @ NORMAL <= 0.7 + 1e-9,
        constraints=({"type": "ineq", "fun": lambda x: 0.7 - NORMAL.numpy() @ x},),
    ),
    "spectral ball": Case(
        project=lambda x: projections.spectral_ball(x.view(-1, 2, 2), radius=1.5).flatten(1),
        inside=lambda x: torch.linalg.matrix_norm(x.view(-1, 2, 2), ord=2) <= 1.5 + 1e-9,
    ),
}
rows = hnp.arrays(np.float64, (3, 4), elements=st.floats(-5, 5, width=64)).map(torch.from_numpy)


@pytest.mark.parametrize("name", CASES)
@given(points=rows, others=rows)
@settings(max_examples=25, deadline=None)
def test_inside_idempotent_and_nearest(name: str, points: Tensor, others: Tensor) -> None:
    case = CASES[name]
    found = case.project(points)
    assert case.inside(found).all()
    torch.testing.assert_close(case.project(found), found, rtol=1e-9, atol=1e-9)
    # The nearest point of a convex set: no member lies beyond it, seen from the point.
    members = case.project(others)
    assert (((points - found) * (members - found)).sum(1) <= 1e-7).all()
    already = case.inside(points)
    torch.testing.assert_close(found[already], points[already], rtol=1e-9, atol=2e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name != "spectral ball"])
def test_against_quadratic_programs(name: str) -> None:
    case = CASES[name]
    points = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2
    found = case.project(points)
    for row in range(6):
        point = points[row].numpy()
        theirs = minimize(
            lambda x, p=point: ((x - p) ** 2).sum(),
            found[row].numpy() + 0.1,
            jac=lambda x, p=point: 2 * (x - p),
            method="SLSQP",
            bounds=case.bounds,
            constraints=list(case.constraints),
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(found[row], theirs.x, atol=1e-5)


@given(points=rows, others=rows)
@settings(max_examples=25, deadline=None)
def test_sphere(points: Tensor, others: Tensor) -> None:
    found = projections.sphere(points, radius=2.0)
    torch.testing.assert_close(found.norm(dim=1), torch.full((3,), 2.0).double())
    members = projections.sphere(others, radius=2.0)
    assert ((points - found).norm(dim=1) <= (points - members).norm(dim=1) + 1e-9).all()


def test_rows_have_sizes_of_their_own_and_any_shape() -> None:
    points = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    sizes = torch.tensor([0.5, 1.0, 100.0], dtype=torch.float64)
    for name in ("l1_ball", "l2_ball", "linf_ball", "sphere", "spectral_ball"):
        project = getattr(projections, name)
        found = project(points, radius=sizes)
        assert found.shape == points.shape
        for row in range(3):
            alone = project(points[row : row + 1], radius=float(sizes[row]))
            torch.testing.assert_close(found[row], alone[0])
    assert projections.simplex(points, total=sizes).sum((1, 2)).tolist() == pytest.approx(sizes.tolist())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: projections.box(x, low=1.0, high=0.0), "low must not exceed high"),
        (lambda x: projections.l2_ball(x, radius=0.0), "radius must be positive, got 0"),
        (lambda x: projections.simplex(x, total=torch.ones(7)), "total must be one number or one per row, 2; got 7"),
        (lambda x: projections.hyperplane(x, normal=torch.zeros(3)), "normal must not be zero"),
        (projections.spectral_ball, r"takes matrices \[R, M, N\], got the shape \[2, 3\]"),
    ],
)
def test_what_means_nothing_is_refused(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call(torch.ones(2, 3))
