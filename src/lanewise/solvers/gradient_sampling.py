"""Descent over kinks, where one gradient says too little: the gradients of points close by are taken together.

Source: Burke, Lewis and Overton, *A robust gradient sampling algorithm for nonsmooth, nonconvex optimization*, SIAM J.
Optim. 15 (2005). Where a step fails, the gradient at its end joins the sample, as in bundle methods.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lanewise.solvers.bounds import within
from lanewise.solvers.multipliers import bound_normals

WIDEST, SHRINK = 1e-3, 0.1  # the first radius of a sample, relative to max(1, |x|), and its factor from then on
NARROWEST, NARROWEST_DIFFERENCES = 1e-9, 1e-5  # the last radius; differences blur what is nearer
STATIONARY = 1e-7  # the shortest average of gradients, relative to max(1, the largest), that counts as zero
ROUNDS = 60  # steps and failures at one radius
DECREASE = 1e-4
STEPS = torch.logspace(-1, 9, 11, base=2, dtype=torch.float64)  # lengths that are tried, in radii


class SampledObjective(Protocol):
    """A function with kinks; ``exact`` tells whether its gradients are, ``evaluated`` counts its points."""

    @property
    def exact(self) -> bool: ...
    @property
    def evaluated(self) -> int: ...
    def __call__(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]: ...
    def values(self, points: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Descended:
    """Where a descent ended; ``norm`` is that of the shortest average of gradients, ``stationary`` if it is zero.

    ``around [N, P]`` are then the points whose gradients average to it, with the ``weights [N]``.
    """

    point: Tensor
    value: float
    norm: float
    stationary: bool
    around: Tensor | None = None
    weights: Tensor | None = None


@dataclass(kw_only=True)
class GradientSampling:
    """Minimizes a function with kinks from a point near a minimum, within bounds ``[P]``.

    At a radius ``r`` gradients ``g_i`` are sampled within ``r`` of ``x``, and ``x <- x - t d`` with ``d`` the shortest
    vector among their averages. Where ``d`` is zero no direction leads down by more than ``r``: then ``r`` shrinks. A
    point that is still stationary at the last radius is a minimum to that precision, if the function is convex nearby.
    """

    objective: SampledObjective
    low: Tensor | None
    high: Tensor | None
    max_evaluations: int
    seed: int = 0

    def run(self, point: Tensor, value: float) -> Descended:
        """Descend from ``point [P]`` of that ``value``."""
        draw = torch.Generator().manual_seed(self.seed)
        narrowest = NARROWEST if self.objective.exact else NARROWEST_DIFFERENCES
        limit = self.objective.evaluated + self.max_evaluations
        radius, found = WIDEST, Descended(point=point, value=value, norm=torch.inf, stationary=False)
        while radius > 0.5 * narrowest and self.objective.evaluated < limit:
            found = self._at_radius(found, radius, draw, limit)
            radius *= SHRINK
        return found

    def _at_radius(self, begun: Descended, radius: float, draw: torch.Generator, limit: int) -> Descended:
        """Descend until no average of gradients within ``radius`` leads down."""
        point, value, norm = begun.point, begun.value, torch.inf
        size = point.abs().clamp_min(1.0)
        around, sample = self._sample(point, radius * size, draw)
        for _ in range(ROUNDS):
            if not len(sample) or self.objective.evaluated >= limit:
                break
            scaled = sample * size
            average, weights = shortest_average(scaled, bound_normals(point, self.low, self.high, 0.0))
            direction, norm = -average, float(average.abs().amax())
            if norm <= STATIONARY * max(1.0, float(scaled.abs().max())):
                return Descended(point=point, value=value, norm=norm, stationary=True, around=around, weights=weights)
            strides = radius * STEPS / direction.norm()
            trials = self._clip(point + strides[:, None] * (direction * size))
            values = self.objective.values(trials)
            values = torch.where(values.isnan(), torch.inf, values)
            best = int(values.argmin())
            if float(values[best]) < value - DECREASE * float(strides[best] * direction.square().sum()):
                point, value = trials[best], float(values[best])
                size = point.abs().clamp_min(1.0)
                around, sample = self._sample(point, radius * size, draw)
            else:
                ends, slopes = self._gradients(trials[:2])
                around, sample = torch.cat((around, ends)), torch.cat((sample, slopes))
        return Descended(point=point, value=value, norm=norm, stationary=False)

    def _sample(self, point: Tensor, reach: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """The point and twice as many beside it as it has variables ``[N, P]``, and the gradients there."""
        shifts = 2 * torch.rand(2 * len(point), len(point), generator=draw, dtype=point.dtype) - 1
        return self._gradients(torch.cat((point[None], self._clip(point + shifts * reach))))

    def _gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Those of ``points [N, P]`` whose gradients are finite, and these."""
        _, gradients = self.objective(points, torch.zeros(len(points), dtype=torch.int64))
        known = gradients.isfinite().all(1)
        return points[known], gradients[known]

    def _clip(self, points: Tensor) -> Tensor:
        return within(points, self.low, self.high)


def shortest_average(vectors: Tensor, cone: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest of all averages of ``vectors [N, P]``, any multiples of ``cone [B, P]`` added; and the weights.

    >>> corners, none = torch.tensor([[2.0, 1.0], [-2.0, 1.0]]).double(), torch.zeros(0, 2).double()
    >>> shortest, weights = shortest_average(corners, none)
    >>> shortest.round(decimals=9).abs().tolist(), weights.round(decimals=9).tolist()
    ([0.0, 1.0], [0.5, 0.5])
    """
    from scipy.optimize import nnls

    size = vectors.abs().max().clamp_min(1e-300)
    whole = torch.cat((vectors / size, cone))
    ones = torch.cat((whole.new_ones(len(vectors)), whole.new_zeros(len(cone))))
    # Of all s w with averages w the best has the shortest: |s w'V|^2 + (s - 1)^2 is smallest there for every s.
    aim = whole.new_zeros(vectors.shape[1] + 1)
    aim[-1] = 1.0
    try:
        weights = torch.from_numpy(nnls(torch.cat((whole, ones[:, None]), dim=1).T.numpy(), aim.numpy())[0])
        total = weights[: len(vectors)].sum()
    except RuntimeError:  # its limit on iterations
        weights, total = aim, aim.new_zeros(())
    if float(total) > 0:
        return weights @ whole / total * size, weights[: len(vectors)] / total
    first = whole.new_zeros(len(vectors))
    first[0] = 1.0
    return vectors[0], first
