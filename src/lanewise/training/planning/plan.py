"""The plan: everything that a race will do, decided before it starts and never by the clock again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lanewise.lanes.candidate import Candidate, Event, Value

GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Fractions of the full length at which a confirmed lane is looked at, for early stopping."""

FEWEST_ROUNDS = 10
"""Rounds that a booster, and trees that a forest, grows at the least."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """What a full training is for each kind of lane.

    ``rows_seen`` by a lane trained on mini-batches, ``iterations`` of a full-batch solver or rule;
    boosted trees carry their own number of rounds, multiplied by ``rounds_share``, forests one of trees, multiplied by
    ``trees_share``.
    """

    rows_seen: int
    iterations: int = 200
    rounds_share: float = 1.0
    trees_share: float = 1.0

    def share(self, name: str) -> float:
        """The share of the setting ``name``, ``rounds`` or ``trees``, that a full training has."""
        return {"rounds": self.rounds_share, "trees": self.trees_share}[name]

    def steps(self, batch_size: int) -> int:
        """Steps of a full training at that batch size, at least 20."""
        return max(20, round(self.rows_seen / batch_size))


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """What is raced, for how long, and on what.

    ``rungs`` are fractions of each candidate's full length at which the screen compares; empty means
    that everybody is confirmed. ``confirm`` says how many of each family are confirmed.
    ``costs`` holds the predicted processor seconds of one full-length lane of every candidate, as
    measured when the plan was made, or for a budget in steps the order of what they usually are.
    ``look_costs`` is what predicting the rows that a fold holds out, and judging that, takes at every look at a lane.
    ``single`` is how many times its cost a lane takes that has a stack for itself, which it shares when it is screened.
    ``solo_costs`` is processor seconds of a lane trained alone, one after another: what a plain loop would cost,
    and ``solo_looks`` what it would for every look that early stopping takes.
    ``precision`` is the format of the matrix products of networks. ``widths`` says how many lanes go into one stack,
    by :attr:`TeamBuilder.key` as text, where that was measured. ``confirmed`` names those that are confirmed, once the
    screen of a race with a budget in seconds is over; empty means as many as ``confirm`` says. ``thought_of`` is how
    many would have been but for the time that was then left. ``explaining_seconds`` is what the importance of the
    columns may take, reckoned in work and not by the clock; None: a share of the race.
    The training rows were split into ``parts``, of which the first ``folds`` are held out one after another; 0: all.
    ``wished_seeds`` begin with ``seeds``: those that a confirmation has where there is time for them.
    Boosters that are confirmed, and those of the refit, train on the first ``tree_windows`` of a streamed table,
    ``tree_rows`` in the refit, and take ``tree_ratio`` times as long as on its sample, which the screen is on; 0: on
    that too. ``least`` tells that a budget in seconds has no room for any plan, and that this is the shortest of all.
    ``available_seconds`` is what was left of a budget in seconds for race and refit, ``reserved_seconds`` what was kept
    for what follows. ``left_out`` are the model families that such a budget had no room for, and
    ``advised_seconds`` is one that has room for all.
    ``amended`` says in words what the time that was left has changed. A confirmation without a screen was ``begun`` on
    so many folds and seeds, and trained on the others when that was over; zeros: on all of them at once.
    ``mesh`` says how ranks share the work where it was chosen by what was measured, and ``mesh_why`` why so.
    ``predicted_bytes`` is told and decides nothing: it counts what a process holds already, so that runs differ in it.
    """

    candidates: tuple[Candidate, ...]
    rungs: tuple[float, ...]
    confirm: Mapping[str, int]
    folds: int
    seeds: tuple[int, ...]
    lengths: Lengths
    workers: int
    costs: Mapping[str, float]
    look_costs: Mapping[str, float] = field(default_factory=dict)
    single: Mapping[str, float] = field(default_factory=dict)
    solo_costs: Mapping[str, float] = field(default_factory=dict)
    solo_looks: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"
    confirmed: tuple[str, ...] = ()
    thought_of: int = 0
    widths: Mapping[str, int] = field(default_factory=dict)
    grid: tuple[float, ...] = GRID
    predicted_seconds: float = 0.0
    predicted_bytes: int = field(default=0, compare=False)
    explaining_seconds: float | None = None
    parts: int = 0
    wished_seeds: tuple[int, ...] = ()
    tree_windows: int = 0
    tree_rows: int = 0
    tree_ratio: float = 1.0
    least: bool = False
    available_seconds: float = 0.0
    reserved_seconds: float = 0.0
    left_out: tuple[str, ...] = ()
    advised_seconds: float = 0.0
    words: tuple[str, ...] = ()
    amended: tuple[str, ...] = ()
    begun: tuple[int, int] = (0, 0)
    mesh: str = ""
    mesh_why: str = ""

    @property
    def confirms_another_number(self) -> bool:
        """Whether the time that was left after the screen changed how many are confirmed, which ``amended`` tells."""
        return bool(self.confirmed) and len(self.confirmed) != self.thought_of

    def confirming(self, id: str) -> float:
        """Processor seconds of one lane of that candidate in the confirmation, its looks included."""
        boosts = self.tree_windows and any(one.id == id and one.model == "lightgbm" for one in self.candidates)
        lonely = lonely_cost(self.single.get(id, 1.0), lanes=self.folds * len(self.seeds), workers=self.workers)
        factor = lonely * (self.tree_ratio if boosts else 1.0)
        return factor * self.costs[id] + len(self.grid) * self.look_costs.get(id, 0.0)

    def __repr__(self) -> str:
        return "\n".join(["Plan", *(f"  {line}" for line in (*self.words, *self.amended))])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        candidates = tuple(candidate_of(item) for item in data["candidates"])
        names = ("rungs", "seeds", "wished_seeds", "grid", "words", "confirmed", "left_out", "amended")
        tuples = {name: tuple(data.get(name, ())) for name in names} | {"begun": tuple(data.get("begun", (0, 0)))}
        return cls(**{**data, **tuples, "candidates": candidates, "lengths": Lengths(**data["lengths"])})


def candidate_of(data: Mapping[str, Any]) -> Candidate:
    """The candidate that ``dataclasses.asdict`` and JSON made ``data`` of."""
    events = tuple(Event(**event) for event in data["events"])
    settings: Mapping[str, Value] = data["settings"]
    return Candidate(**{**data, "settings": settings, "events": events})


def lonely_cost(single: float, *, lanes: float, workers: int) -> float:
    """How many times what a lane costs in company it does where ``lanes`` of one candidate are split among ``workers``.

    A step of a stack takes a part that is paid once and one for each lane: ``single`` is their sum for one lane.

    >>> lonely_cost(3.0, lanes=2, workers=2), lonely_cost(3.0, lanes=10, workers=2)
    (3.0, 1.4)
    """
    return 1.0 + (single - 1.0) / max(lanes / workers, 1.0)


def chunk_width(parameters: int) -> int:
    """Lanes in one stack where that is not measured, so that what a step touches stays in cache.

    Measured with this step on two-core machines: 64 for networks of up to some 20,000 parameters,
    16 up to 100,000, fewer above; larger chunks of large networks lose what stacking gains.

    >>> chunk_width(62), chunk_width(94_000), chunk_width(5_000_000)
    (64, 16, 1)
    """
    if parameters <= 20_000:
        return 64
    if parameters <= 100_000:
        return 16
    return max(1, min(8, 2_000_000 // parameters))
