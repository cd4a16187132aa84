"""Runs the stretches of a race where their teams train, and tells every rank what all of them have shown."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, final

from torch import Tensor

from lanewise.distributed.ranks import Ranks, never
from lanewise.errors import TrainingError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.data import TrainingData
from lanewise.training.journal import Journal
from lanewise.training.ranks.assigning import assigned
from lanewise.training.ranks.crew import Crew, lone
from lanewise.training.ranks.shared_journal import SharedJournal
from lanewise.training.ranks.spread_team import SpreadTeam, pack, unpack
from lanewise.training.stretch import Look, Stretch
from lanewise.training.team import Former, Team, Traits
from lanewise.training.workers.side_by_side import SideBySide

T = TypeVar("T")

SHOWN = "look/"
"""How the names of evidence begin among the tensors that a stretch saves; the others are the team's state."""

_NAMED_AFTER = re.compile(r"(.+?)(?:-(?:slower|copy)\d+)*")


class Parts(Former, Protocol):
    """A former that can also say which teams it would make, without making them."""

    def parts(self, lanes: Sequence[Lane], phase: str) -> list[tuple[Sequence[Lane], Callable[[], Team]]]: ...

    def traits(self, candidate: Candidate) -> Traits:
        """Those of the team that trains the candidate, and of all lanes in it but for their optimizers."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class SpreadFormer:
    """Forms the teams of ``former`` so that each is made only on the rank that trains it."""

    former: Parts
    crew: Crew

    @property
    def data(self) -> TrainingData:
        return self.former.data

    def form(self, lanes: Sequence[Lane], phase: str) -> list[Team]:
        parts, traits = self.former.parts(lanes, phase), self.former.traits
        return [SpreadTeam(own, make=make, traits=traits(own[0].candidate), crew=self.crew) for own, make in parts]


def spread(former: Parts, crew: Crew) -> Former:
    """The former whose teams are spread over ``crew``; the same one where it is of one rank."""
    return SpreadFormer(former=former, crew=crew) if crew.ranks.size > 1 else former


def gathered(former: Former) -> Former:
    """The former that :func:`spread` was given."""
    return former.former if isinstance(former, SpreadFormer) else former


@final
class Overheard(Journal):
    """Another journal, of whose last state the evidence is remembered: what the other ranks are told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.last: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self._remember(tensors, state)
        self._journal.save(key, tensors, state)

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        found = self._journal.load(key)
        if found is not None:
            self._remember(*found)
        return found

    def _remember(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        shown = {name: tensor for name, tensor in tensors.items() if name.startswith(SHOWN)}
        self.last = shown, {**state, "team": None}


@final
class Told(Journal):
    """What another rank has saved of a stretch that is over: nothing is left to train."""

    def __init__(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self._kept = tensors, state

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        raise AssertionError(key)

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, state = self._kept
        return dict(tensors), state


@final
class Spreading:
    """Advances the teams of a race on a ``crew``; ``costs`` are the plan's, by id of candidate.

    ``confirming`` are those after the screen, where a lane may train on more rows and with less company; None: alike.
    ``stop`` is asked while this rank waits for others. Ranks that train the same lanes take them one stack after
    another, in the same order; what they have seen counts as the first of them tells it.
    """

    def __init__(
        self,
        crew: Crew,
        costs: Mapping[str, float],
        *,
        stop: Callable[[], bool],
        confirming: Mapping[str, float] | None = None,
    ) -> None:
        self._crew, self._ranks, self._stop = crew, crew.ranks, stop
        self._costs, self._confirming = costs, costs if confirming is None else confirming

    def share(self, workers: int) -> int:
        """How many of a plan's workers are on this rank."""
        return max(1, -(-workers // self._crew.size)) if self._crew.axis is None else 1

    def run(self, threads: SideBySide, stretches: Sequence[Stretch], work: Callable[[Stretch], T]) -> list[T]:
        """``work`` of every stretch, in their order: of those at home once trained, then of the others as told."""
        if self._ranks.size == 1:
            return threads.run([lambda stretch=stretch: work(stretch) for stretch in stretches])
        teams = [_spread(stretch) for stretch in stretches]
        self._assign(teams, stretches)
        own = [place for place, team in enumerate(teams) if team.at_home]
        found: dict[int, T] = {}
        if self._crew.leads:
            found |= zip(own, self._trained(threads, [stretches[place] for place in own], work), strict=True)
        else:
            self._trained(threads, [stretches[place] for place in own], lambda stretch: stretch.run(_unseen))
        seen: dict[str, str] = {}
        for message in self._ranks.gather(self._said(stretches, own), stop=self._stop):
            for place, tensors, told in self._heard(message, stretches, seen):
                if place not in found:
                    teams[place].hear(told)
                    journal = Told(tensors, told["state"])
                    again = replace(stretches[place], journal=journal, evidence=[], looks=[], seconds=0.0, told=True)
                    found[place] = work(again)
        return [found[place] for place in range(len(stretches))]

    def _assign(self, teams: Sequence[SpreadTeam], stretches: Sequence[Stretch]) -> None:
        costs = [
            predicted(
                [lane.candidate.id for lane in stretch.team.lanes],
                self._costs if stretch.key.startswith("screen") else self._confirming,
                until=stretch.fractions[-1],
            )
            for stretch in stretches
        ]
        movable = [team.movable for team in teams]
        homes = assigned(costs, [team.home for team in teams], movable, self._crew.size)
        for team, home in zip(teams, homes, strict=True):
            team.move(home)

    def _trained(self, threads: SideBySide, stretches: Sequence[Stretch], work: Callable[[Stretch], T]) -> list[T]:
        axis = self._crew.axis
        for stretch in stretches:
            halted = _alive(_either(stretch.halted, self._ranks.halted), self._ranks)
            if axis is not None:
                stretch.journal = SharedJournal(stretch.journal, axis)
                axis.asked = _either(halted, self._stop)
                halted = _alive(lambda: axis.stopping, self._ranks) if _spread(stretch).divides else halted
            stretch.journal = Overheard(stretch.journal)
            stretch.halted = halted
        self._ranks.busy(at_work=bool(stretches))
        try:
            return threads.run([lambda stretch=stretch: work(stretch) for stretch in stretches])
        except BaseException:
            self._ranks.raise_if_halted()  # it stopped because another rank had failed: that is the cause
            raise
        finally:
            self._ranks.busy(at_work=False)

    def _said(self, stretches: Sequence[Stretch], own: Sequence[int]) -> bytes:
        tensors: dict[str, Tensor] = {}
        told: dict[str, Any] = {}
        seen: dict[str, str] = {}
        for place in own:
            stretch = stretches[place]
            assert isinstance(stretch.journal, Overheard)
            assert stretch.journal.last is not None, "a stretch that is over has saved"
            shown, state = stretch.journal.last
            seen[str(place)] = _digest_of(shown)
            if not self._crew.leads:
                continue
            tensors |= {f"{place}/{name}": tensor for name, tensor in shown.items()}
            told[str(place)] = {"state": state, **_spread(stretch).tell()}
        return pack(tensors, {"at": _digest(stretches), "rank": self._ranks.rank, "told": told, "seen": seen})

    def _heard(
        self, message: bytes, stretches: Sequence[Stretch], seen: dict[str, str]
    ) -> list[tuple[int, dict[str, Tensor], dict[str, Any]]]:
        """What a rank tells of the teams that it speaks for; ``seen`` is what those before have seen of theirs."""
        tensors, said = unpack(message)
        for place, digest in said["seen"].items():
            if seen.setdefault(place, digest) != digest:
                text = (
                    f"rank {said['rank']} trained the same lanes to other weights than the rank that it shares with, "
                    "so their processors or libraries round differently; use hosts that are alike"
                )
                raise TrainingError(text)
        if said["at"] != _digest(stretches):
            text = (
                f"ranks {self._ranks.rank} and {said['rank']} decided differently on the same evidence, so their "
                "processors or libraries round differently; use hosts that are alike"
            )
            raise TrainingError(text)
        own: dict[str, dict[str, Tensor]] = {place: {} for place in said["told"]}
        for name, tensor in tensors.items():
            place, _, shown = name.partition("/")
            own[place][shown] = tensor
        return [(int(place), own[place], told) for place, told in said["told"].items()]


def predicted(candidates: Sequence[str], costs: Mapping[str, float], *, until: float) -> float:
    """Seconds of lanes of ``candidates`` up to a fraction of their length; those whose cost nobody knows are usual.

    A candidate that was made of another on the way costs as much as that.

    >>> predicted(["a", "a-slower1", "new"], {"a": 2.0, "b": 4.0}, until=0.5)
    3.5
    """
    usual = sum(costs.values()) / len(costs) if costs else 1.0
    named = [_NAMED_AFTER.fullmatch(id) for id in candidates]
    return sum(costs.get(match[1], usual) if match else usual for match in named) * max(until, 1e-9)


def alone() -> Spreading:
    """All teams of a race are trained by this process."""
    return Spreading(lone(), {}, stop=never)


def _spread(stretch: Stretch) -> SpreadTeam:
    assert isinstance(stretch.team, SpreadTeam)
    return stretch.team


def _unseen(look: Look) -> None:
    """A look that another rank tells of."""
    del look


def _alive(halted: Callable[[], bool], ranks: Ranks) -> Callable[[], bool]:
    """``halted``, asked as a sign of life."""

    def asked() -> bool:
        ranks.alive()
        return halted()

    return asked


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def _digest_of(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].numpy().tobytes())
    return found.hexdigest()


def _digest(stretches: Sequence[Stretch]) -> str:
    """What this rank is at: ranks that decide alike have the same."""
    what = [[stretch.key, list(stretch.fractions), [lane.id for lane in stretch.team.lanes]] for stretch in stretches]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
