"""Where further starts lie."""

import pytest
import torch

from lanewise.errors import UsageError
from lanewise.solvers.starts import draw_starts

INF = float("inf")


def test_between_bounds_where_there_are_two_else_around_x0() -> None:
    x0 = torch.tensor([0.5, 100.0, 0.0, 3.0]).double()
    low, high = torch.tensor([0.0, -INF, 0.0, 3.0]).double(), torch.tensor([2.0, INF, INF, 3.0]).double()
    points = draw_starts(x0, low, high, starts=2001, seed=0)
    assert torch.equal(points[0], x0)
    drawn = points[1:]
    assert ((drawn >= low) & (drawn <= high)).all()
    assert drawn[:, 0].mean().item() == pytest.approx(1.0, abs=0.02)
    assert drawn[:, 0].std().item() == pytest.approx(2 / 12**0.5, abs=0.02)
    assert drawn[:, 1].mean().item() == pytest.approx(100, abs=5)
    assert drawn[:, 1].std().item() == pytest.approx(100, abs=5)
    assert (drawn[:, 2] == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (drawn[:, 3] == 3).all()
    assert drawn.isfinite().all()


def test_seeds_and_prefixes() -> None:
    x0 = torch.zeros(3, dtype=torch.float64)
    first, again, other = (draw_starts(x0, None, None, starts=9, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first[1:], other[1:])
    assert torch.equal(draw_starts(x0, None, None, starts=5, seed=4), first[:5])


def test_one_start_and_none() -> None:
    x0 = torch.ones(2, dtype=torch.float64)
    assert torch.equal(draw_starts(x0, None, None, starts=1, seed=0), x0[None])
    with pytest.raises(UsageError, match="starts must be at least 1, got 0"):
        draw_starts(x0, None, None, starts=0, seed=0)


def test_more_variables_than_the_sequence_has() -> None:
    points = draw_starts(torch.zeros(30_000, dtype=torch.float64), None, None, starts=2, seed=0)
    assert points[1].std().item() == pytest.approx(1, abs=0.05)
