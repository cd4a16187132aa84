"""Which rank trains what, by costs that are those of the phase."""

from types import SimpleNamespace
from typing import Any

from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.training.ranks.crew import Crew, mesh_of
from lanewise.training.ranks.spreading import Spreading


class Placed:
    """A team that remembers where it was moved to."""

    def __init__(self, *candidates: str) -> None:
        self.lanes = [SimpleNamespace(candidate=SimpleNamespace(id=name)) for name in candidates]
        self.home: int | None = None
        self.movable = True

    def move(self, home: int) -> None:
        self.home = home


def homes(spreading: Spreading, phase: str) -> list[int | None]:
    teams = [Placed("boosted"), Placed("net"), Placed("linear")]
    stretches: list[Any] = [SimpleNamespace(team=team, key=f"{phase}-0", fractions=[1.0]) for team in teams]
    spreading._assign(teams, stretches)  # type: ignore[arg-type]  # of a team only what is asked here
    return [team.home for team in teams]


def test_confirmation_is_shared_by_what_lanes_take_there() -> None:
    crew = Crew(ranks=Lone(Place(rank=0, size=2, local_size=2)), mesh=mesh_of(None, 2))
    costs = {"boosted": 2.0, "net": 3.0, "linear": 1.5}
    spreading = Spreading(crew, costs, stop=lambda: False, confirming={**costs, "boosted": 20.0})
    assert homes(spreading, "screen") == [1, 0, 1]
    assert homes(spreading, "confirm") == [0, 1, 1]  # on all rows it takes ten times as long as on the sample
    assert homes(Spreading(crew, costs, stop=lambda: False), "confirm") == [1, 0, 1]
