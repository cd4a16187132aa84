"""What was not measured is reckoned from what was, and what must be measured is, however short the time."""

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.training.planning import costs, tree_costs
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.trials import timed


def network(width: int, number: int) -> Candidate:
    settings: dict[str, Any] = {"width": width, "depth": 2, "batch_size": 64}
    return Candidate(id=f"mlp-{width}-{number}", model="mlp", optimizer="adamw", settings=settings)


POOL = [network(width, number) for width in (128, 256, 64) for number in range(3)]


class Builder:
    """Forms teams of which nothing but the number is kept; stands for the real one."""

    data = SimpleNamespace(width=Width(dense=20, levels=(), outputs=2), windows=None)

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def key(self, lane: Lane) -> tuple[object, ...]:
        return (lane.candidate.number("width"),)

    def on_gpu(self, candidate: Candidate) -> bool:
        return False

    def length(self, candidate: Candidate) -> int:
        return 1000

    def parts(self, lanes: list[Lane], phase: str) -> list[Any]:
        found = []
        for width in (128, 256, 64):
            own = [lane for lane in lanes if lane.candidate.number("width") == width]
            for chunk in filter(None, (own[:2], own[2:])):
                found.append((chunk, lambda width=width, lanes=chunk: self._team(width, lanes)))
        return found

    def form(self, lanes: list[Lane], phase: str) -> list[Any]:
        return [self._team(int(lane.candidate.number("width")), [lane]) for lane in lanes]

    def _team(self, width: int, lanes: Sequence[Lane]) -> Any:
        self.made.append((width, len(lanes)))
        return SimpleNamespace(length=1000, width=width, lanes=lanes)


def found(
    monkeypatch: pytest.MonkeyPatch, seconds: float, *, waiting: float = 1.0, pace: float = 1.0
) -> tuple[costs.Costs, list[tuple[int, int]]]:
    """Costs where a step of 128 units takes 1 ms a lane, and what is paid once 1 ms; and the teams that were made.

    A trial takes ``waiting`` times as long by the clock.
    """

    def step(team: Any, units: int, most_seconds: float) -> tuple[float, float]:
        processor = 1e-3 + 1e-3 * len(team.lanes) * (team.width / 128) ** 2
        return waiting * processor, processor

    builder: Any = Builder()
    monkeypatch.setattr(costs, "timed", step)
    own = costs.measured_costs(
        "mlp", POOL, builder, Allowance(seconds), judged=lambda data, item: 0.0, until=1.0, pace=pace
    )
    return own, builder.made


def test_a_team_and_a_lane_of_each_structure_are_made_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    known, made = found(monkeypatch, 1e9)
    assert made == [(128, 2), (256, 2), (64, 2), (128, 1), (256, 1), (64, 1)]
    assert known.lanes["mlp-128-0"] == known.lanes["mlp-128-2"] == pytest.approx(1.5)
    assert known.lanes["mlp-256-1"] == pytest.approx(4.5)
    assert known.single["mlp-128-2"] == pytest.approx(2 / 1.5)
    assert known.single["mlp-64-0"] == pytest.approx(1.25 / 0.75)


def test_a_trial_that_had_to_wait_costs_no_more_than_the_pace_of_the_machine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, _ = found(monkeypatch, 1e9, waiting=20.0, pace=0.5)
    assert known.lanes["mlp-128-0"] == pytest.approx(2 * 1.5)
    assert known.single["mlp-128-2"] == pytest.approx(2 / 1.5)


@pytest.mark.parametrize("processor", [0.0, 1.0])
def test_the_clock_counts_where_a_tick_of_processor_time_is_longer_than_a_trial(
    monkeypatch: pytest.MonkeyPatch, processor: float
) -> None:
    builder: Any = Builder()
    monkeypatch.setattr(costs, "timed", lambda team, units, most_seconds: (2e-3 * len(team.lanes), processor))
    own = costs.measured_costs("mlp", POOL, builder, Allowance(1e9), judged=lambda data, item: 0.0, until=1.0)
    assert own.lanes["mlp-128-0"] == pytest.approx(2.0)


