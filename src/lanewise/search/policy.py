"""The policy contract: who stays in the race. Documented here and nowhere else.

A policy sees evidence arrays and returns a decision. It never sees models, lanes or clocks, so the
same evidence always gives the same decision, and a new policy is one file. It keeps nothing between
two decisions: a race that was killed asks again from the first rung.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lanewise.errors import UsageError

RATE = "lr"
"""The gene that a copy changes by its factor."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a rung has shown of the M candidates that are left of the ``entrants`` that the race began with.

    ``scores [M]``, the best of this rung and those before, are oriented so that smaller is better; NaN means no usable
    prediction. ``losses [M, N]`` hold, of this rung alone, the loss of every unit of the validation rows: a row, or a
    group of rows that belong together; their mean orders candidates as the metric does. None where the metric has no
    loss per row, or the policy does not ask for them.
    ``expected [M]`` are the places to expect at the end, from 0, by what is known of rates that are yet to fall; NaN
    for who has no score, None where nothing is known. ``families [M]`` numbers the model families. ``protected [M]``
    must stay whatever their score.
    ``numbers [M]`` are the places among all entrants, from 0, in the order in which they were drawn; a copy has that of
    the one that gave way to it. ``kinds [M]`` are equal where one can go on from the weights of the other.
    ``genes [M, G]`` are the logarithms of the settings that a copy may have of its own, by name in ``named [G]``, as
    they are now: of the rate, of a decay, of how much of the past a rule forgets in a step (1 - momentum). NaN where a
    candidate does not have one.
    """

    rung: int
    scores: np.ndarray
    losses: np.ndarray | None
    families: np.ndarray
    protected: np.ndarray
    numbers: np.ndarray
    entrants: int
    kinds: np.ndarray
    named: tuple[str, ...] = ()
    genes: np.ndarray | None = None
    expected: np.ndarray | None = None

    @property
    def promise(self) -> np.ndarray:
        """What is ``expected``, or else the ``scores``."""
        return self.scores if self.expected is None else self.expected


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The candidate at ``target`` gives way to a copy of the one at ``source``, both positions in the standing.

    The copy is a new candidate: it has the weights, the optimizer's state and all settings of the source, and its
    learning rates from then on are multiplied by ``factor``. ``changes`` are genes that it has of its own, by name, as
    in the standing.
    """

    source: int
    target: int
    factor: float
    changes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Positions (in the standing) of the candidates that go on, best first, and why in words.

    ``copies`` are made of some of them, in the place of some that do not go on.
    """

    keep: tuple[int, ...]
    words: str
    copies: tuple[Copy, ...] = ()


class Policy(ABC):
    """Decides at every rung which candidates go on.

    The protected candidates and the one with the best score always do; of those without a score nobody goes on in
    the place of one with a score.
    """

    reads_losses: ClassVar[bool] = False
    """Whether :meth:`decide` reads ``losses``; a race by a metric without them then refuses to start."""

    copies: ClassVar[bool] = False
    """Whether :meth:`decide` asks for copies; only races whose lanes can be copied then start."""

    ends_early: ClassVar[bool] = False
    """Whether a race may leave out the last rungs where confirming everybody who is left by then costs no more."""

    @abstractmethod
    def rungs(self, candidates: int) -> tuple[float, ...]:
        """Fractions of the full length, rising within (0, 1], at which :meth:`decide` is asked; empty: never."""

    @abstractmethod
    def decide(self, standing: Standing) -> Decision:
        """Who goes on after this rung."""

    def remaining(self, candidates: int) -> tuple[int, ...]:
        """How many the plan should reckon with after each rung, the last being how many are trained to the end.

        The protected are not counted. Everybody, unless a policy knows better: the race then never takes longer than
        planned, and mostly ends early.
        """
        return (candidates,) * len(self.rungs(candidates))


def ranked(scores: np.ndarray) -> list[int]:
    """Positions from best to worst; NaN last, ties in the order given.

    >>> ranked(np.array([2.0, float("nan"), 1.0]))
    [2, 0, 1]
    """
    return [int(place) for place in np.argsort(np.where(np.isnan(scores), np.inf, scores), kind="stable")]


def with_reserved(keep: Sequence[int], standing: Standing) -> list[int]:
    """``keep``, then the best of every family that has a score, then the protected, each once.

    A family that starts slowly is not thrown out before it could show what it does.
    """
    order = ranked(standing.scores)
    found = list(keep)
    for family in dict.fromkeys(int(standing.families[place]) for place in order):
        best = next(place for place in order if standing.families[place] == family)
        if best not in found and not np.isnan(standing.scores[best]):
            found.append(best)
    return found + [place for place in order if standing.protected[place] and place not in found]


def went_on(best: int, keep: Sequence[int], standing: Standing, *, last: bool = False) -> str:
    """In words who goes on: the ``best`` of all, and whom :func:`with_reserved` has added to them in ``keep``.

    After the ``last`` rung, the full length, there is nothing left to go on with: these enter the confirmation.
    """
    entered, added = len(standing.scores), keep[best:]
    verb = "entered the confirmation" if last else "went on"
    if len(keep) == entered:
        return f"all {entered} {verb}"
    if not added:
        return f"the best {best} of {entered} {verb}"
    default = sum(bool(standing.protected[place]) for place in added)
    who = [f"the best {best}", *["the default"] * (default > 0)]
    who += ["the best of other families"] * (default < len(added))
    return f"{len(keep)} of {entered} {verb}: {', '.join(who[:-1])} and {who[-1]}"


def decision_of(policy: Policy, standing: Standing) -> Decision:
    """What the policy decides; ``UsageError`` where that is no decision."""
    decision, count = policy.decide(standing), len(standing.scores)
    name = type(policy).__name__
    places = set(decision.keep)
    if not places or len(places) < len(decision.keep) or not places <= set(range(count)):
        message = (
            f"{name}.decide must keep positions from 0 to {count - 1}, each once and one at least, got {decision.keep}"
        )
        raise UsageError(message)
    dropped = [int(place) for place in np.flatnonzero(standing.protected) if place not in places]
    if dropped:
        message = (
            f"{name}.decide dropped position {dropped[0]}, which is protected; keep those that standing.protected marks"
        )
        raise UsageError(message)
    if len({copy.target for copy in decision.copies}) < len(decision.copies):
        message = f"{name}.decide must copy over a candidate once, got {decision.copies}"
        raise UsageError(message)
    for copy in decision.copies:
        _check_copy(policy, copy, places, standing)
    return decision


def _check_copy(policy: Policy, copy: Copy, kept: set[int], standing: Standing) -> None:
    name, others = type(policy).__name__, set(range(len(standing.scores))) - kept
    if not policy.copies:
        message = f"{name}.decide asks for copies; say so in the class with copies = True"
        raise UsageError(message)
    if copy.source not in kept or copy.target not in others or not 0 < copy.factor < math.inf:
        message = f"{name}.decide must copy one that it keeps to one that it does not, at a factor above 0, got {copy}"
        raise UsageError(message)
    for gene, value in copy.changes:
        if gene not in standing.named or gene == RATE or not math.isfinite(value):
            message = f"{name}.decide must change genes of standing.named but {RATE} to finite values, got {copy}"
            raise UsageError(message)
    if standing.kinds[copy.source] != standing.kinds[copy.target]:
        message = f"{name}.decide must copy among candidates of equal standing.kinds, got {copy}"
        raise UsageError(message)


def rungs_of(policy: Policy, candidates: int) -> tuple[float, ...]:
    """The rungs of the policy; ``UsageError`` where they do not rise within (0, 1]."""
    rungs = tuple(policy.rungs(candidates))
    if not all(0 < rung <= 1 for rung in rungs) or list(rungs) != sorted(set(rungs)):
        message = f"{type(policy).__name__}.rungs must give rising fractions above 0 and up to 1, got {rungs}"
        raise UsageError(message)
    return rungs


def remaining_of(policy: Policy, candidates: int) -> tuple[int, ...]:
    """How many are left after each rung, by the policy; ``UsageError`` where that is not a count for each."""
    rungs, left = rungs_of(policy, candidates), tuple(policy.remaining(candidates))
    if len(left) != len(rungs) or not all(1 <= count <= candidates for count in left):
        message = (
            f"{type(policy).__name__}.remaining must give a count from 1 to {candidates} for each of {len(rungs)} "
            f"rungs, got {left}"
        )
        raise UsageError(message)
    return left
