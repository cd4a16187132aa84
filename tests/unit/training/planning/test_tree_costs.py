"""What a round of trees takes is measured of a few candidates, where it is short, and reckoned of the others."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.training.planning import tree_costs
from lanewise.training.planning.allowance import Allowance
from lanewise.training.trees.team import race_spec


def boosted(number: int, leaves: int) -> Candidate:
    settings: dict[str, Any] = {"num_leaves": leaves, "rounds": 100 + 10 * number, "min_child_samples": 1}
    return Candidate(id=f"lightgbm-{number}", model="lightgbm", optimizer="boosting", settings=settings)


POOL = [boosted(0, 31), *(boosted(number, 4 * number) for number in range(1, 30))]
ENDS_AT = 20
"""Leaves that a tree of the small table has at the most, whatever it may have."""


def seconds_of(candidate: Candidate, unit: float) -> float:
    return unit * min(candidate.number("num_leaves"), ENDS_AT)


class Growing:
    """One lane whose rounds take a time by its leaves; its first also sorts cells into bins for 10 ms."""

    def __init__(self, candidate: Candidate, now: list[float], unit: float) -> None:
        self.length = race_spec(Lane(candidate=candidate, fold=0, seed=0)).full_length
        self.each, self.now, self.done, self.fraction = seconds_of(candidate, unit), now, 0, 0.0

    def advance(self, fraction: float) -> None:
        until = round(self.length * fraction)
        self.now[0] += self.each * (until - self.done) + (0.0 if self.done else 0.01)
        self.done, self.fraction = until, fraction

    def keep(self, lanes: Any) -> None:
        del lanes


def found(
    monkeypatch: pytest.MonkeyPatch, *, unit: float, seconds: float = 1e9, workers: int = 1
) -> tuple[tree_costs.TreeCosts, list[str]]:
    """Costs where a round takes ``unit`` seconds a leaf, and the candidates that were timed."""
    now, made = [0.0], list[str]()
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def form(lanes: list[Lane], phase: str) -> list[Growing]:
        assert phase == "trial"
        made.extend(lane.candidate.id for lane in lanes)
        return [Growing(lane.candidate, now, unit) for lane in lanes]

    data = SimpleNamespace(
        width=Width(dense=20, levels=(), outputs=1), folds={0: SimpleNamespace(train=range(400))}, windows=None
    )
    builder: Any = SimpleNamespace(data=data, form=form, workers_here=workers)
    allowance = Allowance(seconds, clock=lambda: now[0])
    return tree_costs.measured_trees(POOL, builder, allowance, look=lambda team: 0.001, until=1.0), made


def test_trees_that_end_early_are_not_charged_for_leaves_that_they_never_have(monkeypatch: pytest.MonkeyPatch) -> None:
    known, made = found(monkeypatch, unit=2e-5)
    true = {one.id: seconds_of(one, 2e-5) * one.number("rounds") for one in POOL}
    assert all(0.6 < known.lanes[id] / seconds < 1.6 for id, seconds in true.items())
    assert sum(known.lanes.values()) == pytest.approx(sum(true.values()), rel=0.15)
    assert len(made) <= 1 + tree_costs.OTHERS
    assert (known.once, known.look) == (pytest.approx(0.01), 0.001)


def test_of_rounds_that_are_long_the_first_tells_all(monkeypatch: pytest.MonkeyPatch) -> None:
    known, made = found(monkeypatch, unit=0.01)
    assert made == ["lightgbm-0"]
    assert known.lanes["lightgbm-0"] == pytest.approx(0.2 * 100)
    assert known.lanes["lightgbm-29"] > known.lanes["lightgbm-1"]


def test_without_time_none_but_the_first_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, unit=2e-5, seconds=0.0)[1] == ["lightgbm-0"]


def test_what_a_new_process_touches_first_is_not_charged_to_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    team: Any = Growing(POOL[0], now, 1e-4)
    grow = team.advance

    def cold(fraction: float) -> None:
        now[0] += 0.05 if team.done in range(1, 5) else 0.0
        grow(fraction)

    team.advance = cold
    _, each = tree_costs.rounds(team, 100, Allowance(clock=lambda: now[0]), until=1.0, most_seconds=1.0)
    assert each == pytest.approx(2e-3)
