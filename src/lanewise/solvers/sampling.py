"""Search by points that are chosen beforehand: a full grid, random points, a quasi-random sequence."""

import itertools
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from lanewise.errors import UsageError
from lanewise.solvers.descent import running
from lanewise.solvers.ranking import ValueObjective, better, order
from lanewise.solvers.solver import CODE, STATUSES, Objective, Progress, Solver, Status

BLOCK = 256  # points of a row in one round


@dataclass(kw_only=True)
class SamplingState:
    """The best so far of every row: ``points [L, P]``, ``values [L]``, ``violations [L]``, and ``tried [L]``."""

    problems: Tensor
    points: Tensor
    values: Tensor
    violations: Tensor
    tried: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampling(Solver[SamplingState]):
    """Tries ``count`` points between ``low`` and ``high`` ``[P]`` per row and keeps the best.

    ``random`` draws uniformly and ``quasi-random`` takes a scrambled Sobol sequence, another one per row;
    ``grid`` takes every combination of ``levels`` equally spaced values of a real variable and of all
    values of a whole one. The start itself is tried first.

    Raises ``UsageError`` for bounds that are not finite or a grid that is larger than ``count``.
    """

    kind: Literal["grid", "random", "quasi-random"]
    low: Tensor
    high: Tensor
    whole: Tensor | None = None
    count: int = 1000
    levels: int = 11
    seed: int = 0

    def __post_init__(self) -> None:
        if not bool((self.low.isfinite() & self.high.isfinite()).all()):
            message = f"{self.kind} search needs finite bounds for every variable"
            raise UsageError(message)
        if self.kind == "grid" and self.levels < 2:
            message = f"levels must be at least 2, got {self.levels}"
            raise UsageError(message)
        if self.kind == "grid" and self.size > self.count:
            message = (
                f"the grid has {self.size:,} points, more than the limit of {self.count:,}; take fewer levels, "
                "narrower ranges or a higher max_evaluations"
            )
            raise UsageError(message)

    @property
    def size(self) -> int:
        """Points to try in each row, besides the start."""
        if self.kind != "grid":
            return self.count
        total = 1
        for axis in self._axes():
            total *= len(axis)
        return total

    @property
    def whole_space(self) -> bool:
        """Whether the points are all that there are: a grid of whole numbers and of variables that are fixed."""
        whole = torch.zeros_like(self.low, dtype=torch.bool) if self.whole is None else self.whole
        return self.kind == "grid" and bool((whole | (self.low == self.high)).all())

    def init(self, points: Tensor, objective: Objective) -> SamplingState:
        asked = cast("ValueObjective", objective)
        rows = torch.arange(len(points), device=points.device)
        return SamplingState(
            problems=rows,
            points=points.clone(),
            values=asked.values(points).clone(),
            violations=asked.violations(points).clone(),
            tried=torch.zeros_like(rows),
            status=torch.zeros_like(rows),
        )

    def step(self, state: SamplingState, objective: Objective) -> None:
        """The next block of points of every running row, in place."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        asked = cast("ValueObjective", objective)
        begin = int(state.tried[rows[0]])
        blocks = torch.stack([self._block(int(row), begin) for row in state.problems[rows]]).to(state.points)
        points = blocks.flatten(0, 1)
        values, violations = (
            asked.values(points).view(blocks.shape[:2]),
            asked.violations(points).view(blocks.shape[:2]),
        )
        best = order(values, violations)[:, :1]
        value, violation = values.gather(1, best).squeeze(1), violations.gather(1, best).squeeze(1)
        won = better(value, violation, state.values[rows], state.violations[rows])
        place = torch.arange(len(rows), device=rows.device)
        state.points[rows[won]] = blocks[place, best.squeeze(1)][won]
        state.values[rows[won]], state.violations[rows[won]] = value[won], violation[won]
        state.tried[rows] += blocks.shape[1]
        ended = Status.EXHAUSTED if self.whole_space else Status.SEARCHED
        state.status[rows[state.tried[rows] >= self.size]] = CODE[ended]

    def progress(self, state: SamplingState) -> Progress:
        """The best point of every row so far."""
        return Progress(
            points=state.points,
            values=state.values,
            gradient_norms=torch.full_like(state.values, torch.nan),
            iterations=state.tried,
            evaluations=state.tried + 1,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

    def _axes(self) -> list[Tensor]:
        axes = []
        for place in range(len(self.low)):
            low, high = float(self.low[place]), float(self.high[place])
            if self.whole is not None and bool(self.whole[place]):
                axes.append(torch.arange(low, high + 0.5, dtype=torch.float64))
            else:
                axes.append(torch.linspace(low, high, self.levels if high > low else 1, dtype=torch.float64))
        return axes

    def _block(self, problem: int, begin: int) -> Tensor:
        """Points ``[B, P]`` from number ``begin`` on of one row."""
        count = min(BLOCK, self.size - begin)
        if self.kind == "grid":
            rows = itertools.islice(itertools.product(*(axis.tolist() for axis in self._axes())), begin, begin + count)
            return torch.tensor(list(rows), dtype=torch.float64)
        seed = (self.seed * 1_000_003 + problem) % 2**63
        if self.kind == "random":
            draw = torch.Generator().manual_seed((seed * 1_000_003 + begin) % 2**63)
            units = torch.rand(count, len(self.low), generator=draw, dtype=torch.float64)
        else:
            engine = SobolEngine(len(self.low), scramble=True, seed=seed)
            units = engine.fast_forward(begin).draw(count, dtype=torch.float64)
        points = self.low + units * (self.high - self.low)
        if self.whole is None:
            return points
        counted = (self.low + (units * (self.high - self.low + 1)).floor()).clamp(self.low, self.high)
        return torch.where(self.whole, counted, points)
