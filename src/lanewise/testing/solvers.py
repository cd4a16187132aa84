"""What every solver must do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lanewise.solvers.solver import Progress, Solver, Status

ROWS, WIDTH = 5, 3
ROUNDS = 100_000
CLOSE = 1e-10


class Bowls:
    """``|A_l (x - c_l)|^2`` for each row *l*, with all that any solver asks of an objective.

    ``broken`` names a row whose values are not finite; ``seen`` lists the rows of each call.
    """

    def __init__(self, *, broken: int | None = None) -> None:
        draw = torch.Generator().manual_seed(5)
        mixed = torch.randn(ROWS, WIDTH, WIDTH, generator=draw, dtype=torch.float64)
        self.root = mixed + 2 * torch.eye(WIDTH, dtype=torch.float64)
        self.centre = torch.randn(ROWS, WIDTH, generator=draw, dtype=torch.float64)
        self.broken = broken
        self.seen: list[list[int]] = []

    def residuals(self, points: Tensor, rows: Tensor) -> Tensor:
        self.seen.append(rows.tolist())
        found = (self.root[rows] * (points - self.centre[rows])[:, None, :]).sum(-1)
        return found if self.broken is None else torch.where((rows == self.broken)[:, None], torch.nan, found)

    def jacobians(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.residuals(points, rows), self.root[rows]

    def __call__(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        residuals = self.residuals(points, rows)
        return residuals.square().sum(1), 2 * (self.root[rows] * residuals[:, :, None]).sum(1)

    def hessians(self, points: Tensor, rows: Tensor) -> Tensor:
        del points
        return 2 * (self.root[rows][:, :, :, None] * self.root[rows][:, :, None, :]).sum(1)

    def curvature(self, points: Tensor, rows: Tensor) -> Callable[[Tensor], Tensor]:
        hessians = self.hessians(points, rows)
        return lambda vectors: (hessians * vectors[:, None, :]).sum(-1)

    def constrained(
        self, points: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
        values, gradients = self(points, rows)
        none = points.new_zeros(len(points), 0)
        return values, none, none, lambda equal, unequal: gradients


def check_solver(build: Callable[[], Solver[Any]]) -> None:
    """A solver finds the minimum of convex quadratics, keeps its rows apart, and leaves finished rows alone.

    ``build`` makes a solver with a tolerance of 1e-6 or less on the gradient. Raises ``AssertionError``
    with the name of the solver and what it broke.
    """
    solver = build()
    name = type(solver).__name__
    whole = _solve(solver, Bowls(), _starts())
    _finds_the_minimum(name, whole)
    _keeps_rows_apart(build, name, whole)
    _contains_nan(build, name, whole)
    _leaves_finished_rows(build, name)


def _starts() -> Tensor:
    draw = torch.Generator().manual_seed(6)
    return 3 * torch.randn(ROWS, WIDTH, generator=draw, dtype=torch.float64)


def _solve(solver: Solver[Any], objective: Any, starts: Tensor) -> Progress:
    state = solver.init(starts.clone(), objective)
    for _ in range(ROUNDS):
        if solver.progress(state).finished:
            return solver.progress(state)
        solver.step(state, objective)
    message = f"{type(solver).__name__}: rows still run after {ROUNDS} rounds"
    raise AssertionError(message)


def _finds_the_minimum(name: str, end: Progress) -> None:
    assert end.points.shape == (ROWS, WIDTH), f"{name} changed the shape of its points"
    assert end.points.dtype == torch.float64, f"{name} changed the dtype of its points"
    apart = float((end.points - Bowls().centre).abs().max())
    assert apart <= 1e-5, f"{name} ends {apart:.1e} away from the minimum of a quadratic"
    assert not bool(torch.isnan(end.values).any()), f"{name} reports values that are nan"


def _keeps_rows_apart(build: Callable[[], Solver[Any]], name: str, whole: Progress) -> None:
    order = torch.tensor([3, 0, 4])
    objective = Bowls()
    objective.root, objective.centre = objective.root[order], objective.centre[order]
    part = _solve(build(), objective, _starts()[order])
    size = whole.points.abs().max()
    apart = float((part.points - whole.points[order]).abs().max() / size)
    assert apart <= CLOSE, f"{name}: a row ends elsewhere ({apart:.1e}) with other neighbours"
    assert torch.equal(part.iterations, whole.iterations[order]), f"{name}: a row's iterations depend on others"


def _contains_nan(build: Callable[[], Solver[Any]], name: str, whole: Progress) -> None:
    end = _solve(build(), Bowls(broken=2), _starts())
    assert end.status[2] is Status.NOT_FINITE, f"{name} calls a row of nan {end.status[2].name}"
    others = [0, 1, 3, 4]
    assert torch.equal(end.points[others], whole.points[others]), f"{name}: a nan spread to another row"


def _leaves_finished_rows(build: Callable[[], Solver[Any]], name: str) -> None:
    solver, objective = build(), Bowls()
    starts = _starts()
    starts[1] = objective.centre[1]
    state = solver.init(starts, objective)
    finished: dict[int, Tensor] = {}
    while True:
        progress = solver.progress(state)
        for row, status in enumerate(progress.status):
            if status is not Status.RUNNING and row not in finished:
                finished[row] = progress.points[row].clone()
        if progress.finished:
            break
        objective.seen.clear()
        solver.step(state, objective)
        asked = {row for call in objective.seen for row in call}
        assert not asked & set(finished), f"{name} evaluates rows that have finished"
    solver.step(state, objective)
    for row, point in finished.items():
        assert torch.equal(solver.progress(state).points[row], point), f"{name} moves a row that has finished"
