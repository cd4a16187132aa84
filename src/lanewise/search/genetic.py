"""A genetic algorithm among lanes: children of the best take the place of the worst (Eiben & Smith 2015)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from lanewise.errors import UsageError
from lanewise.search.policy import RATE, Copy, Decision, Policy, Standing, ranked

FEWEST = 3
"""Candidates of a kind from which one gives way to a child of others."""

FORGETTING: Final = frozenset(("momentum", "beta1", "beta2"))
LEAST, MOST = math.log(1e-6), math.log(0.9)
"""Between which the logarithm of what a rule forgets in a step stays when it mutates."""


@final
@dataclass(frozen=True, kw_only=True)
class Genetic(Policy):
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

    copies: ClassVar[bool] = True

    share: float = 0.3
    tournament: int = 2
    mutated: float = 0.5
    sd: float = 0.3
    looks: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    survivors: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            message = f"share must be above 0 and at most 0.5, got {self.share}"
            raise UsageError(message)
        if not 0 <= self.mutated <= 1 or not 0 <= self.sd < math.inf or self.tournament < 1:
            message = (
                "mutated must be from 0 to 1, sd not negative and tournament at least 1, "
                f"got {self.mutated}, {self.sd} and {self.tournament}"
            )
            raise UsageError(message)

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (*self.looks, 1.0) if candidates > 1 else ()

    def remaining(self, candidates: int) -> tuple[int, ...]:
        rungs = self.rungs(candidates)
        return (*([candidates] * (len(rungs) - 1)), min(candidates, self.survivors)) if rungs else ()

    def decide(self, standing: Standing) -> Decision:
        # Ties by number: the order of listing must not decide who gives way.
        by_number = np.argsort(standing.numbers, kind="stable")
        everybody = [int(by_number[place]) for place in ranked(standing.scores[by_number])]
        scored = [place for place in everybody if not np.isnan(standing.scores[place])] or everybody[:1]
        if standing.rung == len(self.rungs(standing.entrants)) - 1:
            going = set(scored[: self.survivors])
            keep = [place for place in everybody if place in going or standing.protected[place]]
            return Decision(keep=tuple(keep), words=f"the best {len(keep)} of {len(everybody)} went on")
        kinds = dict.fromkeys(int(standing.kinds[place]) for place in everybody)
        children = [child for kind in kinds for child in self._children(standing, everybody, kind)]
        going = set(scored) - {child.target for child in children}
        keep = [place for place in everybody if place in going or standing.protected[place]]
        words = f"{len(children)} of {len(everybody)} gave way to children of better ones"
        if not children and np.bincount(standing.kinds).max() < FEWEST:
            words = f"nobody had children: no optimizer and batch size has {FEWEST} candidates of its own"
        return Decision(keep=tuple(keep), words=words, copies=tuple(children))

    def _children(self, standing: Standing, everybody: list[int], kind: int) -> list[Copy]:
        members = [place for place in everybody if standing.kinds[place] == kind]
        if len(members) < FEWEST:
            return []
        count = max(1, math.floor(len(members) * self.share))
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
