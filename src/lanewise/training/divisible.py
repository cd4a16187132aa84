"""A team that divides where memory runs out: its lanes go on in two halves, and no other team notices."""

import gc
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from lanewise.errors import Interrupted, TrainingError
from lanewise.lanes.candidate import Event, Failure
from lanewise.lanes.roster import Lane, Roster
from lanewise.training.copying import Copying, Held
from lanewise.training.fitted import Fitted
from lanewise.training.going_on import GoingOn
from lanewise.training.team import Evidence, Team, nothing

T = TypeVar("T")

REFUSED = ("can't allocate memory", "not enough memory", "cannot allocate memory")
"""What torch says, in a plain ``RuntimeError``, where the system gives it no memory."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the processor or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in REFUSED)


@dataclass(kw_only=True)
class _Part:
    """Lanes in one team. ``team`` is None until it is needed; then it catches up with what the others have done."""

    lanes: tuple[Lane, ...]
    team: Team | None = None
    caught_up: bool = False


@final
class Divisible(Team):
    """``form(lanes)`` as one team, or as several smaller ones where that does not fit into memory.

    A lane's training does not depend on its neighbours, so a half is formed anew and trained up to where the whole
    was: what a failed step has left is thrown away. ``tell`` is given a sentence for every division. Its methods raise
    ``TrainingError`` where memory does not suffice for one lane.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        form: Callable[[Sequence[Lane]], Team],
        *,
        length: int,
        tell: Callable[[str], None],
    ) -> None:
        self.lanes = Roster.of(list(lanes)).lanes
        self.length = length
        self._form = form
        self._tell = tell
        self._at = 0.0
        self._looks: list[float] = []
        self._parts = [_Part(lanes=self.lanes, caught_up=True)]

    @property
    def fraction(self) -> float:
        known = [part.team.fraction for part in self._parts if part.team is not None and part.caught_up]
        return min(known) if len(known) == len(self._parts) > 0 else self._at

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        self._each(lambda team: team.advance(fraction, between))
        self._at = fraction

    def evidence(self) -> list[Evidence]:
        looked: list[Team] = []

        def look(team: Team) -> list[Evidence]:
            found = team.evidence()
            looked.append(team)
            return found

        try:
            found = self._each(look)
        except Interrupted:
            # A look starts the mean of the losses anew: those that were looked at are to catch up with the others.
            for part in self._parts:
                if any(part.team is team for team in looked):
                    part.team, part.caught_up = None, False
            raise
        self._looks.append(self._at)
        return [item for items in found for item in items]

    def export(self, lane: str) -> Fitted:
        return self._ready(self._home(lane)).export(lane)

    def kind(self, lane: str) -> Hashable:
        team = self._ready(self._home(lane))
        return team.kind(lane) if isinstance(team, Copying) else lane

    def held(self, lane: str) -> Held:
        return self._copying(lane).held(lane)

    def take_over(self, lane: str, new: Lane, held: Held, *, factor: float) -> None:
        self._copying(lane).take_over(lane, new, held, factor=factor)
        part = self._home(lane)
        part.lanes = tuple(new if own.id == lane else own for own in part.lanes)
        self.lanes = tuple(own for other in self._parts for own in other.lanes)

    def passed(self, lanes: Collection[str]) -> dict[str, Held]:
        teams = [part.team for part in self._parts if part.caught_up]
        return _joined([team.passed(lanes) for team in teams if isinstance(team, GoingOn)])

    def begin_with(self, held: Mapping[str, Held]) -> None:
        (part,) = self._parts
        try:
            team = self._ready(part)
            if isinstance(team, GoingOn):
                team.begin_with(held)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            part.team = None  # it begins at the start, and is divided there if it must be

    def _home(self, lane: str) -> _Part:
        return next(part for part in self._parts if any(own.id == lane for own in part.lanes))

    def _copying(self, lane: str) -> Copying:
        team = self._ready(self._home(lane))
        assert isinstance(team, Copying)
        return team

    def keep(self, lanes: Collection[str]) -> None:
        for part in self._parts:
            part.lanes = tuple(lane for lane in part.lanes if lane.id in lanes)
            if part.team is not None:
                part.team.keep(lanes)
        self._parts = [part for part in self._parts if part.lanes]
        self.lanes = tuple(lane for part in self._parts for lane in part.lanes)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {}
        parts: list[dict[str, Any]] = []
        for place, part in enumerate(self._parts):
            rest = None  # of a part that has not caught up: it does so again
            if part.team is not None and part.caught_up:
                own, rest = part.team.state()
                tensors |= {f"part{place}/{name}": tensor for name, tensor in own.items()}
            parts.append({"lanes": [lane.id for lane in part.lanes], "team": rest})
        return tensors, {"at": self._at, "looks": list(self._looks), "parts": parts}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        known = {lane.id: lane for lane in self.lanes}
        self._at, self._looks = rest["at"], list(rest["looks"])
        formed = self._parts[0].team if len(rest["parts"]) == 1 else None
        self._parts = []
        for place, kept in enumerate(rest["parts"]):
            part = _Part(lanes=tuple(known[name] for name in kept["lanes"]))
            self._parts.append(part)
            if kept["team"] is None:
                continue
            part.team = formed or self._form(part.lanes)
            own = {name.partition("/")[2]: one for name, one in tensors.items() if name.startswith(f"part{place}/")}
            part.team.restore(own, kept["team"])
            part.caught_up = True
        if len(self._parts) > 1:
            self._say(sum(len(part.lanes) for part in self._parts), max(len(part.lanes) for part in self._parts))

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return _joined([part.team.repairs() for part in self._parts if part.team is not None])

    def lost(self) -> dict[str, Failure]:
        return _joined([part.team.lost() for part in self._parts if part.team is not None])

    def settle(self) -> None:
        for part in self._parts:
            if part.team is not None:
                part.team.settle()

    def _each(self, work: Callable[[Team], T]) -> list[T]:
        """What ``work`` gives for each part in turn; a part that memory does not suffice for is divided first."""
        results: list[T] = []
        while len(results) < len(self._parts):
            part = self._parts[len(results)]
            try:
                results.append(work(self._ready(part)))
                continue
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            self._divide(len(results))  # after the block: until then the error holds what was being computed
        return results

    def _ready(self, part: _Part) -> Team:
        """The part's team, trained as far as the others are and looked at as often."""
        if part.team is None:
            part.team = self._form(part.lanes)
        if not part.caught_up:
            for look in self._looks:
                part.team.advance(look)
                part.team.evidence()
                part.team.repairs()  # they are known
            part.team.advance(self._at)
            part.caught_up = True
        return part.team

    def _divide(self, place: int) -> None:
        lanes = self._parts[place].lanes
        if len(lanes) == 1:
            message = (
                f"memory ran out while {lanes[0].candidate.label} was trained alone; "
                "use a smaller batch size or a smaller model"
            )
            raise TrainingError(message)
        gc.collect()  # errors that were caught on the way may hold, in circles, what was being computed
        middle = (len(lanes) + 1) // 2
        self._parts[place : place + 1] = [_Part(lanes=lanes[:middle]), _Part(lanes=lanes[middle:])]
        self._say(len(lanes), middle)

    def _say(self, before: int, now: int) -> None:
        self._tell(f"memory ran out with {before} lanes in one stack; they were trained at most {now} at a time")


def _joined(parts: Sequence[Mapping[str, T]]) -> dict[str, T]:
    return {name: value for part in parts for name, value in part.items()}