class Growing:
    """Trees of which each takes 1 ms, the first 20 ms more, and every request 2 ms."""

    def __init__(self, now: list[float]) -> None:
        self.now, self.done, self.requests = now, 0, 0

    def advance(self, fraction: float) -> None:
        until = round(100 * fraction)
        self.now[0] += 2e-3 + 1e-3 * (until - self.done) + (0.0 if self.done else 0.02)
        self.done, self.requests = until, self.requests + 1


def test_small_trees_are_timed_many_at_once_as_a_race_grows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    team: Any = Growing(now)
    first, each = tree_costs.rounds(team, 100, Allowance(10.0, clock=lambda: now[0]), until=1.0)
    assert first == pytest.approx(0.023)
    assert 1e-3 <= each < 1.2e-3
    short: Any = Growing(now)
    assert tree_costs.rounds(short, 100, Allowance(0.0, clock=lambda: now[0]), until=1.0)[1] == pytest.approx(3e-3)
    assert (short.done, short.requests) == (2, 2)


def test_without_time_the_first_is_measured_and_others_follow_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    known, made = found(monkeypatch, 0.0)
    assert made == [(128, 2), (128, 1)]
    assert known.lanes["mlp-128-0"] == pytest.approx(1.5)
    assert 3.0 < known.lanes["mlp-256-0"] < 6.0
    assert 0.3 < known.lanes["mlp-64-0"] < 0.75
    assert set(known.single) == set(known.lanes)
    assert all(times == pytest.approx(2 / 1.5) for times in known.single.values())


def alone(monkeypatch: pytest.MonkeyPatch, seconds: float, *, least: int = 0) -> dict[str, float] | None:
    """Costs of a network alone where a step of 128 units takes 1 ms, and what a solver took by the clock."""
    solved = Candidate(id="lbfgs", model="linear", optimizer="lbfgs", settings={"loss": "softmax"})
    builder: Any = Builder()
    monkeypatch.setattr(costs, "replace", lambda given, **changes: given)
    monkeypatch.setattr(costs, "timed", lambda team, units, most_seconds: (2e-3, 1e-3 * (team.width / 128) ** 2))
    return costs.costs_alone([*POOL, solved], builder, {"lbfgs": 3.0}, Allowance(seconds), least=least, share=0.5)


def test_without_time_what_a_loop_costs_is_unknown_unless_one_must_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert alone(monkeypatch, 0.0) is None
    known, reckoned = alone(monkeypatch, 1e9), alone(monkeypatch, 0.0, least=1)
    assert known is not None
    assert reckoned is not None
    assert known["lbfgs"] == reckoned["lbfgs"] == pytest.approx(1.5)
    assert known["mlp-128-0"] == reckoned["mlp-128-1"] == pytest.approx(1.0)
    assert known["mlp-256-2"] == pytest.approx(4.0)
    assert 2.0 < reckoned["mlp-256-2"] < 4.0


def test_a_dear_step_is_taken_fewer_times() -> None:
    taken: list[float] = []

    def advance(fraction: float) -> None:
        taken.append(fraction)
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass

    team: Any = SimpleNamespace(fraction=0.0, length=100, warm_up=2, advance=advance)
    timed(team, 50, most_seconds=0.0)
    assert taken == [0.02, 0.03]
    taken.clear()
    timed(team, 50)
    assert taken == [0.02, 0.52]


class Solving:
    """Lanes of a solver that end after some of their 200 rounds, each of 10 ms."""

    length, warm_up = 200, 2

    def __init__(self, rounds: int, now: list[float]) -> None:
        self.rounds, self.now, self.taken = rounds, now, 0

    @property
    def fraction(self) -> float:
        return self.taken / self.length

    @property
    def ended(self) -> bool:
        return self.taken >= self.rounds

    def advance(self, fraction: float) -> None:
        until = round(fraction * self.length)
        self.now[0] += 0.01 * max(0, min(until, self.rounds) - self.taken)
        self.taken = until


@pytest.mark.parametrize(
    ("rounds", "room", "seconds"), [(30, 10.0, 0.3), (4, 10.0, 0.04), (200, 10.0, 2.0), (30, 0.06, 2.0)]
)
def test_a_solver_is_charged_what_its_lanes_needed(
    monkeypatch: pytest.MonkeyPatch, rounds: int, room: float, seconds: float
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    team: Any = Solving(rounds, now)
    assert costs._solved(team, room) == pytest.approx(seconds)
