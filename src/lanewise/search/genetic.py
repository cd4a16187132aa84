"""A genetic algorithm among lanes: children of the best take the place of the worst (Eiben & Smith 2015)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from lanewise.errors import UsageError
from lanewise.search.policy import RATE, Copy, Standing
from lanewise.search.replacing import Replacing

FORGETTING: Final = frozenset(("momentum", "beta1", "beta2"))
LEAST, MOST = math.log(1e-6), math.log(0.9)
"""Between which the logarithm of what a rule forgets in a step stays when it mutates."""


@final
@dataclass(frozen=True, kw_only=True)
class Genetic(Replacing):
    """At each look the worst ``share`` of every kind give way to children of two of the others.

    Each parent is the best of ``tournament`` candidates of the kind that stay, drawn with replacement. The child has
    weights and optimizer state of the first parent. Of every gene (the logarithm of the rate, of the weight decay, of
    1 - momentum, ...) it has that of either parent with equal probability (uniform crossover), and with probability
    ``mutated`` a normal number of standard deviation ``sd`` is added: 0.3 is a factor of 1.35. So settings other than
    the rate evolve as well, as far as every step reads them. At the end the best ``survivors`` are left.

    Draws are keyed by ``seed``, the look and the place of who gives way, so that the same evidence gives the same
    children. Candidates of another optimizer, batch size or structure are of another kind; kinds of fewer than three
    have no children. The best of a kind never gives way.

    Source: Eiben and Smith (2015), Introduction to evolutionary computing, chapters 4 and 5: uniform crossover,
    Gaussian mutation, tournament selection, elitism.
    """

    gave: ClassVar[str] = "children of better ones"
    nobody: ClassVar[str] = "nobody had children"

    share: float = 0.3
    tournament: int = 2
    mutated: float = 0.5
    sd: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mutated <= 1 or not 0 <= self.sd < math.inf or self.tournament < 1:
            message = (
                "mutated must be from 0 to 1, sd not negative and tournament at least 1, "
                f"got {self.mutated}, {self.sd} and {self.tournament}"
            )
            raise UsageError(message)

    def replaced(self, standing: Standing, members: Sequence[int], count: int) -> list[Copy]:
        parents = [place for place in members[:-count] if not np.isnan(standing.scores[place])]
        leaving = [place for place in members[-count:] if not standing.protected[place]]
        return [self._child(standing, parents, target) for target in leaving] if parents else []

    def _child(self, standing: Standing, parents: list[int], target: int) -> Copy:
        draw = np.random.default_rng([self.seed, standing.rung, int(standing.numbers[target])])
        # Parents are listed from the best, so the lowest place of a few drawn wins the tournament.
        first, second = (parents[draw.integers(len(parents), size=self.tournament).min()] for _ in range(2))
        if standing.genes is None:
            return Copy(source=first, target=target, factor=1.0)
        own, other = standing.genes[first], standing.genes[second]
        crossed = np.where((draw.random(len(own)) < 0.5) & ~np.isnan(other), other, own)
        crossed = crossed + np.where(draw.random(len(own)) < self.mutated, draw.normal(0, self.sd, len(own)), 0.0)
        factor, changes = 1.0, list[tuple[str, float]]()
        for name, before, after in zip(standing.named, own.tolist(), crossed.tolist(), strict=True):
            if math.isnan(before) or after == before:
                continue
            if name == RATE:
                factor = math.exp(after - before)
            else:
                changes.append((name, min(max(after, LEAST), MOST) if name in FORGETTING else after))
        return Copy(source=first, target=target, factor=factor, changes=tuple(changes))
