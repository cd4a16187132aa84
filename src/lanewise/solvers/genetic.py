"""A genetic algorithm over real, integer and categorical variables; each row is a population of its own.

Sources: Deb and Agrawal, *Simulated binary crossover for continuous search space* (1995); Deb and Goyal,
*A combined genetic adaptive search (GeneAS)* (1996), for polynomial mutation; Deb (2000) for constraints.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from lanewise.errors import UsageError
from lanewise.solvers.descent import running
from lanewise.solvers.ranking import FEASIBLE, ValueObjective, better, order
from lanewise.solvers.solver import CODE, STATUSES, Objective, Progress, Solver, Status

GAIN = 1e-9  # relative decrease of the best value below which nothing has been gained
KINDS = 8  # kinds of draws that one child needs for every variable or once


@dataclass(kw_only=True)
class GeneticState:
    """All that a run needs to go on; every tensor has the rows first.

    ``problems [L]``, ``population [L, N, P]``, ``values [L, N]`` and ``violations [L, N]``, the best first;
    ``generation [L]``, ``improved [L]`` (the generation of the latest better best), ``evaluations [L]``,
    ``status [L]``.
    """

    problems: Tensor
    population: Tensor
    values: Tensor
    violations: Tensor
    generation: Tensor
    improved: Tensor
    evaluations: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Genetic(Solver[GeneticState]):
    """Binary tournaments choose parents; simulated binary crossover mixes numbers, uniform crossover
    categories; polynomial mutation moves a number, a fresh draw a category; the elite survives.

    ``low`` and ``high`` ``[P]`` are finite; ``whole [P]`` marks variables that are whole numbers,
    ``categories [P]`` those of them whose numbers have no order. A row's draws depend on ``seed``, its number
    and the generation only. It ends when its best has not improved for ``patience`` generations.

    Raises ``UsageError`` if a setting is out of range.
    """

    low: Tensor
    high: Tensor
    whole: Tensor | None = None
    categories: Tensor | None = None
    population: int = 60
    crossover: float = 0.9
    crossover_spread: float = 15.0
    mutation: float | None = None
    mutation_spread: float = 20.0
    elite: int = 2
    patience: int = 40
    seed: int = 0
    max_evaluations: int | None = None

    def __post_init__(self) -> None:
        if self.population < 4 or self.population % 2:
            message = f"population must be an even number of at least 4, got {self.population}"
            raise UsageError(message)
        if not 0 <= self.elite < self.population:
            message = f"elite must be at least 0 and less than the population, got {self.elite}"
            raise UsageError(message)
        for name in ("crossover", "mutation"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                message = f"{name} is a probability between 0 and 1, got {value}"
                raise UsageError(message)
        if not bool((self.low.isfinite() & self.high.isfinite()).all()):
            message = "a genetic algorithm needs finite bounds for every variable"
            raise UsageError(message)

    def init(self, points: Tensor, objective: Objective) -> GeneticState:
        """Populations ``[L, N, P]``: the start itself and points of a scrambled Sobol sequence per row."""
        lanes, width = points.shape
        members = []
        for lane in range(lanes):
            seed = (self.seed * 1_000_003 + lane) % 2**63
            if width <= SobolEngine.MAXDIM:
                engine = SobolEngine(width, scramble=True, seed=seed)
                units = engine.draw(self.population - 1, dtype=torch.float64)
            else:
                draw = torch.Generator().manual_seed(seed)
                units = torch.rand(self.population - 1, width, generator=draw, dtype=torch.float64)
            members.append(torch.cat((points[lane : lane + 1], self._spread(units.to(points)))))
        population = torch.stack(members)
        rows = torch.arange(lanes, device=points.device)
        values, violations = self._evaluate(population, objective)
        state = GeneticState(
            problems=rows,
            population=population,
            values=values,
            violations=violations,
            generation=torch.zeros_like(rows),
            improved=torch.zeros_like(rows),
            evaluations=torch.full_like(rows, self.population),
            status=torch.zeros_like(rows),
        )
        self._sort(state, rows, population, values, violations)
        state.status[~values.isfinite().any(1)] = CODE[Status.NOT_FINITE]
        return state

    def step(self, state: GeneticState, objective: Objective) -> None:
        """One generation of every running row, in place."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        best, worst = state.values[rows, 0].clone(), state.violations[rows, 0].clone()
        children = self._breed(state, rows)
        values, violations = self._evaluate(children, objective)
        state.evaluations[rows] += self.population
        kept = self.elite
        population = torch.cat((state.population[rows, :kept], children), dim=1)
        values = torch.cat((state.values[rows, :kept], values), dim=1)
        violations = torch.cat((state.violations[rows, :kept], violations), dim=1)
        self._sort(state, rows, population, values, violations)
        state.generation[rows] += 1
        # A gain within rounding of the value is none.
        gain = best - state.values[rows, 0] > GAIN * best.abs().clamp_min(1.0)
        rose = better(state.values[rows, 0], state.violations[rows, 0], best, worst) & (gain | (worst > FEASIBLE))
        state.improved[rows] = torch.where(rose, state.generation[rows], state.improved[rows])
        settled = state.generation[rows] - state.improved[rows] >= self.patience
        state.status[rows[settled]] = CODE[Status.SETTLED]
        state.status[rows[state.values[rows, 0] == -torch.inf]] = CODE[Status.UNBOUNDED]
        if self.max_evaluations is not None:
            spent = (state.status == CODE[Status.RUNNING]) & (state.evaluations >= self.max_evaluations)
            state.status[spent] = CODE[Status.EVALUATIONS]

    def progress(self, state: GeneticState) -> Progress:
        """The best of every population."""
        return Progress(
            points=state.population[:, 0],
            values=state.values[:, 0],
            gradient_norms=torch.full_like(state.values[:, 0], torch.nan),
            iterations=state.generation,
            evaluations=state.evaluations,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

    def _evaluate(self, population: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        asked = cast("ValueObjective", objective)
        points = population.flatten(0, 1)
        return asked.values(points).view(population.shape[:2]), asked.violations(points).view(population.shape[:2])

    def _sort(self, state: GeneticState, rows: Tensor, population: Tensor, values: Tensor, violations: Tensor) -> None:
        places = order(values, violations)[:, : self.population]
        state.values[rows], state.violations[rows] = values.gather(1, places), violations.gather(1, places)
        state.population[rows] = population.gather(1, places[:, :, None].expand(-1, -1, population.shape[2]))

    def _spread(self, units: Tensor) -> Tensor:
        """Points from coordinates of the unit cube; whole numbers are equally likely."""
        low, high = self.low.to(units), self.high.to(units)
        points = low + units * (high - low)
        if self.whole is None:
            return points
        counted = (low + (units * (high - low + 1)).floor()).clamp(low, high)
        return torch.where(self.whole.to(units.device), counted, points)

    def _breed(self, state: GeneticState, rows: Tensor) -> Tensor:
        """Children ``[R, N, P]`` of tournaments, crossover and mutation."""
        count, width = self.population, state.population.shape[2]
        draws = torch.stack(
            [self._draw(int(p), int(g)) for p, g in zip(state.problems[rows], state.generation[rows], strict=True)]
        )
        draws = draws.to(state.population)
        # Members are sorted, so the better of two is the one in the lower place.
        pairs = (draws[:, :, 0, :2] * count).long().clamp_max(count - 1)
        parents = pairs.amin(2)
        chosen = state.population[rows].gather(1, parents[:, :, None].expand(-1, -1, width))
        mothers, fathers = chosen[:, ::2], chosen[:, 1::2]
        half = count // 2
        first, second = self._cross(mothers, fathers, draws[:, :half, 1:5, 2:])
        children = torch.stack((first, second), dim=2).flatten(1, 2)
        return self._mutate(children, draws[:, :, 5:, 2:])

    def _draw(self, problem: int, generation: int) -> Tensor:
        """Uniform draws ``[N, kinds, 2 + P]`` of one row in one generation."""
        draw = torch.Generator().manual_seed(((self.seed * 1_000_003 + problem) * 1_000_003 + generation + 1) % 2**63)
        return torch.rand(self.population, KINDS, 2 + len(self.low), generator=draw, dtype=torch.float64)

    def _cross(self, mothers: Tensor, fathers: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Two children of every pair ``[R, N / 2, P]``."""
        low, high = self.low.to(mothers), self.high.to(mothers)
        u = draws[:, :, 0].clamp(1e-12, 1 - 1e-12)
        power = 1 / (self.crossover_spread + 1)
        spread = torch.where(u < 0.5, (2 * u) ** power, (2 * (1 - u)) ** -power)
        middle, apart = (mothers + fathers) / 2, (mothers - fathers).abs() / 2 * spread
        sign = torch.where(draws[:, :, 1] < 0.5, 1.0, -1.0)
        first, second = middle + sign * apart, middle - sign * apart
        mixes = (draws[:, :, 2] < 0.5) & (draws[:, :, 3, :1] < self.crossover)
        first, second = torch.where(mixes, first, mothers), torch.where(mixes, second, fathers)
        if self.whole is not None:
            whole = self.whole.to(mothers.device)
            first, second = torch.where(whole, first.round(), first), torch.where(whole, second.round(), second)
        if self.categories is not None:
            swapped = mixes & self.categories.to(mothers.device)
            kept = self.categories.to(mothers.device) & ~mixes
            first = torch.where(swapped, fathers, torch.where(kept, mothers, first))
            second = torch.where(swapped, mothers, torch.where(kept, fathers, second))
        return first.clamp(low, high), second.clamp(low, high)

    def _mutate(self, children: Tensor, draws: Tensor) -> Tensor:
        low, high = self.low.to(children), self.high.to(children)
        width = children.shape[2]
        chance = 1 / width if self.mutation is None else self.mutation
        u = draws[:, :, 0].clamp(1e-12, 1 - 1e-12)
        power, room = 1 / (self.mutation_spread + 1), (high - low).clamp_min(1e-300)
        down, up = (children - low) / room, (high - children) / room
        exponent = self.mutation_spread + 1
        left = (2 * u + (1 - 2 * u) * (1 - down) ** exponent).clamp_min(0) ** power - 1
        right = 1 - (2 * (1 - u) + (2 * u - 1) * (1 - up) ** exponent).clamp_min(0) ** power
        moved = children + torch.where(u < 0.5, left, right) * room
        if self.whole is not None:
            # A move that rounds to nothing becomes a step to a neighbour.
            step = torch.where(u < 0.5, -1.0, 1.0)
            rounded = torch.where(moved.round() == children, children + step, moved.round())
            moved = torch.where(self.whole.to(children.device), rounded, moved)
        if self.categories is not None:
            fresh = low + (draws[:, :, 2] * (high - low + 1)).floor()
            moved = torch.where(self.categories.to(children.device), fresh, moved)
        return torch.where(draws[:, :, 1] < chance, moved, children).clamp(low, high)
