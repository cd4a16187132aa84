"""What is kept of the lanes of a race, whatever thread sees them first."""

from types import ModuleType, SimpleNamespace
from typing import cast

import numpy as np
import pytest

from lanewise.lanes.candidate import Event, Failure
from lanewise.metrics import METRICS
from lanewise.training.stretch import Look, Stretch
from lanewise.training.team import Evidence, Team
from lanewise.training.traces import Traces
from lanewise.training.watching.pulse import Pulse
from lanewise.training.watching.trace import Trace

BACK = Event(fraction=0.3, restored=0.2, rate_factor=0.1, cause="its loss rose")


def traces(watched: list[Pulse] | None = None) -> Traces:
    return Traces(METRICS["log_loss"], ([] if watched is None else watched).append)


def test_they_are_told_by_phase_candidate_and_lane_in_whatever_order_they_began(small: ModuleType) -> None:
    lanes = small.lanes([small.candidate("late"), small.candidate("early"), small.candidate("unknown")], seeds=(0, 1))
    numbers = {"early": 0, "late": 1}
    told = []
    for order in (lanes, lanes[::-1]):
        own = traces()
        for lane in order:
            own.enter("confirm", [lane])
            own.enter("screen", [lane])
        assert len(own.values()) == 2 * len(lanes)
        told.append([(one.phase, one.lane.id) for one in own.in_order(numbers)])
    assert told[0] == told[1]
    names = [f"{name}.f{fold}.s{seed}" for name in ("early", "late", "unknown") for fold in (0, 1) for seed in (0, 1)]
    assert told[0] == [(phase, name) for phase in ("screen", "confirm") for name in names]


def test_a_look_counts_what_was_trained_before_as_kept_and_is_told(small: ModuleType) -> None:
    pulses: list[Pulse] = []
    own, (lane, other) = traces(pulses), small.lanes([small.candidate("one")])
    own.enter("confirm", [other])
    for fraction, fresh in ((0.4, 0.25), (1.0, 1.0)):
        item = Evidence(lane=lane, fraction=fraction, valid=np.zeros(0), train_loss=0.5, score=1 - fraction / 2)
        own.see("confirm", Look(evidence=[item], repairs={}, fresh=fresh))
        own.tell("confirm", 0.5 * fraction, fresh=fresh)
    _, trace = own.values()
    assert (trace.fractions, trace.scores, trace.train_losses) == ([0.4, 1.0], [0.8, 0.5], [0.5, 0.5])
    assert trace.kept == pytest.approx(0.3)
    assert [pulse.done for pulse in pulses] == pytest.approx([0.2, 0.7])
    assert [pulse.kept for pulse in pulses] == pytest.approx([0.15, 0.15])
    assert pulses[-1].trained == pytest.approx(0.7)
    own.begin()
    own.tell("confirm", 0.1, fresh=1.0)
    assert (pulses[-1].done, pulses[-1].kept) == pytest.approx((0.1, 0.0))


def test_who_was_set_back_in_the_screen_has_diverged_whatever_is_said_of_it(small: ModuleType) -> None:
    own, (lane, _) = traces(), small.lanes([small.candidate("one")])
    for phase in ("screen", "confirm"):
        own.repaired(phase, lane, [BACK])
        own.end(phase, [lane], fate="confirmed")
    assert [one.fate for one in own.in_order({"one": 0})] == ["diverged", "confirmed"]


def test_no_trace_is_written_but_by_whoever_holds_the_lock(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    own, lanes, written = traces(), small.lanes([small.candidate("one")]), set[str]()

    class Guarded(Trace):
        def __setattr__(self, name: str, value: object) -> None:
            assert own._lock.locked(), name
            written.add(name)
            super().__setattr__(name, value)

    monkeypatch.setattr("lanewise.training.traces.Trace", Guarded)
    item = Evidence(lane=lanes[0], fraction=1.0, valid=np.zeros(0), train_loss=0.5)
    failure = Failure(cause="why", fraction=0.4)
    team = cast(Team, SimpleNamespace(lanes=lanes, lost=lambda: {lanes[1].id: failure}))
    own.enter("confirm", lanes)
    written.clear()
    own.enter("confirm", lanes, {lanes[1].id: 0.5})
    first, second = own.values()
    assert (first.begun, second.begun) == (0.0, 0.5)
    own.see("confirm", Look(evidence=[item], repairs={}, fresh=1.0))
    own.repaired("confirm", lanes[0], [BACK])
    own.ran("confirm", lanes, cast(Stretch, SimpleNamespace(seconds=2.0, begun=0.25)))
    own.lose("confirm", [team], [])
    own.end("confirm", lanes, fate="confirmed")
    assert (first.events, first.seconds, first.begun, first.fate) == ([BACK], 1.0, 0.25, "confirmed")
    assert (first.failure, second.failure) == (None, failure)
    assert {"begun", "notices", "kept", "events", "seconds", "failure", "fate"} <= written
